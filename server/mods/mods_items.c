/* Module table: named items of a host, which all its modules read and the one that made them changes. They lie in their
 * module's generation, so that they go when it goes. */
#include "mods/mods_api.h"

#include "base/base_str.h"

enum { NAME_MAX_BYTES = 64, VALUE_MAX_BYTES = 16384, ITEMS_MAX = 64, CHANGES_MAX = 1024 };

struct svi_item {
    svi_item *next;
    sv_str name, value;
};

static bool is_item_name(sv_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                          c == '/' || c == '.';
        if (!fine) return false;
    }
    return name.n > 0 && name.n <= NAME_MAX_BYTES;
}

/* Where the module's item of that name hangs, or where one would. */
static svi_item **place_of(sv_mod *mod, sv_str name)
{
    svi_item **at = &mod->items;
    while (*at != NULL && !sv_str_eq((*at)->name, name)) at = &(*at)->next;
    return at;
}

static const svi_item *find(const svi_group *group, sv_str name, const sv_mod **owner_out)
{
    for (size_t i = 0; i < group->count; i++) {
        *owner_out = group->mods[i];
        const svi_item *item = *place_of(group->mods[i], name);
        if (item != NULL) return item;
    }
    return NULL;
}

sv_str svi_api_host_item(const sv_mod *mod, const char *name)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const sv_mod *owner;
    const svi_item *item = find(mod->group, sv_str_of(name), &owner);
    return item != NULL ? item->value : SV_STR_NONE;
}

/* --- telling ---------------------------------------------------------------------------------------- */

static void tell_over(void *ctx)
{
    svi_group *group = ctx;
    svi_group_unref(&group);
}

/* Fires host/item for each name that has changed; what handlers change has its turn later. */
static void tell(void *ctx)
{
    svi_group *group = ctx;
    svi_dict *changed = group->changed_items;
    size_t pos = 0;
    sv_str name;
    void *value;
    group->changed_items = NULL;
    while (svi_dict_next(changed, &pos, &name, &value)) {
        svi_host *host = group->is_live ? svi_host_find(group->server, group->host_name) : NULL;
        if (host != NULL) svi_occasion(host, SVI_POINT_HOST_ITEM, NULL, NULL, NULL, name, NULL);
    }
    svi_dict_free(&changed);
    svi_group_unref(&group);
}

static void note_change(svi_group *group, sv_str name)
{
    if (group->changed_items == NULL) {
        group->changed_items = svi_dict_new(group->acct);
        svi_server_defer(group->server, tell, tell_over, svi_group_ref(group));
    }
    (void)svi_dict_put(group->changed_items, name, group);
}

/* Notes what one group has that the other has not, or has otherwise. */
static void note_differences(svi_group *to, const svi_group *a, const svi_group *b)
{
    const sv_mod *owner;
    for (size_t i = 0; i < a->count; i++)
        for (const svi_item *item = a->mods[i]->items; item != NULL; item = item->next) {
            const svi_item *other = b != NULL ? find(b, item->name, &owner) : NULL;
            if (other == NULL || !sv_str_eq(other->value, item->value)) note_change(to, item->name);
        }
}

void svi_group_items_live(svi_group *group)
{
    note_differences(group, group, group->before);
    if (group->before != NULL) note_differences(group, group->before, group);
}

void svi_group_items_change(svi_group *home, const svi_group *next)
{
    note_differences(home, next, home);
    note_differences(home, home, next);
}

/* --- setting ---------------------------------------------------------------------------------------- */

static void item_free(svi_item *item)
{
    svi_str_free(&item->name);
    svi_str_free(&item->value);
    svi_free(item);
}

static void take_away(sv_mod *mod, svi_item **at)
{
    svi_item *item = *at;
    *at = item->next;
    mod->item_count--;
    item_free(item);
}

static sv_status put_item(sv_mod *mod, svi_item **at, sv_str name, sv_str value)
{
    if (*at == NULL) {
        if (mod->item_count == ITEMS_MAX) return SV_ELIMIT;
        mod->item_count++;
        *at = svi_alloc(&mod->acct, sizeof **at);
        (*at)->name = svi_str_dup(&mod->acct, name);
    }
    const sv_str copy = svi_str_dup(&mod->acct, value); /* it may be the old one */
    svi_str_free(&(*at)->value);
    (*at)->value = copy;
    return SV_OK;
}

sv_status svi_api_host_set_item(sv_mod *mod, const char *name, sv_str value)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    svi_group *group = mod->group;
    const sv_str key = sv_str_of(name);
    const sv_mod *owner;
    if (!is_item_name(key) || (value.n > 0 && !svi_utf8_valid(value))) return SV_EINVAL;
    if (value.n > VALUE_MAX_BYTES) return SV_ELIMIT;
    if (mod->is_retired) return SV_ECLOSED;
    const svi_item *item = find(group, key, &owner);
    if (item != NULL && owner == mod->before) item = *place_of(mod, key); /* it takes its place */
    if (item != NULL && owner != mod && owner != mod->before) return SV_EDENIED;
    if (value.p == NULL ? item == NULL : item != NULL && sv_str_eq(item->value, value)) return SV_OK;
    const bool is_full = group->changed_items != NULL && svi_dict_count(group->changed_items) >= CHANGES_MAX;
    if (is_full && svi_dict_get(group->changed_items, key) == NULL) return SV_ELIMIT;
    svi_item **at = place_of(mod, key);
    sv_status status = SV_OK;
    if (value.p == NULL)
        take_away(mod, at);
    else
        status = put_item(mod, at, key, value);
    if (status == SV_OK && mod->is_live) note_change(group, key);
    return status;
}

void svi_items_drop(sv_mod *mod)
{
    while (mod->items != NULL) take_away(mod, &mod->items);
}
