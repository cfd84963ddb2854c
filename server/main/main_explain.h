/* `stave explain`: what became of recent stanzas, from the trail (bus_trail.h). */
#ifndef SVI_MAIN_EXPLAIN_H
#define SVI_MAIN_EXPLAIN_H

#include "main/main_core.h"

/* `stave explain` (main_core.c). Ends the request with {"stanzas": [...]}, the newest first. Router thread. */
void svi_command_explain(svi_commands *commands, svi_request *request);

/* The same for a server: what `what` names (an id, an address, "stanza=N"), at most `count` of it that came before
 * number `before` (0: the newest), of `kind` alone ("message", "presence", "iq"; empty: all). A new reference. */
json_t *svi_explain(svi_server *server, sv_str what, sv_str kind, size_t count, uint64_t before);

/* Prints the answer for people. */
void svi_print_explain(const json_t *answer);

#endif
