/* Passwords from a person or a pipe, never from the command line, where every user could read them.
 */
#ifndef SVI_MAIN_PROMPT_H
#define SVI_MAIN_PROMPT_H

#include "base/base_str.h"

#define SVI_PASSWORD_BYTES 1024u

/* Reads a password into `to` (NUL-terminated): from a terminal without echo and twice, else one
 * line of standard input. SV_EINVAL with the reason if it is empty, too long or differs the second
 * time. Blocks. The caller wipes `to`. */
sv_status svi_prompt_password(const char *address, char to[SVI_PASSWORD_BYTES], sv_err *err);

#endif
