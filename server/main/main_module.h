/* The operator's modules: installed into a folder of the configuration, listed, removed.
 *
 * All in the process of `stave`. The folder is the first of module_paths that is not one of the server's own; who changes
 * something in it holds its lock (flock), and what was installed is written down in it (mods_record.h). Whatever moment a
 * process is killed in, what is in the folder can be loaded, as it was before or as it should be; the same command again
 * finishes. */
#ifndef SVI_MAIN_MODULE_H
#define SVI_MAIN_MODULE_H

#include <jansson.h>

#include "main/main_shard.h"

typedef struct svi_module_job {
    svi_acct *acct;
    const svi_config *config;
    const svi_settings *settings; /* of its global section */
    const char *program;
    const char *what; /* the file, or the module's name; of list NULL */
    bool is_json;     /* nothing is shown, nobody is asked */
    bool is_sure;     /* --yes */
    bool may_hide;    /* --replace: modules of that name in folders that come behind */
    bool keeps_data, deletes_data;
} svi_module_job;

/* Each returns its answer (a new reference), also one that says no; blocks. */

/* Checks the file as a start does, shows what the module may do and what is new in it, asks, and puts it into the folder. */
json_t *svi_module_install(const svi_module_job *job);
/* Takes a module that is enabled nowhere out of its folder, and keeps or deletes what it has stored. */
json_t *svi_module_remove(const svi_module_job *job);
/* The modules in the operator's folders: "rows" with name, kind, state, interface, enabled, folder, from. */
json_t *svi_module_list(const svi_module_job *job);
/* Names of those modules, a row each, whatever state they are in; for completion. */
json_t *svi_module_names(const svi_module_job *job);

/* svi_mods_describe, and a refusal if one of the module's commands is one of the server. */
json_t *svi_module_describe(svi_acct *acct, const char *path);

/* Prints the answers of install and remove. */
void svi_print_module_installed(const json_t *answer);
void svi_print_module_removed(const json_t *answer);

#endif
