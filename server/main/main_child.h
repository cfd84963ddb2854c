/* Work in a process of its own, for what must not happen to this one: losing root's rights, code of a module, a crash. */
#ifndef SVI_MAIN_CHILD_H
#define SVI_MAIN_CHILD_H

#include <jansson.h>

/* Runs `work(ctx)` in a child process and returns the JSON that it returned (a new reference). If the child crashes, or takes
 * longer than `limit_s` seconds (0: it may): an answer that says no, with `what` as what was done. What the child changes in
 * memory is not seen here. Blocks; only while the process has one thread. */
json_t *svi_in_child(json_t *(*work)(void *ctx), void *ctx, unsigned limit_s, const char *what);

#endif
