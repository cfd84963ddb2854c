/* Module table: values that a generation leaves to the next. */
#include "mods/mods_api.h"

enum { BLOB_MAGIC = 0x424c4f42, NAME_MAX_BYTES = 64, VALUE_COST = 64 };

typedef struct value {
    struct value *next;
    const char *name;
    uint32_t version;
    bool is_int;
    int64_t number;
    sv_str bytes;
} value;

struct sv_blob {
    uint32_t magic;
    bool is_full;
    size_t bytes; /* about what the values take */
    svi_arena *arena;
    value *first;
};

sv_blob *svi_blob_new(svi_acct *acct)
{
    sv_blob *blob = svi_alloc(acct, sizeof *blob);
    *blob = (sv_blob){.magic = BLOB_MAGIC, .arena = svi_arena_new(acct, 256)};
    return blob;
}

bool svi_blob_is_full(const sv_blob *blob)
{
    SV_CHECK(blob, BLOB_MAGIC);
    return blob->is_full;
}

void svi_blob_free(sv_blob **blob)
{
    sv_blob *b = *blob;
    *blob = NULL;
    if (b == NULL) return;
    SV_CHECK(b, BLOB_MAGIC);
    b->magic = 0;
    svi_arena_free(&b->arena);
    svi_free(b);
}

static value *find(const sv_blob *blob, const char *name)
{
    value *v = blob != NULL ? blob->first : NULL;
    while (v != NULL && strcmp(v->name, name) != 0) v = v->next;
    return v;
}

/* Room for a value of that name; the one that is there counts no more. */
static sv_status add(sv_blob *blob, const char *name, size_t bytes, value **value_out)
{
    SV_CHECK(blob, BLOB_MAGIC);
    const size_t length = name != NULL ? strlen(name) : 0;
    if (length == 0 || length > NAME_MAX_BYTES) return SV_EINVAL;
    if (bytes > SVI_BLOB_BYTES || blob->bytes + bytes + length + VALUE_COST > SVI_BLOB_BYTES) {
        blob->is_full = true;
        return SV_ELIMIT;
    }
    blob->bytes += bytes + length + VALUE_COST;
    value *v = svi_arena_get(blob->arena, sizeof *v);
    v->name = svi_arena_str(blob->arena, (sv_str){name, length}).p;
    v->next = blob->first;
    blob->first = v;
    *value_out = v;
    return SV_OK;
}

sv_status svi_api_save_bytes(sv_blob *blob, const char *name, uint32_t version, sv_str bytes)
{
    value *v;
    const sv_status status = add(blob, name, bytes.n, &v);
    if (status != SV_OK) return status;
    v->version = version;
    v->bytes = svi_arena_str(blob->arena, bytes);
    return SV_OK;
}

sv_status svi_api_save_int(sv_blob *blob, const char *name, uint32_t version, int64_t number)
{
    value *v;
    const sv_status status = add(blob, name, 0, &v);
    if (status != SV_OK) return status;
    v->version = version;
    v->is_int = true;
    v->number = number;
    return SV_OK;
}

bool svi_api_saved_bytes(sv_mod *mod, const char *name, uint32_t *version_out, sv_str *bytes_out)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const value *v = find(mod->saved, name);
    const bool found = v != NULL && !v->is_int;
    *version_out = found ? v->version : 0;
    *bytes_out = found ? v->bytes : SV_STR_NONE;
    return found;
}

bool svi_api_saved_int(sv_mod *mod, const char *name, uint32_t *version_out, int64_t *number_out)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const value *v = find(mod->saved, name);
    const bool found = v != NULL && v->is_int;
    *version_out = found ? v->version : 0;
    *number_out = found ? v->number : 0;
    return found;
}
