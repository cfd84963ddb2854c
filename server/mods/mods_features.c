/* Stream features that modules bring: those of their descriptions, and those they set while they run. */
#include "mods/mods_api.h"

#include "xml/xml_stanza.h"

#define FRAME "features"

/* True if what stands in the frame is nothing but elements that no client takes for a stanza or a part of
 * the stream. */
static bool are_features(const sv_node *frame)
{
    const sv_node *element;
    sv_str text;
    for (size_t i = 0; svi_node_child_at(frame, i, &element, &text); i++) {
        if (element == NULL) return false;
        const sv_str ns = svi_node_ns(element);
        if (ns.n == 0 || sv_str_eq(ns, SV_STR(SVI_NS_CLIENT)) ||
            sv_str_eq(ns, SV_STR(SVI_NS_STREAM)))
            return false;
    }
    return true;
}

static sv_status check(svi_acct *acct, const svi_atoms *atoms, sv_str xml)
{
    svi_buf buf;
    svi_buf_init(&buf, acct);
    svi_buf_put(&buf, SV_STR("<" FRAME " xmlns='" SVI_NS_CLIENT "'>"));
    svi_buf_put(&buf, xml);
    svi_buf_put(&buf, SV_STR("</" FRAME ">"));
    sv_stanza *frame = NULL;
    sv_status status = svi_stanza_parse(acct, atoms, svi_buf_str(&buf), SV_STR_NONE, &frame, NULL);
    if (status == SV_OK && !are_features(svi_stanza_root(frame))) status = SV_EINVAL;
    svi_stanza_unref(&frame);
    svi_buf_free(&buf);
    return status;
}

sv_status svi_mod_features_check(svi_acct *acct, const svi_mod_file *file, sv_err *err)
{
    const sv_str xml = sv_str_of(file->desc.stream_features);
    if (xml.n == 0) return SV_OK;
    svi_atoms *atoms = svi_atoms_extend(acct, NULL, NULL, 0); /* what is declared makes no difference here */
    const sv_status status = check(acct, atoms, xml);
    svi_atoms_free(&atoms);
    if (status == SV_OK) return SV_OK;
    return svi_err(err, SV_EINVAL,
                   "its stream features are not XML elements with namespaces of their own");
}

void svi_group_stream_features(const svi_group *group)
{
    svi_buf buf;
    svi_buf_init(&buf, group->acct);
    for (size_t i = 0; i < group->count; i++) {
        svi_buf_put(&buf, sv_str_of(group->mods[i]->file->desc.stream_features));
        svi_buf_put(&buf, group->mods[i]->stream_feature);
    }
    svi_host_set_features(group->host, svi_buf_str(&buf));
    svi_buf_free(&buf);
}

sv_status svi_api_set_stream_feature(sv_mod *mod, sv_str xml)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const svi_group *group = mod->group;
    if (group->host == NULL) return SV_EDENIED;
    const sv_status status = check(group->acct, svi_server_atoms(group->server), xml);
    if (status != SV_OK) return status;
    svi_str_free(&mod->stream_feature);
    mod->stream_feature = svi_str_dup(&mod->acct, xml);
    if (mod->is_live) svi_group_stream_features(group);
    return SV_OK;
}
