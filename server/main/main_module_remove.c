/* `stave module remove`: a module that is enabled nowhere, what it has stored, its file, its record; in this order, so that the same
 * command again goes on wherever it was broken off. */
#include "main/main_module.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "main/main_ask.h"
#include "main/main_child.h"
#include "main/main_module_impl.h"
#include "main/main_offline.h"
#include "main/main_prompt.h"

/* One removal on its way. */
typedef struct removal {
    const svi_module_job *job;
    svi_arena *arena;
    svi_module_paths paths;
    svi_module_home home; /* .path NULL: it lies in no folder of the operator */
    sv_str name;
    bool is_there; /* its file */
    svi_record_kind kind;
    char path[SVI_MODULE_PATH];
    svi_records records;
    const char *other; /* the file that is found by its name then; NULL: none */
    svi_server_state server;
    json_t *data; /* rows of "module data" */
    int64_t owners, rows, deleted_owners, deleted_rows;
    bool is_more;    /* there is at least so much */
    bool is_deleted; /* the data */
    json_t *answer;  /* that says no; NULL: go on */
} removal;

/* --- what is meant ------------------------------------------------------------------------------------ */

static bool take_name(removal *r)
{
    r->name = sv_str_of(r->job->what);
    if (r->job->keeps_data && r->job->deletes_data) return svi_module_refuse(&r->answer, SV_FAULT_USAGE, "--keep-data or --delete-data, not both");
    if (svi_record_is_name(r->name)) return true;
    return svi_module_refuse(&r->answer, SV_FAULT_USAGE, "'%.100s' is no name of a module: lower-case letters, digits, - and _, without .so or .lua", r->job->what);
}

static bool has_record(removal *r, const char *folder)
{
    svi_records records;
    sv_err err = {.text = ""};
    return svi_records_read(r->arena, folder, &records, &err) == SV_OK && svi_records_find(&records, r->name, 0) != NULL;
}

/* The first of the operator's folders that has its file or its record. */
static void find_place(removal *r)
{
    svi_module_paths_get(r->arena, r->job->settings, r->job->program, &r->paths);
    for (size_t i = 0; i < r->paths.own && r->home.path == NULL; i++) {
        if (!svi_module_is_own(&r->paths, i)) continue;
        r->is_there = svi_module_find(r->paths.items[i], r->name, &r->kind, r->path);
        if (r->is_there || has_record(r, r->paths.items[i])) r->home.path = r->paths.items[i];
    }
    for (size_t i = 0; i < r->paths.count && r->other == NULL; i++) {
        char path[SVI_MODULE_PATH];
        svi_record_kind kind;
        if (r->home.path != NULL && svi_module_same_folder(r->paths.items[i], r->home.path)) continue;
        if (svi_module_find(r->paths.items[i], r->name, &kind, path)) r->other = svi_arena_str(r->arena, sv_str_of(path)).p;
    }
}

static bool lock(removal *r)
{
    sv_err err = {.text = ""};
    if (r->home.path == NULL && r->other != NULL)
        return svi_module_refuse(&r->answer, SV_FAULT_REFUSED, "\"%s\" is one of the server's own modules (%s): to be without it, leave it out of modules_enabled",
                      r->job->what, r->other);
    if (r->home.path == NULL) return true;
    if (svi_module_lock(r->home.path, false, &r->home, &err) != SV_OK)
        return svi_module_refuse(&r->answer, err.code == SV_EBUSY ? SV_FAULT_REFUSED : SV_FAULT_FAILED, "%s", err.text);
    if (svi_records_read(r->arena, r->home.path, &r->records, &err) != SV_OK) return svi_module_refuse(&r->answer, SV_FAULT_REFUSED, "%s", err.text);
    r->is_there = svi_module_find(r->home.path, r->name, &r->kind, r->path); /* nobody changes it now */
    return true;
}

static bool is_unused(removal *r)
{
    sv_err err = {.text = ""};
    json_t *running, *enabled = svi_module_enabled_on(r->job->config, r->name);
    r->server = svi_module_running_on(r->job, r->name, &running, &err);
    if (json_array_size(enabled) > 0)
        (void)svi_module_refuse(&r->answer, SV_FAULT_REFUSED, "\"%s\" is enabled on %s: take it out of the configuration%s, then remove it", r->job->what,
                     svi_module_words(r->arena, enabled), r->server == SVI_SERVER_NONE ? "" : ", stave reload");
    else if (json_array_size(running) > 0)
        (void)svi_module_refuse(&r->answer, SV_FAULT_REFUSED, "\"%s\" still runs on %s: stave reload, which takes it away, then remove it", r->job->what,
                     svi_module_words(r->arena, running));
    else if (r->server == SVI_SERVER_DUMB)
        (void)svi_module_refuse(&r->answer, SV_FAULT_FAILED, "whether the server uses \"%s\" is not known: %s", r->job->what, err.text);
    json_decref(running);
    json_decref(enabled);
    return r->answer == NULL;
}

/* --- the data ----------------------------------------------------------------------------------------- */

/* What a child asks the state folder, when no server runs. */
typedef struct offline {
    const svi_module_job *job;
    const json_t *request;
} offline;

/* As a user that the store belongs to: for good, so not in this process. */
static json_t *ask_store(void *ctx)
{
    const offline *o = ctx;
    json_t *answer = NULL, *requests = json_pack("[O]", o->request);
    sv_err err = {.text = ""};
    const svi_offline_config config = {
        .acct = o->job->acct, .config = o->job->config, .settings = o->job->settings, .program = o->job->program};
    const sv_status status = svi_offline_run(&config, requests, &answer, &err);
    json_decref(requests);
    return status == SV_OK && answer != NULL ? answer : svi_answer_fault(SV_FAULT_FAILED, "%s", err.text);
}

/* Asks the server, or the store if none runs; takes the request. NULL if it said no: then that is the answer. */
static json_t *ask(removal *r, json_t *take_request)
{
    json_t *answer = NULL;
    sv_err err = {.text = ""};
    offline o = {.job = r->job, .request = take_request};
    if (r->server == SVI_SERVER_NONE)
        answer = svi_in_child(ask_store, &o, 0, "reading the store");
    else if (svi_ask(r->job->settings->control_socket.p, take_request, &answer, &err) != SV_OK)
        answer = svi_answer_fault(SV_FAULT_FAILED, "%s", err.text);
    json_decref(take_request);
    if (json_is_true(json_object_get(answer, "ok"))) return answer;
    const char *why = json_string_value(json_object_get(answer, "error"));
    (void)svi_module_refuse(&r->answer, SV_FAULT_FAILED, "what \"%s\" has stored can't be told, nothing was removed: %s", r->job->what, why != NULL ? why : "?");
    json_decref(answer);
    return NULL;
}

static void add_rows(removal *r, const json_t *rows)
{
    const json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *counted = json_string_value(json_object_get(row, "counted"));
        r->owners += json_integer_value(json_object_get(row, "owners"));
        r->rows += json_integer_value(json_object_get(row, "rows"));
        r->is_more = r->is_more || counted == NULL || strcmp(counted, "all") != 0;
        (void)json_array_append(r->data, (json_t *)(uintptr_t)row);
    }
}

static bool has_state_folder(const removal *r)
{
    struct stat st;
    return stat(r->job->settings->data_path.p, &st) == 0;
}

static bool count_data(removal *r)
{
    json_t *from = NULL;
    if (r->server == SVI_SERVER_NONE && !has_state_folder(r)) return true; /* nothing was ever stored */
    do {
        json_t *request = json_pack("{s:s, s:s}", "command", "module data", "module", r->job->what);
        if (from != NULL) (void)json_object_set_new(request, "from", from);
        json_t *answer = ask(r, request);
        if (answer == NULL) return false;
        add_rows(r, json_object_get(answer, "rows"));
        from = json_incref(json_object_get(answer, "more"));
        json_decref(answer);
    } while (from != NULL);
    return true;
}

static const char *data_text(const removal *r)
{
    sv_str all = SV_STR("");
    const json_t *row;
    size_t i;
    json_array_foreach(r->data, i, row)
    {
        const char *counted = json_string_value(json_object_get(row, "counted"));
        all = svi_arena_printf(r->arena, "%.*s  %s on %s: %s%" JSON_INTEGER_FORMAT " rows of %" JSON_INTEGER_FORMAT " owners, %" JSON_INTEGER_FORMAT " bytes\n",
                               (int)all.n, all.p, json_string_value(json_object_get(row, "map")),
                               json_string_value(json_object_get(row, "host")), counted != NULL && strcmp(counted, "all") == 0 ? "" : "at least ",
                               json_integer_value(json_object_get(row, "rows")), json_integer_value(json_object_get(row, "owners")),
                               json_integer_value(json_object_get(row, "bytes")));
    }
    return all.p;
}

static bool delete_data(removal *r)
{
    bool is_more = true;
    while (is_more) {
        json_t *answer = ask(r, json_pack("{s:s, s:s}", "command", "module-data-delete", "module", r->job->what));
        if (answer == NULL) return false;
        r->deleted_owners += json_integer_value(json_object_get(answer, "owners"));
        r->deleted_rows += json_integer_value(json_object_get(answer, "rows"));
        is_more = json_is_true(json_object_get(answer, "is-more"));
        json_decref(answer);
    }
    r->is_deleted = true;
    return true;
}

/* Asks what shall become of the data. */
static bool ask_person(removal *r, bool *deletes_out)
{
    char word[SVI_WORD_BYTES] = "";
    sv_err err = {.text = ""};
    if (!r->job->is_json) (void)fprintf(stderr, "\"%s\" has stored:\n%s", r->job->what, data_text(r));
    if (r->job->is_json || svi_prompt_word("keep or delete it?", word, &err) != SV_OK)
        return svi_module_refuse(&r->answer, SV_FAULT_REFUSED,
                      "\"%s\" has stored %s%" PRId64 " rows of %" PRId64 " owners (stave module data %s), nothing was removed: say --keep-data or "
                      "--delete-data",
                      r->job->what, r->is_more ? "at least " : "", r->rows, r->owners, r->job->what);
    *deletes_out = strcmp(word, "delete") == 0;
    if (*deletes_out || strcmp(word, "keep") == 0) return true;
    return svi_module_refuse(&r->answer, SV_FAULT_REFUSED, "nothing was removed: the answer is keep or delete");
}

/* Data that another module of the name goes on with are not left over. */
static bool settle_data(removal *r)
{
    bool deletes = r->job->deletes_data;
    if (r->other != NULL && deletes)
        return svi_module_refuse(&r->answer, SV_FAULT_REFUSED, "what \"%s\" has stored is that of %s, too: say --keep-data", r->job->what, r->other);
    if (r->other != NULL) return true;
    if (r->job->keeps_data && r->home.path != NULL) return true;
    if (!count_data(r)) return false;
    if (json_array_size(r->data) == 0) return true;
    if (!deletes && r->home.path != NULL && !ask_person(r, &deletes)) return false;
    return deletes ? delete_data(r) : true;
}

/* --- the file ----------------------------------------------------------------------------------------- */

/* All forms of it: one that the loader did not see is found when the others are gone. */
static bool remove_files(removal *r)
{
    char path[SVI_MODULE_PATH], aside[SVI_MODULE_PATH];
    (void)snprintf(aside, sizeof aside, "%.900s/.stave-removed", r->home.path);
    for (int kind = SVI_RECORD_SO; kind <= SVI_RECORD_FOLDER; kind++) {
        if (!svi_module_path(r->home.path, r->name, (svi_record_kind)kind, path)) continue;
        const bool is_folder = kind == SVI_RECORD_FOLDER;
        if (is_folder && !svi_module_is_folder(r->home.path, r->name)) continue;
        /* at once, not file by file; a link to a folder is but a link */
        const bool is_gone = is_folder ? rename(path, aside) == 0 : unlink(path) == 0 || errno == ENOENT;
        if (!is_gone) return svi_module_refuse(&r->answer, SV_FAULT_FAILED, "%s: %s", path, strerror(errno));
    }
    if (fsync(r->home.fd) != 0) return svi_module_refuse(&r->answer, SV_FAULT_FAILED, "%s: %s", r->home.path, strerror(errno));
    return svi_module_delete_tree(r->home.fd, ".stave-removed") || svi_module_refuse(&r->answer, SV_FAULT_FAILED, "%s: %s", aside, strerror(errno));
}

static bool remove_record(removal *r)
{
    sv_err err = {.text = ""};
    svi_records next = {.items = svi_arena_get(r->arena, (r->records.count + 1) * sizeof *next.items)};
    for (size_t i = 0; i < r->records.count; i++)
        if (!sv_str_eq(r->records.items[i].name, r->name)) next.items[next.count++] = r->records.items[i];
    if (next.count == r->records.count) return true;
    return svi_module_write_records(r->job->acct, r->home.path, &next, &err) == SV_OK || svi_module_refuse(&r->answer, SV_FAULT_FAILED, "%s", err.text);
}

/* --- the whole ---------------------------------------------------------------------------------------- */

static bool is_something(removal *r)
{
    if (r->home.path != NULL || r->is_deleted) return true;
    if (json_array_size(r->data) > 0)
        return svi_module_refuse(&r->answer, SV_FAULT_NOT_FOUND,
                      "no module \"%s\" is installed, but %" PRId64 " rows of one are stored: --delete-data deletes them", r->job->what, r->rows);
    return svi_module_refuse(&r->answer, SV_FAULT_NOT_FOUND, "no module \"%s\" is installed: stave module list shows those that are", r->job->what);
}

static json_t *done(const removal *r)
{
    json_t *answer = json_pack("{s:b, s:s, s:s, s:b, s:I, s:I, s:O}", "ok", 1, "name", r->job->what, "data",
                               r->is_deleted ? "deleted" : r->other != NULL ? "shared" : json_array_size(r->data) > 0 || r->job->keeps_data ? "kept" : "none",
                               "was-there", r->is_there, "deleted-owners", (json_int_t)r->deleted_owners, "deleted-rows",
                               (json_int_t)r->deleted_rows, "maps", r->data);
    if (r->home.path != NULL) (void)json_object_set_new(answer, "folder", json_string(r->home.path));
    if (r->other != NULL) (void)json_object_set_new(answer, "found-instead", json_string(r->other));
    return answer;
}

json_t *svi_module_remove(const svi_module_job *job)
{
    removal r = {.job = job, .arena = svi_arena_new(job->acct, 4096), .home = {.fd = -1}, .data = json_array()};
    json_t *answer = NULL;
    if (take_name(&r)) {
        find_place(&r);
        const bool is_done = lock(&r) && is_unused(&r) && settle_data(&r) && is_something(&r) &&
                             (r.home.path == NULL || (remove_files(&r) && remove_record(&r)));
        if (is_done) answer = done(&r);
    }
    if (answer == NULL) answer = r.answer;
    svi_module_unlock(&r.home);
    json_decref(r.data);
    svi_arena_free(&r.arena);
    SV_ASSERT(answer != NULL);
    return answer;
}

void svi_print_module_removed(const json_t *a)
{
    const char *name = json_string_value(json_object_get(a, "name")), *folder = json_string_value(json_object_get(a, "folder"));
    const char *data = json_string_value(json_object_get(a, "data")), *other = json_string_value(json_object_get(a, "found-instead"));
    if (folder != NULL) (void)printf("removed: %s from %s\n", name, folder);
    if (strcmp(data, "deleted") == 0)
        (void)printf("deleted: %" JSON_INTEGER_FORMAT " rows of %" JSON_INTEGER_FORMAT " owners\n", json_integer_value(json_object_get(a, "deleted-rows")),
                     json_integer_value(json_object_get(a, "deleted-owners")));
    if (strcmp(data, "kept") == 0) (void)printf("what it has stored is kept (stave module data %s)\n", name);
    if (other != NULL) (void)printf("by its name %s is found from now on\n", other);
}
