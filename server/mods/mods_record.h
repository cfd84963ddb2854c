/* What `stave module install` has written down of the modules in a folder: the file modules.lock beside them.
 *
 *     stave-modules 1
 *     NAME KIND SHA256 INTERFACE WHEN FROM
 *
 * A line a module: KIND is "so", "lua" or "folder", SHA256 that of the file, for a folder that of its list (svi_record_list),
 * WHEN a time in UTC, FROM the path that it was installed from, up to the end of the line. While a module is being replaced
 * there are two lines of its name. A module that has lines is loaded only if its bytes are those of one of them; one that has
 * none is loaded as it is, so that scripts can be edited where they lie. Any thread. */
#ifndef SVI_MODS_RECORD_H
#define SVI_MODS_RECORD_H

#include "base/base_mem.h"
#include "base/base_str.h"

#define SVI_RECORD_FILE "modules.lock"

enum {
    SVI_RECORDS_MAX = 4096,             /* lines of one file */
    SVI_RECORDS_BYTES = 4 << 20,        /* of it */
    SVI_SHA256_TEXT = 65,               /* a hash in hexadecimal, with its NUL */
    SVI_FOLDER_FILES = 1000,            /* of a module that is a folder */
    SVI_FOLDER_BYTES = 64 << 20,        /* all of them together */
    SVI_FOLDER_DEPTH = 8                /* folders in folders */
};

typedef enum svi_record_kind { SVI_RECORD_SO, SVI_RECORD_LUA, SVI_RECORD_FOLDER } svi_record_kind;

typedef struct svi_record {
    sv_str name;
    svi_record_kind kind;
    sv_str sha256;    /* 64 hexadecimal digits */
    sv_str interface; /* "0.5": of modules, when it was installed */
    sv_str when, from;
} svi_record;

typedef struct svi_records {
    svi_record *items;
    size_t count;
} svi_records;

/* True for what a module may be called: lower-case letters, digits, - and _; 63 bytes at most. */
bool svi_record_is_name(sv_str name);
/* "so", "lua", "folder". */
const char *svi_record_kind_name(svi_record_kind kind);

/* Reads the file of a folder; all lies in `arena`. None at all if there is no file. SV_EIO if it can't be read, SV_EINVAL if it
 * is not of the form, with text: nothing is then known of any module in the folder. */
sv_status svi_records_read(svi_arena *arena, const char *folder, svi_records *records_out, sv_err *err);
/* Appends the file's text. Blanks and control characters in all but `from`, and line feeds there, must not be. */
void svi_records_text(const svi_records *records, svi_buf *out);
/* The first line of that name from `from` on; NULL: there is none. */
const svi_record *svi_records_find(const svi_records *records, sv_str name, size_t from);

/* The SHA-256 of bytes, in hexadecimal. */
void svi_sha256_text(sv_str bytes, char hex_out[SVI_SHA256_TEXT]);

/* Appends the list of a folder: "SHA256  PATH" and a line feed for each file, in the order of the paths' bytes, as
 * sha256sum(1) prints it. Files and folders whose names begin with "." do not count. SV_EINVAL for what is neither file nor
 * folder, SV_ELIMIT for too much, SV_EIO, with text. */
sv_status svi_record_list(svi_acct *acct, const char *folder, svi_buf *list, sv_err *err);
/* True if the list has this file with these bytes. */
bool svi_record_list_has(sv_str list, sv_str path, sv_str bytes);

/* May the module be loaded, which was found at `path` (FOLDER/NAME.so, FOLDER/NAME.lua, FOLDER/NAME/NAME.lua) with the bytes
 * `image`? SV_OK if it has no line, or one that fits; SV_EDENIED, with text that says what to do, if it was changed;
 * what svi_records_read says. Of a folder that has a line the list is appended to `list`: what is read of its other files must
 * be in there. */
sv_status svi_record_check(svi_acct *acct, const char *path, sv_str name, sv_str image, svi_buf *list, sv_err *err);

#endif
