/* Accounts by command: add, change the password, delete, list. Keys are derived off the router
 * thread. */
#ifndef SVI_MAIN_USERS_H
#define SVI_MAIN_USERS_H

#include "main/main_command.h"

typedef struct svi_users svi_users;

/* Makes the part of a shard that changes accounts. */
svi_users *svi_users_new(svi_shard *shard);

/* Ends it; what is under way is answered with an error, in the loop's last rounds at the latest.
 * Before svi_shard_close. */
void svi_users_free(svi_users **users);

/* Answers at once with an error if the request is wrong, else returns NULL and calls `done` later.
 * `verb` is the word behind "user"; the request has "address" and "password", for "list" it may
 * have "host" and "after". */
json_t *svi_users_run(svi_users *users, sv_str verb, const json_t *request, svi_command_done done,
                      void *ctx);

#endif
