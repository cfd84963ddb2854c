/* Describes itself with impossible sizes. */
#include <stave/module.h>

static const sv_module_desc desc = {
    .size = 16,
    .abi_major = SV_ABI_MAJOR,
    .abi_minor = SV_ABI_MINOR,
    .hook_stride = 1,
    .option_stride = 3,
    .name = "bad_sizes",
};

SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api);
SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api)
{
    (void)api;
    return &desc;
}
