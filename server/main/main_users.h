/* Accounts by command: add, change the password, delete, disable, enable, show, list. Keys are derived off the router
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

/* Make an account, change its password, delete, disable, enable it; show it; list accounts (main_core.c
 * has the arguments). Each ends the request, at once if it is wrong. */
void svi_users_add(svi_users *users, svi_request *request);
void svi_users_passwd(svi_users *users, svi_request *request);
void svi_users_delete(svi_users *users, svi_request *request);
void svi_users_disable(svi_users *users, svi_request *request);
void svi_users_enable(svi_users *users, svi_request *request);
void svi_users_show(svi_users *users, svi_request *request);
void svi_users_list(svi_users *users, svi_request *request);

#endif
