/* Shadows from the operator's word to their end, and what is told of them. */
#include "mods/mods_shadow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_log.h"
#include "mods/mods_record.h"
#include "mods/mods_shadow_impl.h"

enum { TEXT_BYTES_MAX = 1 << 20, PATH_BYTES = 1024 };

/* --- life -------------------------------------------------------------------------------------------- */

static svi_shadow *shadow_new(svi_mods *mods, const char *path)
{
    svi_shadow *shadow = svi_alloc(mods->acct, sizeof *shadow);
    const svi_plat *plat = svi_server_plat(mods->config.server);
    shadow->refs = 1;
    shadow->acct = mods->acct;
    shadow->server = mods->config.server;
    shadow->path = svi_alloc(mods->acct, strlen(path) + 1);
    memcpy(shadow->path, path, strlen(path));
    shadow->since_s = plat->wall_us(plat->ctx) / 1000000;
    shadow->aside = svi_aside_new(mods->acct, SVI_ASIDE_BYTES);
    svi_shadow_tables_fill(shadow);
    svi_shadow_look(shadow, plat->mono_us(plat->ctx));
    shadow->is_late = false; /* whatever was before */
    return shadow;
}

void svi_shadow_unref(svi_shadow **shadow)
{
    svi_shadow *s = *shadow;
    *shadow = NULL;
    SV_ASSERT(s->refs > 0);
    if (--s->refs > 0) return;
    SV_ASSERT(s->trials == NULL && s->sample_count == 0 && s->past == NULL);
    svi_aside_free(&s->aside);
    svi_mod_file_unref(&s->file);
    svi_free(s->path);
    svi_free(s);
}

/* Other hosts of the live version are compared no more either, once none is left. */
static void give_api_back(const svi_trial *trial)
{
    for (const svi_trial *t = trial->shadow->trials; t != NULL; t = t->next)
        if (t != trial && t->live->file == trial->live->file) return;
    svi_script_set_api(trial->live->file->script, svi_mods_api());
}

static void trial_end(svi_trial *trial)
{
    svi_shadow *shadow = trial->shadow;
    sv_mod *mine = trial->mine;
    give_api_back(trial);
    svi_trial_deafen(trial);
    svi_trial **at = &shadow->trials;
    while (*at != trial) at = &(*at)->next;
    *at = trial->next;
    trial->live->trial = NULL;
    trial->live = NULL;
    trial->mine = NULL;
    svi_mod_retire(mine);
    svi_mod_unref(&mine); /* the trial goes with it, when its events are over */
}

static void shadow_end(svi_shadow *shadow, const char *why)
{
    svi_shadow **at = &shadow->past->shadows;
    while (*at != shadow) at = &(*at)->next;
    *at = shadow->next;
    shadow->past = NULL;
    while (shadow->trials != NULL) trial_end(shadow->trials);
    SV_LOG(SV_INFO, "policy-shadow-ended", LF_TXT("policy", shadow->file->name), LF_TXT("why", why), LF_INT("same", shadow->same),
           LF_INT("differing", shadow->differing), LF_INT("unknown", shadow->unknown), LF_INT("skipped", shadow->skipped));
    svi_shadow_unref(&shadow);
}

void svi_trial_live_ends(sv_mod *live)
{
    svi_shadow *shadow = live->trial->shadow;
    if (shadow->past != NULL && shadow->trials->next == NULL)
        shadow_end(shadow, "the live version has ended");
    else
        trial_end(live->trial);
}

void svi_trial_gone(sv_mod *mine)
{
    svi_trial *trial = mine->tries;
    svi_shadow *shadow = trial->shadow;
    SV_ASSERT(trial->live == NULL && trial->tables == NULL);
    mine->tries = NULL;
    svi_script_set_api(mine->file->script, svi_mods_api()); /* the other table may go now */
    svi_free(trial);
    svi_shadow_unref(&shadow);
}

/* An error of a shadow is its verdict; one in `start` refuses it. */
void svi_trial_fault(sv_mod *mine)
{
    mine->conduct.faults.total++;
}

bool svi_trial_is_short(const sv_mod *mine)
{
    if (mine->tries == NULL || mine->tries->live == NULL) return false;
    svi_shadow *shadow = mine->tries->shadow;
    return shadow->sample_count >= SVI_SAMPLES_MAX || svi_shadow_is_short(shadow);
}

svi_aside *svi_trial_aside(const sv_mod *mine)
{
    return mine->tries->shadow->aside;
}

/* --- beginning --------------------------------------------------------------------------------------- */

static sv_status load(svi_mods *mods, const svi_shadowing *how, svi_shadow *shadow, sv_err *err)
{
    svi_mods_config config = mods->config;
    config.script_api = &shadow->my_api;
    const sv_status status = svi_mod_file_open_with(mods->acct, &config, how->path, &shadow->file, err);
    if (status != SV_OK) return status;
    if (shadow->file->script == NULL) return svi_err(err, SV_EINVAL, "%.150s is no script: policies are called NAME.lua", how->path);
    if (!svi_script_is_policy(shadow->file->script))
        return svi_err(err, SV_EINVAL, "%.120s does not say that it is a policy: `policy = true` in its sv.script", how->path);
    if (svi_mods_shadow_of(mods, sv_str_of(shadow->file->name)) != NULL)
        return svi_err(err, SV_EEXIST, "\"%s\" has a shadow already: `stave policy drop %s` ends it", shadow->file->name, shadow->file->name);
    return SV_OK;
}

static sv_status is_comparable(const sv_mod *live, sv_err *err)
{
    const char *name = live->file->name;
    if (live->file->script == NULL || !svi_script_is_policy(live->file->script))
        return svi_err(err, SV_EINVAL, "module \"%s\", which is enabled, is no policy (`policy = true` in its sv.script): nothing to compare with", name);
    if (!live->is_started || live->trial != NULL)
        return svi_err(err, SV_EINVAL, "module \"%s\" does not run on %s: `stave modules` says why", name, live->group->host_name.p);
    return SV_OK;
}

/* Beside the live version on one host: with the same options, and what that would give to a next generation. */
static sv_status try_on(svi_mods *mods, const svi_shadowing *how, svi_shadow *shadow, sv_mod *live, sv_err *err)
{
    const svi_section *section = svi_mods_section_of(mods, live->group);
    svi_trial *trial = svi_alloc(shadow->acct, sizeof *trial);
    sv_mod *mine = svi_mod_new(live->group, shadow->file, NULL, NULL);
    *trial = (svi_trial){.shadow = shadow, .live = live, .mine = mine, .next = shadow->trials};
    shadow->refs++;
    shadow->trials = trial;
    mine->tries = trial;
    live->trial = trial;
    svi_script_set_shadow(mine->self);
    svi_trial_listen(trial);
    sv_status status = svi_mod_configure(mods, section, mine, how->report, how->report_ctx);
    if (status != SV_OK) return svi_err(err, status, "the options of \"%s\" do not fit its shadow", shadow->file->name);
    status = svi_mod_save(live, mine);
    if (status == SV_OK) status = svi_mod_start(mine);
    if (status == SV_OK) return SV_OK;
    return svi_err(err, status, "it does not start on %s: %s%s%.120s", live->group->host_name.p,
                   status == SV_EVERSION && mine->why_not != NULL ? mine->why_not : svi_status_name(status), mine->why != NULL ? ": " : "",
                   mine->why != NULL ? mine->why : "");
}

static sv_status try_on_all(svi_mods *mods, const svi_shadowing *how, svi_shadow *shadow, sv_err *err)
{
    const sv_str name = sv_str_of(shadow->file->name);
    sv_status status = SV_OK;
    for (const svi_group *group = mods->groups; group != NULL && status == SV_OK; group = group->next) {
        sv_mod *live = how->host == NULL || group->host == how->host ? svi_group_find(group, name) : NULL;
        if (live == NULL) continue;
        status = is_comparable(live, err);
        if (status == SV_OK) status = try_on(mods, how, shadow, live, err);
    }
    if (status != SV_OK || shadow->trials != NULL) return status;
    return svi_err(err, SV_ENOTFOUND, "module \"%s\" is enabled on %s: a shadow is compared with the live policy of its name",
                   shadow->file->name, how->host != NULL ? "that host not" : "no host");
}

sv_status svi_mods_shadow(svi_mods *mods, const svi_shadowing *how, const svi_shadow **shadow_out, sv_err *err)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    SV_ASSERT(mods->is_running);
    svi_shadow *shadow = shadow_new(mods, how->path);
    sv_status status = load(mods, how, shadow, err);
    if (status == SV_OK) status = try_on_all(mods, how, shadow, err);
    if (status != SV_OK) {
        while (shadow->trials != NULL) trial_end(shadow->trials);
        svi_shadow_unref(&shadow);
        return status;
    }
    shadow->past = mods->past;
    svi_shadow **end = &mods->past->shadows;
    while (*end != NULL) end = &(*end)->next;
    *end = shadow;
    *shadow_out = shadow;
    SV_LOG(SV_INFO, "policy-shadow", LF_TXT("policy", shadow->file->name), LF_TXT("file", shadow->path));
    return SV_OK;
}

/* --- finding and ending ------------------------------------------------------------------------------ */

const svi_shadow *svi_mods_shadow_at(const svi_mods *mods, size_t i)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    const svi_shadow *shadow = mods->past->shadows;
    while (shadow != NULL && i-- > 0) shadow = shadow->next;
    return shadow;
}

static svi_shadow *shadow_of(const svi_mods *mods, sv_str name)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    svi_shadow *shadow = mods->past->shadows;
    while (shadow != NULL && !sv_str_eq(sv_str_of(shadow->file->name), name)) shadow = shadow->next;
    return shadow;
}

const svi_shadow *svi_mods_shadow_of(const svi_mods *mods, sv_str name)
{
    return shadow_of(mods, name);
}

bool svi_mods_shadow_drop(svi_mods *mods, sv_str name)
{
    svi_shadow *shadow = shadow_of(mods, name);
    if (shadow != NULL) shadow_end(shadow, "it was dropped");
    return shadow != NULL;
}

/* --- promoting --------------------------------------------------------------------------------------- */

/* The text of a file; NULL if there is none, or errno says why. */
static char *read_text(svi_acct *acct, const char *path, size_t *size_out)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = NULL;
    *size_out = 0;
    if (fd < 0) return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= TEXT_BYTES_MAX) {
        text = svi_alloc_raw(acct, (size_t)st.st_size);
        const ssize_t got = read(fd, text, (size_t)st.st_size);
        *size_out = got > 0 ? (size_t)got : 0;
    }
    close(fd);
    return text;
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t put = write(fd, text, size);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        text += put;
        size -= (size_t)put;
    }
    return fsync(fd) == 0;
}

/* The new name of a file is on disk, too. */
static void sync_folder_of(const char *path)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    const int n = slash != NULL ? (int)(slash - path) : 0;
    (void)snprintf(folder, sizeof folder, "%.*s/", n, path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    if (fsync(fd) != 0) SV_LOG(SV_WARN, "policy-not-synced", LF_TXT("file", path), LF_TXT("reason", strerror(errno)));
    close(fd);
}

/* All of it or nothing, with the rights of the file that was there. errno says why not. */
static bool replace_text(const char *path, const char *text, size_t size)
{
    char fresh[PATH_BYTES];
    struct stat st;
    const int n = snprintf(fresh, sizeof fresh, "%s.promoting", path);
    if (n < 0 || (size_t)n >= sizeof fresh || stat(path, &st) != 0) return false;
    (void)unlink(fresh); /* left there by a server that was killed meanwhile */
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    const bool is_written = write_all(fd, text, size) && fchmod(fd, st.st_mode & 0777) == 0;
    const bool is_fine = close(fd) == 0 && is_written && rename(fresh, path) == 0;
    const int why = errno;
    if (is_fine)
        sync_folder_of(path);
    else
        (void)unlink(fresh);
    errno = why;
    return is_fine;
}

/* What promoting takes: the file, what is in it, what shall be. */
typedef struct promotion {
    const svi_shadow *shadow;
    char *path;
    char *before, *text;
    size_t before_size, text_size;
    bool is_written;
} promotion;

/* A module that was installed is loaded only as it was: the text that is tried must be what was written down. */
static bool may_be_there(const promotion *p)
{
    sv_err err;
    svi_buf list;
    const svi_mod_file *file = p->shadow->file;
    svi_buf_init(&list, file->acct);
    const sv_status status =
        svi_record_check(file->acct, p->path, sv_str_of(file->name), (sv_str){p->text, p->text_size}, &list, &err);
    svi_buf_free(&list);
    return status == SV_OK;
}

static sv_status put_text(promotion *p, sv_err *err)
{
    const char *slash = strrchr(p->path, '/');
    const sv_str folder = {p->path, slash != NULL ? (size_t)(slash - p->path) : 0};
    const char *other = svi_mod_script_differs(p->shadow->file, folder);
    if (other != NULL)
        return svi_err(err, SV_EDENIED, "its file %.40s is another one in %.*s: copy it there, then promote again", other,
                       (int)(folder.n < 100 ? folder.n : 100), folder.p);
    const bool may_be = may_be_there(p);
    if (!may_be)
        return svi_err(err, SV_EDENIED, "what lies there was installed: stave module install %.100s, then promote again", p->shadow->path);
    if (p->before != NULL && p->before_size == p->text_size && memcmp(p->before, p->text, p->text_size) == 0) return SV_OK;
    if (p->before != NULL && svi_str_ends(sv_str_of(p->path), SV_STR(".lua")) && replace_text(p->path, p->text, p->text_size)) {
        p->is_written = true;
        return SV_OK;
    }
    return svi_err(err, SV_EDENIED, "the server can't write %.80s (%s): copy the file there (cp %.60s ...), then promote again", p->path,
                   strerror(errno), p->shadow->path);
}

static sv_status promote(svi_mods *mods, promotion *p, const svi_mods_reloading *how, svi_mods_reloaded *done, sv_err *err)
{
    char name[SVI_MOD_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s", p->shadow->file->name);
    sv_status status = put_text(p, err);
    if (status != SV_OK) return status;
    status = svi_mods_reload(mods, how, done);
    if (status == SV_OK) {
        SV_LOG(SV_INFO, "policy-promoted", LF_TXT("policy", name), LF_TXT("file", p->path));
        return SV_OK;
    }
    if (p->is_written && !replace_text(p->path, p->before, p->before_size))
        SV_LOG(SV_ERROR, "policy-not-restored", LF_TXT("policy", name), LF_TXT("file", p->path), LF_TXT("reason", strerror(errno)));
    return svi_err(err, status, "\"%s\" can't be reloaded with the shadow's text: the live version goes on", name);
}

sv_status svi_mods_shadow_promote(svi_mods *mods, sv_str name, const svi_mods_reloading *how, char *path_out, size_t path_bytes,
                                  svi_mods_reloaded *reloaded_out, sv_err *err)
{
    const svi_shadow *shadow = shadow_of(mods, name);
    if (shadow == NULL) return svi_err(err, SV_ENOTFOUND, "policy \"%.*s\" has no shadow: `stave policy list` shows which have", (int)(name.n < 60 ? name.n : 60), name.p);
    if (!svi_bus_is_idle(svi_server_bus(mods->config.server))) return svi_err(err, SV_EBUSY, "not from inside a stanza: ask the server's command line");
    sv_status status = svi_mod_file_find(&mods->config, name, path_out, path_bytes, err);
    if (status != SV_OK) return status;
    promotion p = {.shadow = shadow, .path = path_out, .text_size = shadow->file->size};
    p.text = svi_mod_file_image(mods->acct, shadow->file);
    p.before = read_text(mods->acct, path_out, &p.before_size);
    status = p.text != NULL ? promote(mods, &p, how, reloaded_out, err) : svi_err(err, SV_EIO, "its text can't be read again");
    svi_free(p.text);
    svi_free(p.before);
    return status;
}

/* --- figures ----------------------------------------------------------------------------------------- */

void svi_shadow_info_get(const svi_shadow *s, svi_shadow_info *info_out)
{
    *info_out = (svi_shadow_info){.name = s->file->name,
                                  .path = s->path,
                                  .since_s = s->since_s,
                                  .same = s->same,
                                  .differing = s->differing,
                                  .unknown = s->unknown,
                                  .skipped = s->skipped,
                                  .errors = s->errors,
                                  .waiting = s->sample_count,
                                  .cpu_us = s->cpu_us,
                                  .state_bytes = svi_script_bytes(s->file->script),
                                  .aside_bytes = svi_aside_bytes(s->aside)};
    for (const svi_trial *t = s->trials; t != NULL; t = t->next) info_out->hosts++;
}

const char *svi_shadow_host(const svi_shadow *shadow, size_t i)
{
    const svi_trial *trial = shadow->trials;
    while (trial != NULL && i-- > 0) trial = trial->next;
    return trial != NULL ? trial->live->group->host_name.p : NULL;
}

/* Its hook number `k` that the other one has not as often. */
static bool is_odd(const sv_mod *mod, size_t k, const sv_mod *other)
{
    const sv_hook *hooks = mod->file->desc.hooks, *others = other->file->desc.hooks;
    size_t left = 1;
    if (!svi_script_is_handler(mod->file->script, k)) return false;
    for (size_t i = 0; i < k; i++) left += strcmp(hooks[i].on, hooks[k].on) == 0;
    for (size_t i = 0; others != NULL && others[i].on != NULL && left > 0; i++) left -= strcmp(others[i].on, hooks[k].on) == 0;
    return left > 0;
}

bool svi_shadow_odd_hook(const svi_shadow *shadow, size_t i, const char **hook_out, const char **whose_out)
{
    if (shadow->trials == NULL) return false;
    const sv_mod *const both[] = {shadow->trials->live, shadow->trials->mine};
    for (size_t m = 0; m < 2; m++)
        for (size_t k = 0; both[m]->file->desc.hooks[k].on != NULL; k++) {
            if (!is_odd(both[m], k, both[1 - m]) || i-- > 0) continue;
            *hook_out = both[m]->file->desc.hooks[k].on;
            *whose_out = m == 0 ? "live" : "shadow";
            return true;
        }
    return false;
}

bool svi_shadow_count_at(const svi_shadow *shadow, size_t i, const svi_shadow_count **count_out)
{
    if (i >= shadow->count_count) return false;
    *count_out = &shadow->counts[i];
    return true;
}

bool svi_shadow_difference_at(const svi_shadow *shadow, size_t i, const svi_difference **difference_out)
{
    if (i >= SVI_DIFFERENCES_MAX || i >= shadow->difference_count) return false;
    *difference_out = &shadow->differences[(shadow->difference_count - 1 - i) % SVI_DIFFERENCES_MAX];
    return true;
}
