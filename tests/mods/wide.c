/* Made for an interface whose declarations are longer than this server's, and that it may run on all the same: hooks, options and commands
 * have members that are not known here. */
#include <stave/module.h>

#define NS "urn:stave:wide"

typedef struct wide_hook {
    sv_hook hook;
    const char *more;
} wide_hook;
typedef struct wide_option {
    sv_option option;
    const char *more[3];
} wide_option;
typedef struct wide_desc {
    sv_module_desc desc;
    const char *more;
} wide_desc;

typedef struct wide {
    int64_t one, two;
} wide;

static const sv_api *table;

static sv_verdict answer(sv_event *ev, int64_t number)
{
    sv_draft *draft = table->reply(ev, SV_STR("number"), SV_STR(NS));
    table->set_int(draft, SV_STR("is"), number);
    return table->send(ev);
}

static sv_verdict on_one(sv_event *ev, void *self)
{
    return answer(ev, ((const wide *)self)->one);
}

static sv_verdict on_two(sv_event *ev, void *self)
{
    return answer(ev, ((const wide *)self)->two);
}

static const wide_hook hooks[] = {
    {.hook = {.on = "iq-get/host {" NS "}one", .call = on_one}, .more = "m"},
    {.hook = {.on = "iq-get/host {" NS "}two", .call = on_two}, .more = "m"},
    {.hook = {.on = NULL}, .more = "m"},
};
static const wide_option options[] = {
    {.option = SV_OPT_INT(wide, one, "wide_one", "1", "0", "9", "One."), .more = {"m", "m", "m"}},
    {.option = SV_OPT_INT(wide, two, "wide_two", "2", "0", "9", "Two."), .more = {"m", "m", "m"}},
    {.option = {.name = NULL}, .more = {"m", "m", "m"}},
};
static const wide_desc desc = {
    .desc = {.size = sizeof(wide_desc),
             .abi_major = SV_ABI_MAJOR,
             .abi_minor = SV_ABI_MINOR,
             .hook_stride = sizeof(wide_hook),
             .option_stride = sizeof(wide_option),
             .name = "wide",
             .summary = "Has longer declarations",
             .self_size = sizeof(wide),
             .hooks = &hooks[0].hook,
             .options = &options[0].option},
    .more = "m",
};

SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api);
SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api)
{
    table = api;
    return &desc.desc;
}
