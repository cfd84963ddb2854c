/* Module table: its groups and their versions; what a module says that it needs of them. */
#include "mods/mods_api.h"

#include "base/base_str.h"
#include "mods/mods_groups.h"

enum { GROUP_NAME_MAX = 40 };

typedef struct group {
    const char *name;
    uint32_t version;
    const void *(*table)(void);
} group;

static const void *flat(void)
{
    return svi_mods_api();
}

#define GROUP(name, version, table) {name, version, table},
static const group groups[] = {SVI_GROUPS(GROUP)};
enum { COUNT = sizeof groups / sizeof *groups };

static const group *find(sv_str name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (sv_str_eq(name, sv_str_of(groups[i].name))) return &groups[i];
    return NULL;
}

const void *svi_api_query(const char *name, uint32_t least)
{
    SV_ASSERT(name != NULL);
    const group *found = find(sv_str_of(name));
    return found != NULL && found->version >= least ? found->table() : NULL;
}

/* --- needs ------------------------------------------------------------------------------------------ */

static const char *nearest(sv_str name)
{
    const char *near = groups[0].name;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < COUNT; i++) {
        const size_t distance = svi_str_distance(name, sv_str_of(groups[i].name), GROUP_NAME_MAX);
        if (distance >= least) continue;
        least = distance;
        near = groups[i].name;
    }
    return near;
}

/* Takes "engine 1" apart. */
static bool parse(sv_str need, sv_str *name_out, uint32_t *version_out)
{
    sv_str word;
    *version_out = 0;
    if (!svi_str_split(&need, ' ', name_out) || name_out->n == 0 || name_out->n > GROUP_NAME_MAX) return false;
    if (!svi_str_split(&need, ' ', &word) || word.n == 0 || word.n > 4 || need.n > 0) return false;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9') return false;
        *version_out = 10 * *version_out + (uint32_t)(word.p[i] - '0');
    }
    return *version_out > 0;
}

static sv_status check_one(sv_str need, sv_err *err)
{
    sv_str name;
    uint32_t version;
    if (!parse(need, &name, &version))
        return svi_err(err, SV_EINVAL,
                       "it needs \"%.*s\", which is no group with a version: write .needs = \"store 1, commands 1\"",
                       (int)(need.n < 60 ? need.n : 60), need.p);
    const group *found = find(name);
    if (found == NULL)
        return svi_err(err, SV_EVERSION,
                       "it needs the group \"%.*s\", this server (module interface %u.%u) has none (did you mean \"%s\"?): upgrade "
                       "the server, or take the module's release for %u.%u",
                       (int)name.n, name.p, SV_ABI_MAJOR, SV_ABI_MINOR, nearest(name), SV_ABI_MAJOR, SV_ABI_MINOR);
    if (found->version < version)
        return svi_err(err, SV_EVERSION,
                       "it needs version %u of the group \"%s\", this server (module interface %u.%u) has version %u: upgrade the "
                       "server, or take the module's release for %u.%u",
                       version, found->name, SV_ABI_MAJOR, SV_ABI_MINOR, found->version, SV_ABI_MAJOR, SV_ABI_MINOR);
    return SV_OK;
}

sv_status svi_mod_needs_check(const char *needs, sv_err *err)
{
    sv_str rest = sv_str_of(needs), need;
    if (needs == NULL) return SV_OK;
    while (svi_str_split(&rest, ',', &need)) {
        const sv_status status = check_one(svi_str_trim(need), err);
        if (status != SV_OK) return status;
    }
    return SV_OK;
}
