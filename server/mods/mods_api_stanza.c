/* Module table: reading stanzas and building them. What is made for an event is freed with it; what a module keeps is counted
 * to it. */
#include "mods/mods_api.h"

#include "xml/xml_writer.h"

enum { PAIRS_MAX = 64 };

/* --- reading ---------------------------------------------------------------------------------------- */

const sv_node *svi_api_root(const sv_event *ev)
{
    const sv_stanza *stanza = svi_event_stanza(ev);
    return stanza != NULL ? svi_stanza_root(stanza) : NULL;
}

const sv_node *svi_api_payload(const sv_event *ev)
{
    const sv_node *root = svi_api_root(ev);
    return root != NULL ? svi_node_first(root) : NULL;
}

sv_str svi_api_text(sv_event *ev, const sv_node *node)
{
    SV_ASSERT(node != NULL);
    return svi_node_text(node, svi_event_arena(ev));
}

/* --- building --------------------------------------------------------------------------------------- */

static void unref_made(void *ctx)
{
    sv_stanza *stanza = ctx;
    svi_stanza_unref(&stanza);
}

/* Gives a stanza to the event, which frees it at its end. */
static const sv_stanza *lend(sv_event *ev, sv_stanza *take)
{
    svi_event_at_end(ev, unref_made, take);
    return take;
}

sv_draft *svi_api_draft(sv_event *ev, sv_str name, sv_str ns)
{
    return svi_draft_new(svi_event_arena(ev), name, ns);
}

const sv_stanza *svi_api_freeze(sv_event *ev, const sv_draft *draft)
{
    SV_ASSERT(draft != NULL);
    svi_server *server = svi_xevent_of(ev)->server;
    return lend(ev, svi_draft_freeze(svi_server_acct(server), svi_server_atoms(server), draft));
}

static const sv_stanza *edited(sv_event *ev, const sv_stanza *stanza, const svi_edit *edit)
{
    SV_ASSERT(stanza != NULL);
    svi_server *server = svi_xevent_of(ev)->server;
    return lend(ev,
                svi_stanza_edit(svi_server_acct(server), svi_server_atoms(server), stanza, edit));
}

const sv_stanza *svi_api_with_attrs(sv_event *ev, const sv_stanza *stanza, const sv_str *pairs,
                                    size_t count)
{
    SV_ASSERT(count % 2 == 0 && count / 2 <= PAIRS_MAX);
    svi_attr_set attrs[PAIRS_MAX];
    for (size_t i = 0; i < count / 2; i++)
        attrs[i] = (svi_attr_set){.name = pairs[2 * i], .value = pairs[2 * i + 1]};
    return edited(ev, stanza, &(svi_edit){.attrs = attrs, .attr_count = count / 2});
}

const sv_stanza *svi_api_with_child(sv_event *ev, const sv_stanza *stanza, const sv_draft *child)
{
    SV_ASSERT(child != NULL);
    return edited(ev, stanza, &(svi_edit){.add = &child, .add_count = 1});
}

/* --- keeping ---------------------------------------------------------------------------------------- */

static sv_str key_of(const sv_stanza *const *stanza)
{
    return (sv_str){(const char *)stanza, sizeof *stanza};
}

const sv_stanza *svi_api_stanza_ref(sv_mod *mod, const sv_stanza *stanza)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(stanza != NULL);
    const uintptr_t had = (uintptr_t)svi_dict_get(mod->stanzas, key_of(&stanza));
    (void)svi_dict_put(mod->stanzas, key_of(&stanza), (void *)(had + 1));
    return svi_stanza_ref(stanza);
}

void svi_api_stanza_unref(sv_mod *mod, const sv_stanza **stanza)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const sv_stanza *const given = *stanza;
    *stanza = NULL;
    if (given == NULL) return;
    const uintptr_t had = (uintptr_t)svi_dict_get(mod->stanzas, key_of(&given));
    SV_ASSERT(had > 0); /* it must be one that this module keeps */
    if (had > 1)
        (void)svi_dict_put(mod->stanzas, key_of(&given), (void *)(had - 1));
    else
        (void)svi_dict_del(mod->stanzas, key_of(&given));
    sv_stanza *back = (sv_stanza *)(uintptr_t)given;
    svi_stanza_unref(&back);
}

/* --- as bytes --------------------------------------------------------------------------------------- */

sv_str svi_api_stanza_bytes(sv_event *ev, const sv_stanza *stanza)
{
    SV_ASSERT(stanza != NULL);
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(svi_xevent_of(ev)->server));
    svi_stanza_write(&buf, stanza, SVI_FLAVOUR_ALONE, &(svi_head){.to = SV_STR_NONE});
    const sv_str bytes = svi_arena_str(svi_event_arena(ev), svi_buf_str(&buf));
    svi_buf_free(&buf);
    return bytes;
}

sv_status svi_api_stanza_parse(sv_event *ev, sv_str bytes, const sv_stanza **stanza_out)
{
    svi_server *server = svi_xevent_of(ev)->server;
    sv_stanza *made = NULL;
    *stanza_out = NULL;
    const sv_status status = svi_stanza_parse(svi_server_acct(server), svi_server_atoms(server),
                                              bytes, SV_STR_NONE, &made, NULL);
    if (status == SV_OK) *stanza_out = lend(ev, made);
    return status;
}
