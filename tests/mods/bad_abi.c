/* Made for an interface of another major: written out, since SV_MODULE always fills in its own. */
#include <stave/module.h>

static const sv_module_desc desc = {
    .size = sizeof(sv_module_desc),
    .abi_major = 9,
    .abi_minor = 0,
    .hook_stride = sizeof(sv_hook),
    .option_stride = sizeof(sv_option),
    .name = "bad_abi",
    .summary = "Made for another interface",
};

SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api);
SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api)
{
    (void)api;
    return &desc;
}
