/* The state folder: what lies in it, its modes, its lock, its secrets (architecture 11).
 *
 *   DATA/            0700   made on first start
 *     lock                  held by the one process that uses the folder; its number is in it
 *     control        0600   unix socket for commands
 *     store/                journal and index
 *     secrets/       0700   salt (32 bytes), tickets (main_tickets.h), both 0600
 *     crash/         0700   reports of workers that died
 */
#ifndef SVI_MAIN_STATE_H
#define SVI_MAIN_STATE_H

#include <sys/types.h>

#include "base/base_plat.h"
#include "base/base_str.h"

#define SVI_SALT_BYTES 32u
#define SVI_SALT_NAME "salt" /* of the secret in a backup */

/* Makes the folder and those in it where they are missing, the parents not; their names are on
 * disk when it returns. `owner` and `group` get
 * them when the process is root's (-1: stay). SV_EIO with path and reason; SV_EDENIED if the folder
 * may be entered by others. */
sv_status svi_state_make(const char *path, uid_t owner, gid_t group, sv_err *err);

/* Takes the folder's lock for this process: a descriptor (close-on-exec), freed by the kernel at
 * its end. SV_EBUSY names the process that has it. `how_long_ms`: waits up to that long for it. */
sv_status svi_state_lock(const char *path, unsigned how_long_ms, int *fd_out, sv_err *err);

/* Reads the salt secret, or makes it from the platform's random bytes, once for all times. SV_EIO
 * with path and reason. */
sv_status svi_state_salt(const char *path, const svi_plat *plat, uint8_t salt_out[SVI_SALT_BYTES],
                         sv_err *err);

/* Writes a new file of that mode that appears whole or not at all. SV_EEXIST if there is one,
 * SV_EIO with path and reason. */
sv_status svi_state_write(const char *file, sv_str bytes, mode_t mode, sv_err *err);

/* The same in place of a file that may be there. */
sv_status svi_state_replace(const char *file, sv_str bytes, mode_t mode, sv_err *err);

/* Who is to own the state folder of a server that `self` starts: the system user `user`
 * (NUL-terminated) if that is root, else -1 and -1. SV_EDENIED if root has set none: the worker
 * would stay root without anybody having asked for it. SV_ENOTFOUND. */
sv_status svi_state_owner(uid_t self, sv_str user, uid_t *owner_out, gid_t *group_out, sv_err *err);

/* Becomes that system user for good: groups, then group, then user; nothing if it is root.
 * SV_ENOTFOUND, SV_EDENIED. */
sv_status svi_state_become(const char *user, sv_err *err);

/* Removes the oldest crash reports until `keep` are left. */
void svi_state_trim_crashes(const char *path, size_t keep);

#endif
