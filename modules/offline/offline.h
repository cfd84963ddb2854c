/* What the files of the offline module share. */
#ifndef OFFLINE_H
#define OFFLINE_H

#include <stave/module.h>

/* Messages that came back from a session and were kept, for a while: other sessions of the account that had a copy may end, too. */
typedef struct copies copies;

/* True if the event's stanza, for the event's recipient, was noted not long ago. */
bool copies_has(const copies *c, const sv_event *ev);

/* Notes it; `bytes` is how long it is. Memory and the reference to the stanza are the module's. */
void copies_note(copies **c, sv_mod *mod, sv_event *ev, size_t bytes);

/* Forgets what is older than a minute; or, with `all`, everything, and gives the memory back. NULL is none. */
void copies_forget(copies **c, sv_mod *mod, bool all);

#endif
