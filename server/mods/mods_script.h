/* Modules in Lua: what the script host is lent by the loader, and their files. Only mods/ includes it. */
#ifndef SVI_MODS_SCRIPT_H
#define SVI_MODS_SCRIPT_H

#include "mods/mods_impl.h"
#include "script/script.h"

enum { SVI_SCRIPT_BYTES = 16 << 20, SVI_SCRIPT_CPU_US = 50000 };

/* The file of a script that was read besides its first; in the arena of its svi_mod_file. */
typedef struct svi_script_source {
    struct svi_script_source *next;
    const char *path;
    uint64_t hash; /* of its bytes */
    uint64_t mark; /* svi_file_mark, before it was read */
} svi_script_source;

/* Loads a script as the file's code: `path` is its first file's, `text` what is in it. SV_OK: file->script is it, file->desc is filled. */
sv_status svi_mod_script_load(svi_mod_file *file, const svi_mods_config *config, const char *path, sv_str text, sv_err *err);
/* The limits of the configuration count for a script that runs from now on. */
void svi_mod_script_limit(const svi_mod_file *file, const svi_mods_config *config);
/* True if one of its further files is another now. */
bool svi_mod_script_is_stale(const svi_mod_file *file);
/* The first of its further files that is not the same in that folder, "words.lua"; NULL: all are, or there are none. */
const char *svi_mod_script_differs(const svi_mod_file *file, sv_str folder);

#endif
