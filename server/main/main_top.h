/* `stave top`: pictures of what the router and the modules do, made of two answers of the server each. */
#ifndef SVI_MAIN_TOP_H
#define SVI_MAIN_TOP_H

#include <jansson.h>

#include "base/base_str.h"

typedef struct svi_top_config {
    const char *socket; /* the server's control socket */
    const json_t *request;
    int64_t interval_ms;
    int64_t count; /* pictures; 0: no end */
    bool is_json;
} svi_top_config;

/* Shows pictures until it is to end: SV_OK if the operator said so, or all were shown. Else what the server, or
 * the terminal, refused; *begun_out is true if a picture was shown before. A refusal of the server itself is in
 * *refusal_out (a new reference). Blocks. */
sv_status svi_top_run(const svi_top_config *config, bool *begun_out, json_t **refusal_out,
                      sv_err *err);

/* The picture between two answers (`before` NULL, or of another process: since the start), modules by their
 * share, the busiest first. A new reference. */
json_t *svi_top_picture(const json_t *before, const json_t *now);

/* The picture as text: lines of at most `width` characters, at most `lines` of them (0: any). */
void svi_top_write(const json_t *picture, size_t width, size_t lines, svi_buf *out);

#endif
