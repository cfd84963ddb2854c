/* A table of CA files made of the hosts' sections. */
#include "main/main_peers.h"

#include "main/main_settings.h"

static sv_status add(svi_peers *peers, const svi_config *config, const svi_section *section,
                     sv_str ca_file, svi_config_report report, void *ctx)
{
    sv_err err = {.text = ""};
    if (svi_peers_add(peers, section->name, ca_file, &err) == SV_OK) return SV_OK;
    const svi_value *at = svi_config_get(config, section, SV_STR("c2s_client_ca"));
    report(ctx, at ? at->file : section->file, at ? at->line : section->line, err.text);
    return SV_EINVAL;
}

sv_status svi_peers_of_config(svi_acct *acct, const svi_config *config, svi_config_report report,
                              void *ctx, svi_peers **peers_out)
{
    svi_peers *peers = svi_peers_new(acct, svi_plat_kernel());
    sv_status status = SV_OK;
    size_t count = 0;
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config, i)) != NULL; i++) {
        svi_settings s;
        if (section->kind != SVI_SECTION_HOST) continue;
        sv_status one = svi_settings_read(config, section, &s, report, ctx);
        if (one == SV_OK && s.c2s_client_ca.n > 0) {
            one = add(peers, config, section, s.c2s_client_ca, report, ctx);
            count++;
        }
        if (one != SV_OK) status = one;
    }
    if (status != SV_OK || count == 0) svi_peers_unref(&peers);
    *peers_out = peers;
    return status;
}
