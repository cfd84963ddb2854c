/* What installing, removing and listing modules share. */
#ifndef SVI_MAIN_MODULE_IMPL_H
#define SVI_MAIN_MODULE_IMPL_H

#include <sys/types.h>

#include "main/main_module.h"
#include "mods/mods_record.h"

enum { SVI_MODULE_PATH = 1024 };

/* The operator's folder that a command works on. */
typedef struct svi_module_home {
    const char *path;
    int fd;       /* of the folder, locked; -1: it is not there */
    bool is_made; /* by this command: it goes again if nothing comes into it */
} svi_module_home;

/* Makes the answer that says no; printf. False. */
bool svi_module_refuse(json_t **answer_out, sv_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Finds the place of a module in one folder, in the order of the loader; false if it is not there. `path` gets its file, for a
 * folder the folder. */
bool svi_module_find(const char *folder, sv_str name, svi_record_kind *kind_out, char path[SVI_MODULE_PATH]);
/* True if a folder NAME with NAME.lua is in the folder. */
bool svi_module_is_folder(const char *folder, sv_str name);
/* The path of a module of that kind. False if it is too long. */
bool svi_module_path(const char *folder, sv_str name, svi_record_kind kind, char path[SVI_MODULE_PATH]);

/* True if both are the same folder. */
bool svi_module_same_folder(const char *a, const char *b);
/* True if number `i` of the paths is the operator's, and not one of the server's by another name. */
bool svi_module_is_own(const svi_module_paths *paths, size_t i);

/* Opens and locks the folder; `makes`: makes it if it is not there. What a killed command has left in it goes. SV_EBUSY if another
 * command is at work, SV_EDENIED if others may write in it, SV_EIO, SV_ENOTFOUND, with text. */
sv_status svi_module_lock(const char *folder, bool makes, svi_module_home *home_out, sv_err *err);
void svi_module_unlock(svi_module_home *home);

/* The hash of a file or a folder that lies there. SV_EIO and what svi_record_list says, with text. */
sv_status svi_module_hash(svi_acct *acct, svi_record_kind kind, const char *path, char hex_out[SVI_SHA256_TEXT], sv_err *err);

/* Puts the records in the place of those that are in the folder; durable. */
sv_status svi_module_write_records(svi_acct *acct, const char *folder, const svi_records *records, sv_err *err);

/* Deletes a file, or a folder and all in it, below the folder `at`; nothing is no error. False with errno. */
bool svi_module_delete_tree(int at, const char *name);

/* Hosts on which the configuration enables the module; "store_engine" if it keeps the store. A new reference. */
json_t *svi_module_enabled_on(const svi_config *config, sv_str name);

typedef enum svi_server_state { SVI_SERVER_NONE, SVI_SERVER_RUNS, SVI_SERVER_DUMB } svi_server_state;
/* Hosts on which the running server has the module, with a new reference in *hosts_out (empty if none runs). DUMB if it could not be
 * asked, with text. */
svi_server_state svi_module_running_on(const svi_module_job *job, sv_str name, json_t **hosts_out, sv_err *err);

/* "a, b" of a list of texts, in the arena. */
const char *svi_module_words(svi_arena *arena, const json_t *list);

#endif
