/* Module table: containers of records that the core owns and a next generation adopts by name. */
#include "mods/mods_api.h"

#include "base/base_log.h"

enum {
    TABLE_MAGIC = 0x5441424c,
    NAME_MAX_BYTES = 64,
    KEY_MAX_BYTES = 4096,
    RECORD_MAX_BYTES = 1 << 20,
    TABLES_MAX = 64
};
#define RECORDS_MAX ((size_t)16 << 20)

/* The records, of all generations that use them. */
typedef struct container {
    uint32_t refs;
    uint32_t version;
    size_t record_bytes;
    svi_acct *acct; /* of the module's memory: lives as long as any of its generations */
    svi_dict *records; /* key -> record */
} container;

/* How a record was before a generation that has not taken over yet touched it. */
typedef struct before {
    void *record; /* NULL: there was none */
    bool is_away; /* deleted; else it is in its place, maybe with other bytes */
    max_align_t bytes[]; /* a copy of them */
} before;

/* A container as one generation holds it; linked in its module. */
struct sv_table {
    uint32_t magic;
    sv_table *next;
    sv_mod *mod;
    container *c; /* a reference */
    size_t max_records;
    svi_dict *undo; /* key -> before, while the module has not taken over what it adopted; else NULL */
    char name[NAME_MAX_BYTES + 1];
};

/* --- containers ------------------------------------------------------------------------------------- */

static container *container_new(svi_acct *acct, uint32_t version, size_t record_bytes)
{
    container *c = svi_alloc(acct, sizeof *c);
    *c = (container){.refs = 1,
                     .version = version,
                     .record_bytes = record_bytes,
                     .acct = acct,
                     .records = svi_dict_new(acct)};
    return c;
}

static void container_unref(container **at)
{
    container *c = *at;
    *at = NULL;
    SV_ASSERT(c->refs > 0);
    if (--c->refs > 0) return;
    size_t pos = 0;
    sv_str key;
    void *record;
    while (svi_dict_next(c->records, &pos, &key, &record)) svi_free(record);
    svi_dict_free(&c->records);
    svi_free(c);
}

/* --- undoing what a start that fails has done ------------------------------------------------------- */

static void undo_free(sv_table *table, bool gives_back)
{
    size_t pos = 0;
    sv_str key;
    void *value;
    while (table->undo != NULL && svi_dict_next(table->undo, &pos, &key, &value)) {
        before *b = value;
        if (gives_back && (b->record == NULL || b->is_away)) svi_free(svi_dict_del(table->c->records, key));
        if (gives_back && b->record != NULL) {
            memcpy(b->record, b->bytes, table->c->record_bytes);
            if (b->is_away) (void)svi_dict_put(table->c->records, key, b->record);
        } else if (b->is_away) {
            svi_free(b->record);
        }
        svi_free(b);
    }
    if (table->undo != NULL) svi_dict_free(&table->undo);
}

/* Notes how the record is, once. */
static void note(const sv_table *table, sv_str key, void *record)
{
    if (table->undo == NULL || svi_dict_get(table->undo, key) != NULL) return;
    before *b = svi_alloc(table->c->acct, sizeof *b + table->c->record_bytes);
    b->record = record;
    if (record != NULL) memcpy(b->bytes, record, table->c->record_bytes);
    (void)svi_dict_put(table->undo, key, b);
}

/* --- adopting --------------------------------------------------------------------------------------- */

static sv_table *find(sv_mod *mod, const char *name)
{
    sv_table *table = mod != NULL ? mod->tables : NULL;
    while (table != NULL && strcmp(table->name, name) != 0) table = table->next;
    return table;
}

static sv_table *add(sv_mod *mod, const sv_table_desc *desc, container *take)
{
    sv_table *table = svi_alloc(&mod->acct, sizeof *table);
    table->magic = TABLE_MAGIC;
    table->mod = mod;
    table->c = take;
    table->max_records = desc->max_records;
    memcpy(table->name, desc->name, strlen(desc->name));
    table->next = mod->tables;
    mod->tables = table;
    return table;
}

static sv_table *refuse(sv_mod *mod, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sv_table *refuse(sv_mod *mod, const char *name, const char *format, ...)
{
    sv_err err = {.text = ""};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    mod->why = svi_arena_printf(mod->texts, "table \"%.64s\": %s", name != NULL ? name : "", err.text).p;
    SV_LOG(SV_ERROR, "module-refused", LF_TXT("module", mod->file->name), LF_TXT("reason", mod->why));
    return NULL;
}

/* Each record in the new form; NULL if one can't be turned. */
static container *convert(const sv_mod *mod, const sv_table *old, const sv_table_desc *desc)
{
    container *c = container_new(&mod->memory->acct, desc->version, desc->record_bytes);
    size_t pos = 0;
    sv_str key;
    void *was;
    bool fine = true;
    while (fine && svi_dict_next(old->c->records, &pos, &key, &was)) {
        void *record = svi_alloc(c->acct, desc->record_bytes);
        (void)svi_dict_put(c->records, key, record);
        fine = desc->convert(key, was, old->c->version, old->c->record_bytes, record);
    }
    if (!fine) container_unref(&c);
    return c;
}

static sv_table *adopt(sv_mod *mod, const sv_table_desc *desc, const sv_table *old)
{
    container *c = old->c;
    if (c->version == desc->version && c->record_bytes == desc->record_bytes) {
        c->refs++;
        sv_table *table = add(mod, desc, c);
        table->undo = svi_dict_new(c->acct);
        return table;
    }
    if (c->version == desc->version)
        return refuse(mod, desc->name, "version %u has records of %zu bytes, not %zu: another form is another version",
                      c->version, c->record_bytes, desc->record_bytes);
    if (desc->convert == NULL)
        return refuse(mod, desc->name, "it is of version %u and can't be taken over as version %u: a restart begins it anew",
                      c->version, desc->version);
    container *turned = convert(mod, old, desc);
    if (turned != NULL) return add(mod, desc, turned);
    return refuse(mod, desc->name, "a record of version %u can't be turned into version %u", c->version, desc->version);
}

static const char *fault_of(sv_mod *mod, const sv_table_desc *desc)
{
    const size_t least = offsetof(sv_table_desc, convert) + sizeof desc->convert;
    const size_t length = desc->size >= least && desc->name != NULL ? strlen(desc->name) : 0;
    if (desc->size < least) return "its description is too small";
    if (length == 0 || length > NAME_MAX_BYTES) return "its name has 1 to 64 bytes";
    if (desc->record_bytes == 0 || desc->record_bytes > RECORD_MAX_BYTES) return "a record has 1 byte to 1 MiB";
    if (desc->max_records == 0 || desc->max_records > RECORDS_MAX) return "it has 1 to 16777216 records";
    size_t count = 0;
    for (const sv_table *t = mod->tables; t != NULL; t = t->next) count++;
    if (count == TABLES_MAX) return "a module has at most 64";
    return find(mod, desc->name) != NULL ? "it is there already" : NULL;
}

sv_table *svi_api_table(sv_mod *mod, const sv_table_desc *desc)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const char *fault = fault_of(mod, desc);
    if (fault != NULL) return refuse(mod, desc->size >= sizeof(size_t) * 2 ? desc->name : NULL, "%s", fault);
    const sv_table *old = find(mod->before, desc->name);
    if (old != NULL) return adopt(mod, desc, old);
    return add(mod, desc, container_new(&mod->memory->acct, desc->version, desc->record_bytes));
}

void svi_tables_settle(sv_mod *mod)
{
    for (sv_table *table = mod->tables; table != NULL; table = table->next) undo_free(table, false);
}

void svi_tables_drop(sv_mod *mod)
{
    while (mod->tables != NULL) {
        sv_table *table = mod->tables;
        mod->tables = table->next;
        undo_free(table, true); /* it has not taken over: those who go on find what they had */
        container_unref(&table->c);
        table->magic = 0;
        svi_free(table);
    }
}

/* --- records ---------------------------------------------------------------------------------------- */

const void *svi_api_table_get(const sv_table *table, sv_str key)
{
    SV_CHECK(table, TABLE_MAGIC);
    return svi_dict_get(table->c->records, key);
}

void *svi_api_table_put(sv_table *table, sv_str key)
{
    SV_CHECK(table, TABLE_MAGIC);
    container *c = table->c;
    if (!svi_mod_may_write(table->mod, table->mod->acting)) return NULL;
    void *record = svi_dict_get(c->records, key);
    note(table, key, record);
    if (record != NULL) return record;
    if (key.n > KEY_MAX_BYTES || svi_dict_count(c->records) >= table->max_records) return NULL;
    record = svi_alloc(c->acct, c->record_bytes);
    (void)svi_dict_put(c->records, key, record);
    return record;
}

bool svi_api_table_del(sv_table *table, sv_str key)
{
    SV_CHECK(table, TABLE_MAGIC);
    if (!svi_mod_may_write(table->mod, table->mod->acting)) return false;
    void *record = svi_dict_get(table->c->records, key);
    if (record == NULL) return false;
    note(table, key, record);
    before *b = table->undo != NULL ? svi_dict_get(table->undo, key) : NULL;
    (void)svi_dict_del(table->c->records, key);
    if (b != NULL && b->record == record)
        b->is_away = true;
    else
        svi_free(record);
    return true;
}

const void *svi_api_table_next(const sv_table *table, size_t *pos, sv_str *key_out)
{
    SV_CHECK(table, TABLE_MAGIC);
    void *record;
    return svi_dict_next(table->c->records, pos, key_out, &record) ? record : NULL;
}

size_t svi_api_table_count(const sv_table *table)
{
    SV_CHECK(table, TABLE_MAGIC);
    return svi_dict_count(table->c->records);
}
