/* The configuration: a sandboxed Lua file in words XMPP operators know, read into typed values that
 * remember where they stand (file and line), so that every error names its place and the nearest
 * known word.
 *
 *   data_path = "/var/lib/stave"
 *   modules_enabled = { "roster", "presence", "message", "blocking", "disco", "ping" }
 *   c2s_ports = { 5222 }
 *   VirtualHost "example.org"
 *       admins = { "romeo@example.org" }
 *   Include "conf.d/hosts.cfg.lua"          (a pattern of file names, too)
 *
 * Options before the first VirtualHost are global; a host's own win, for lists too. Start-up
 * thread. */
#ifndef SVI_MODS_CONFIG_H
#define SVI_MODS_CONFIG_H

#include <stave/module.h>
#include "base/base_mem.h"
#include "base/base_str.h"

typedef struct svi_config svi_config;

typedef enum svi_value_kind {
    SVI_VALUE_BOOL,
    SVI_VALUE_INT,
    SVI_VALUE_STRING,
    SVI_VALUE_LIST
} svi_value_kind;

/* One value as written. Lists hold values of any of the other kinds. */
typedef struct svi_value {
    svi_value_kind kind;
    int64_t number; /* INT; BOOL: 0 or 1 */
    sv_str text;    /* STRING */
    const struct svi_value *items;
    size_t count;
    const char *file;
    int line;
} svi_value;

typedef enum svi_section_kind {
    SVI_SECTION_GLOBAL,
    SVI_SECTION_HOST,
    SVI_SECTION_COMPONENT
} svi_section_kind;

typedef struct svi_section {
    svi_section_kind kind;
    sv_str name; /* domain; empty for the global one */
    const char *file;
    int line;
} svi_section;

/* Where problems are told: file, line and text. Several may come before a call fails. */
typedef void (*svi_config_report)(void *ctx, const char *file, int line, const char *text);

/* Reads the file and what it includes. SV_ENOTFOUND, SV_EINVAL; every problem is reported. */
sv_status svi_config_load(svi_acct *acct, const char *path, svi_config_report report, void *ctx,
                          svi_config **config_out);
/* Gives a reference back; the last one frees it. */
void svi_config_free(svi_config **config);
/* One more reference: of whom it was read for, the loader keeps one. */
svi_config *svi_config_ref(svi_config *config);

/* The arena that lives as long as the config: for texts made of its values. */
svi_arena *svi_config_arena(const svi_config *config);

/* Sections in the order of the file; number 0 is the global one. NULL past the end. */
const svi_section *svi_config_section(const svi_config *config, size_t i);

/* A value in a section or, if it is not there, in the global one; NULL if in neither. */
const svi_value *svi_config_get(const svi_config *config, const svi_section *section, sv_str name);

/* Walks the names set in one section itself: start with *pos = 0. */
bool svi_config_names(const svi_config *config, const svi_section *section, size_t *pos,
                      sv_str *name_out, const svi_value **value_out);

/* Fills the fields of `into` from a section by a table of options (ends with .name NULL): presets,
 * types, units, bounds. Strings and lists live as long as the config; a list with a `min` ("one")
 * takes a single text, too. Problems are reported;
 * SV_EINVAL if there were any. "file:" and "env:" values of options whose name ends in _secret or
 * _password are read here and never printed. */
sv_status svi_options_fill(const svi_config *config, const svi_section *section,
                           const sv_option *options, size_t stride, void *into,
                           svi_config_report report, void *ctx);

/* Whether a module's table can be filled at all: names that are its own, known kinds and forms, fields inside of its
 * `self` of so many bytes, bounds and defaults that make sense, a manual. SV_EINVAL with text. */
sv_status svi_options_check(const sv_option *options, size_t stride, const char *module, size_t self_size,
                            sv_err *err);

/* Copies the texts of the filled options into the arena, so that `into` no longer needs the config. */
void svi_options_keep(const sv_option *options, size_t stride, void *into, svi_arena *arena);

/* True if both were filled with the same values. */
bool svi_options_same(const sv_option *options, size_t stride, const void *a, const void *b);

/* Tells of every name that is in none of the tables, with the nearest known name. `tables` are
 * option tables, strides beside. */
sv_status svi_options_unknown(const svi_config *config, const sv_option *const *tables,
                              const size_t *strides, size_t count, svi_config_report report,
                              void *ctx);

/* A number as options of that kind are written: INT, PERIOD ("5m", in ms), SIZE ("64k", in bytes). */
bool svi_option_number(sv_option_kind kind, sv_str text, int64_t *value_out);

/* Prints the manual of a table: name, type, preset, bounds, sentence. */
void svi_options_manual(svi_buf *out, const sv_option *options, size_t stride);

#endif
