/* Completion of what an operator types: the shells' scripts (tools of bash and zsh) ask for it each time, so that it
 * knows the modules, hosts and accounts of the server that runs. */
#ifndef SVI_MAIN_COMPLETE_H
#define SVI_MAIN_COMPLETE_H

#include "main/main_cli.h"

/* Asks the server; a new reference, NULL if there is no answer. */
typedef json_t *(*svi_complete_ask)(void *ctx, const json_t *request);

/* Appends what the last of `words` (those behind "stave", the last maybe empty) may become: a line for each, with a tab and
 * what it means behind it if that is known. Nothing for what only the file system knows. */
void svi_complete(const svi_decls *decls, size_t count, char *const *words, svi_complete_ask ask,
                  void *ctx, svi_buf *out);

#endif
