/* Refuses the interface it is given. */
#include <stave/module.h>

SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api);
SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api)
{
    return api->size == 0 ? (const sv_module_desc *)(const void *)api : NULL;
}
