/* The commands' side of the control socket. */
#ifndef SVI_MAIN_ASK_H
#define SVI_MAIN_ASK_H

#include <jansson.h>

#include "base/base_str.h"

/* Sends one request to the server behind the unix socket `path` and waits for its answer (a new
 * reference). SV_ENOTFOUND if no server is there, SV_EDENIED if it may not be asked, SV_ECLOSED or
 * SV_ETIMEOUT if it did not answer. Blocks. */
sv_status svi_ask(const char *path, const json_t *request, json_t **answer_out, sv_err *err);

#endif
