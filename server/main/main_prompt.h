/* What a person is asked: passwords, also from a pipe but never from the command line, where every user could read them, and
 * words. */
#ifndef SVI_MAIN_PROMPT_H
#define SVI_MAIN_PROMPT_H

#include "base/base_str.h"

#define SVI_PASSWORD_BYTES 1024u

/* Reads a password into `to` (NUL-terminated): from a terminal without echo and twice, else one
 * line of standard input. SV_EINVAL with the reason if it is empty, too long or differs the second
 * time. Blocks. The caller wipes `to`. */
sv_status svi_prompt_password(const char *address, char to[SVI_PASSWORD_BYTES], sv_err *err);

#define SVI_WORD_BYTES 32u

/* Asks on the terminal and reads a line into `to` (NUL-terminated, cut to what has room; empty at its end). SV_EDENIED if standard input is no
 * terminal: nobody is there to answer. Blocks. */
sv_status svi_prompt_word(const char *question, char to[SVI_WORD_BYTES], sv_err *err);

#endif
