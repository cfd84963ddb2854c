/* A world of flow scripts outside this process: a live server. */
#ifndef FLOW_LIVE_H
#define FLOW_LIVE_H

#include "stage/flow.h"

/* A server at host:port; accounts are made by running `register_command` with user, domain and password as arguments (NULL: they
 * exist). */
flow_world *flow_live_new(svi_acct *acct, const char *host, const char *port,
                          const char *register_command);

#endif
