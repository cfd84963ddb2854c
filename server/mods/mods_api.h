/* The functions behind the module table that are not the core's own, by group. What each means,
 * what it returns and who owns that stands at its member in <stave/module.h>. Nobody outside this
 * folder includes this. */
#ifndef SVI_MODS_API_H
#define SVI_MODS_API_H

#include <stdarg.h>
#include "mods/mods_impl.h"

/* --- mods_api.c: what has no event ------------------------------------------------- */

/* Members of the same names in sv_api, and what they are made of. */
int64_t svi_api_now_s(void);
int64_t svi_api_now_ms(void);
void svi_api_log(sv_mod *mod, sv_level level, const char *event, ...);
sv_status svi_api_every(sv_mod *mod, int64_t period_ms, sv_timer_fn fire);
sv_status svi_api_sweep(sv_mod *mod, sv_store *store, int64_t period_ms);
sv_str svi_api_host(const sv_mod *mod);
sv_status svi_api_auth_register(sv_mod *mod, const sv_auth *auth);
void *svi_api_shared(sv_mod *mod);
sv_str svi_api_feature_at(sv_mod *mod, bool of_accounts, size_t i);
void svi_api_metric_add(sv_mod *mod, uint32_t index, int64_t delta);
void svi_api_metric_set(sv_mod *mod, uint32_t index, int64_t value);

/* --- mods_saved.c ------------------------------------------------------------------ */

/* Members of the same names in sv_api. */
sv_status svi_api_save_bytes(sv_blob *blob, const char *name, uint32_t version, sv_str bytes);
sv_status svi_api_save_int(sv_blob *blob, const char *name, uint32_t version, int64_t number);
bool svi_api_saved_bytes(sv_mod *mod, const char *name, uint32_t *version_out, sv_str *bytes_out);
bool svi_api_saved_int(sv_mod *mod, const char *name, uint32_t *version_out, int64_t *number_out);

/* --- mods_table.c ------------------------------------------------------------------ */

/* Members of the same names in sv_api. */
sv_table *svi_api_table(sv_mod *mod, const sv_table_desc *desc);
const void *svi_api_table_get(const sv_table *table, sv_str key);
void *svi_api_table_put(sv_table *table, sv_str key);
bool svi_api_table_del(sv_table *table, sv_str key);
const void *svi_api_table_next(const sv_table *table, size_t *pos, sv_str *key_out);
size_t svi_api_table_count(const sv_table *table);

/* --- mods_features.c --------------------------------------------------------------- */

/* Member of the same name in sv_api. */
sv_status svi_api_set_stream_feature(sv_mod *mod, sv_str xml);

/* --- mods_api_stanza.c: reading and building --------------------------------------- */

/* Members of the same names in sv_api. */
const sv_node *svi_api_root(const sv_event *ev);
const sv_node *svi_api_payload(const sv_event *ev);
sv_str svi_api_text(sv_event *ev, const sv_node *node);
sv_draft *svi_api_draft(sv_event *ev, sv_str name, sv_str ns);
const sv_stanza *svi_api_freeze(sv_event *ev, const sv_draft *draft);
const sv_stanza *svi_api_with_attrs(sv_event *ev, const sv_stanza *stanza, const sv_str *pairs,
                                    size_t count);
const sv_stanza *svi_api_with_child(sv_event *ev, const sv_stanza *stanza, const sv_draft *child);
const sv_stanza *svi_api_stanza_ref(sv_mod *mod, const sv_stanza *stanza);
void svi_api_stanza_unref(sv_mod *mod, const sv_stanza **stanza);
sv_str svi_api_stanza_bytes(sv_event *ev, const sv_stanza *stanza);
sv_status svi_api_stanza_parse(sv_event *ev, sv_str bytes, const sv_stanza **stanza_out);

/* --- mods_api_event.c: addresses, verdicts, occasions, memory ---------------------- */

/* Members of the same names in sv_api. */
sv_str svi_api_type(const sv_event *ev);
const sv_jid *svi_api_from(const sv_event *ev);
const sv_jid *svi_api_to(const sv_event *ev);
bool svi_api_jid_parse(sv_event *ev, sv_str text, sv_jid *jid_out);
bool svi_api_is_local(sv_event *ev, const sv_jid *jid);
bool svi_api_is_admin(sv_event *ev, const sv_jid *jid);
bool svi_api_is_guest(sv_event *ev, const sv_jid *jid);
bool svi_api_account_exists(const sv_event *ev);
void svi_api_fire(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);
sv_str svi_api_gather(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);
sv_str svi_api_subject(const sv_event *ev);
sv_verdict svi_api_refuse(sv_event *ev, sv_cond cond);
sv_verdict svi_api_refuse_text(sv_event *ev, sv_cond cond, sv_str text);
sv_verdict svi_api_refuse_with(sv_event *ev, sv_cond cond, sv_str type, const sv_draft *specific);
sv_verdict svi_api_drop(sv_event *ev, const char *rule);
void *svi_api_scratch(sv_event *ev, size_t bytes);
sv_str svi_api_format(sv_event *ev, const char *format, ...) __attribute__((format(printf, 2, 3)));
sv_str svi_api_random_hex(sv_event *ev, size_t bytes);
sv_str svi_api_stamp(sv_event *ev, int64_t ms);
sv_str svi_api_digest(sv_event *ev, sv_str function, sv_str bytes);
void svi_api_begin(sv_mod *mod, const char *on, sv_str subject);
void svi_api_fire_after(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);
sv_str svi_api_gather_at(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);
void svi_api_after_wait(sv_mod *mod, sv_event *ev, sv_again_fn again, void *ctx);

/* --- mods_api_session.c ------------------------------------------------------------ */

/* Members of the same names in sv_api. */
sv_session *svi_api_session(const sv_event *ev);
sv_session *svi_api_session_next(sv_event *ev, const sv_jid *account, sv_session *after);
sv_session *svi_api_session_find(sv_event *ev, const sv_jid *full);
void svi_api_session_set_presence(sv_event *ev, sv_session *session, const sv_stanza *presence,
                                  int priority);
sv_status svi_api_session_hold(sv_session *session, const sv_hold *bounds);
void *svi_api_session_data(sv_mod *mod, sv_session *session, size_t bytes);
void svi_api_push(sv_event *ev, sv_session *session, const sv_stanza *stanza);
void svi_api_push_stored(sv_event *ev, sv_session *session, const sv_stanza *stanza,
                         sv_store *store, sv_str owner, sv_str key);

/* --- mods_api_store.c -------------------------------------------------------------- */

/* Members of the same names in sv_api. */
sv_status svi_api_store_open(sv_mod *mod, const char *owner_module, const char *name,
                             uint32_t schema, sv_store **store_out);
sv_status svi_api_put(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_str value);
sv_status svi_api_del(sv_event *ev, sv_store *store, sv_str owner, sv_str key);
sv_status svi_api_del_owner(sv_event *ev, sv_store *store, sv_str owner);
sv_rows *svi_api_rows(sv_event *ev, sv_store *store, sv_str owner);
void svi_api_rows_load(sv_event *ev, sv_store *store, sv_str owner, sv_rows_fn done);
void svi_api_rows_keep(sv_event *ev, sv_store *store, sv_session *session, sv_rows_fn done);
void svi_api_rows_hold(sv_event *ev, sv_store *store, sv_str owner, sv_session *session);
bool svi_api_rows_warm(sv_event *ev, sv_store *store, const sv_jid *account, sv_rows_fn done);
bool svi_api_rows_held(sv_event *ev, sv_store *store, sv_str owner);
bool svi_api_has_space(const sv_event *ev);
bool svi_api_row(const sv_rows *rows, sv_str key, sv_str *value_out);
bool svi_api_row_next(const sv_rows *rows, sv_str *key, sv_str *value_out);
size_t svi_api_row_count(const sv_rows *rows);
int64_t svi_api_row_bytes(const sv_rows *rows);
void svi_api_get(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_get_fn done);
sv_status svi_api_store_open_versions(sv_mod *mod, const char *owner_module, const char *name,
                                      uint32_t schema, uint32_t oldest, sv_store **store_out);
uint32_t svi_api_store_schema(const sv_store *store);
uint32_t svi_api_row_schema(const sv_rows *rows, sv_str key);
void svi_api_get_schema(sv_event *ev, sv_store *store, sv_str owner, sv_str key,
                        sv_get_schema_fn done);
bool svi_api_row_stored(const sv_rows *rows, sv_str key, sv_str *value_out);

/* --- mods_overlay.c ---------------------------------------------------------------- */

/* Members of the same names in sv_api. */
sv_status svi_api_store_overlay(sv_mod *mod, sv_store *store, const sv_overlay *overlay);
void svi_api_overlay_add(sv_added *to, sv_str key, sv_str value);
void svi_api_overlay_changed(sv_store *store);
void svi_api_overlay_differences(sv_event *ev, sv_store *store, sv_str owner,
                                 sv_difference_fn each);
bool svi_api_row_added(const sv_rows *rows, sv_str key, sv_str *value_out);
uint64_t svi_api_rows_mark(const sv_rows *rows);

/* --- mods_api_archive.c -------------------------------------------------------------- */

/* The table of the group, an sv_archive_api. */
const void *svi_archive_table(void);

/* --- mods_memory.c ----------------------------------------------------------------- */

/* Members of the same names in sv_api. */
void *svi_api_alloc(sv_mod *mod, size_t bytes);
void *svi_api_alloc_resize(sv_mod *mod, void *mem, size_t bytes);
void svi_api_free(sv_mod *mod, void *pointer);
sv_str svi_api_str_dup(sv_mod *mod, sv_str text);
void svi_api_str_free(sv_mod *mod, sv_str *text);

/* --- mods_accounts.c --------------------------------------------------------------- */

/* Member of the same name in sv_api. */
void svi_api_accounts(sv_mod *mod, sv_str after, size_t max, sv_accounts_fn done);

/* --- mods_groups.c ----------------------------------------------------------------- */

/* Member of the same name in sv_api. */
const void *svi_api_query(const char *group, uint32_t least);

/* --- mods_items.c ------------------------------------------------------------------ */

/* Members of the same names in sv_api. */
sv_status svi_api_host_set_item(sv_mod *mod, const char *name, sv_str value);
sv_str svi_api_host_item(const sv_mod *mod, const char *name);

/* --- mods_follow.c ------------------------------------------------------------------ */

/* Member of the same name in sv_api. */
sv_status svi_api_follow_file(sv_mod *mod, sv_str path, size_t max_bytes, int64_t period_ms,
                              sv_file_fn changed, sv_str *text_out);

/* --- mods_errand.c ----------------------------------------------------------------- */

/* Members of the same names in sv_api. */
sv_str svi_api_arg_text(const sv_event *ev, const char *name);
int64_t svi_api_arg_int(const sv_event *ev, const char *name);
const sv_jid *svi_api_arg_jid(const sv_event *ev, const char *name);
bool svi_api_record(sv_event *ev);
void svi_api_field(sv_event *ev, const char *column, sv_str text);
void svi_api_field_int(sv_event *ev, const char *column, int64_t value);
sv_verdict svi_api_answer(sv_event *ev);
sv_verdict svi_api_answer_more(sv_event *ev, sv_str from);
sv_str svi_api_asked_from(const sv_event *ev);
sv_verdict svi_api_fail(sv_event *ev, sv_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
