/* What the files of the script runner share: a script that runs, and what its steps do with it. */
#ifndef FLOW_PLAY_H
#define FLOW_PLAY_H

#include "flow.h"

struct flow_play {
    flow_world *world;
    svi_acct *acct;
    const char *path; /* of the text that runs */
    const char *suffix;
    sv_str users[FLOW_CLIENTS]; /* whose names get the suffix */
    size_t user_count;
    svi_arena *arena;
    flow_client *clients[FLOW_CLIENTS];
    size_t client_count;
    struct {
        const flow_client *client;
        sv_stanza *pattern;
    } ignored[64];
    size_t ignored_count;
    flow_vars vars;
    int line;
    bool is_lenient, is_again, is_in_order;
    size_t logged; /* before it began */
    unsigned unmet;
    flow_result *result;
};

/* The script has failed in its present line: the first reason stays. False. */
bool flow_play_fail(flow_play *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True if all {names} in the text are kept by now or in the text itself; else fails. */
bool flow_play_knows_names(flow_play *s, sv_str text);
/* A block of XML with a root around it, as a stanza of the caller's; NULL: the script has failed. */
sv_stanza *flow_play_parse(flow_play *s, sv_str text);
/* The element as text, in the script's arena. */
sv_str flow_play_bytes(flow_play *s, const sv_node *node);

/* What other clients sent is handled before this one acts. False: the script has failed. */
bool flow_play_settle_others(flow_play *s, const flow_client *c);
/* What is due by now is passed. */
void flow_play_pass_owed(flow_play *s);
/* All clients have got what was for them. False: the script has failed. */
bool flow_play_sync(flow_play *s);

/* True if the line is a step of operator, server, network, store, host, log or file; it is done then (flow_steps.c), and
 * *is_done_out tells whether it went well. */
bool flow_play_is_of_stage(flow_play *s, sv_str text, bool *is_done_out);

#endif
