/* Scripts that want to be loaded anew when their files change: looked at by stat alone, once a second. */
#include <sys/stat.h>

#include "mods/mods_impl.h"
#include "mods/mods_script.h"

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

uint64_t svi_file_mark(const struct stat *st)
{
    const uint64_t parts[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
                              (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec};
    uint64_t h = 1;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) h = mix(h, parts[i]);
    return h != 0 ? h : 1;
}

/* Of all its files as they were read. */
static uint64_t loaded_mark(const svi_mod_file *file)
{
    uint64_t h = mix(1, file->mark);
    for (const svi_script_source *s = file->sources; s != NULL; s = s->next) h = mix(h, s->mark);
    return h;
}

/* Of all its files as they are; 0 if one can't be found: while an editor puts another in its place. */
static uint64_t mark_now(const svi_mods *mods, const svi_mod_file *file)
{
    struct stat st;
    if (!svi_mod_file_stat(&mods->config, file->name, &st)) return 0;
    uint64_t h = mix(1, svi_file_mark(&st));
    for (const svi_script_source *s = file->sources; s != NULL; s = s->next) {
        if (stat(s->path, &st) != 0) return 0;
        h = mix(h, svi_file_mark(&st));
    }
    return h;
}

/* Files that were other ones in the look before this as well are left until they rest. */
static bool is_due(const svi_mods *mods, svi_mod_file *file)
{
    const uint64_t now = mark_now(mods, file), before = file->seen_mark;
    file->seen_mark = now;
    if (now == 0 || now != before || now == loaded_mark(file) || now == file->tried_mark) return false;
    file->tried_mark = now;
    return true;
}

size_t svi_mods_changed(svi_mods *mods, const char **names, size_t max)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    size_t count = 0;
    for (size_t i = 0; i < mods->file_count && count < max; i++) {
        svi_mod_file *file = mods->files[i];
        if (file->script == NULL || !svi_script_is_autoreload(file->script) || !svi_mods_enable(mods, file)) continue;
        if (is_due(mods, file)) names[count++] = file->name;
    }
    return count;
}
