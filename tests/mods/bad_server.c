/* Calls a function of the server by its name, not through the table. */
#include <stave/module.h>

void svi_session_end(sv_session **session, const char *why);

static void stop(void *self)
{
    svi_session_end(self, "gone");
}

SV_MODULE(.name = "bad_server", .summary = "Calls the server by name", .stop = stop)
