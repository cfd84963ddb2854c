/* Coverage: the places in the sources where the module refuses or drops, and its hooks, beside what runs have reached. */
#include "author_try.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mods/mods_describe.h"

enum { PLACES_MAX = 512 };

typedef struct place {
    const char *file;
    int line, last; /* of the call */
    sv_str text;    /* the first of these lines */
    bool is_seen;
} place;

typedef struct places {
    svi_try *t;
    place items[PLACES_MAX];
    size_t count;
} places;

/* --- where sources refuse ----------------------------------------------------------------------------------- */

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool starts(sv_str text, size_t at, const char *word)
{
    return svi_str_starts(svi_str_sub(text, at, text.n), sv_str_of(word));
}

static size_t behind(sv_str text, size_t at, const char *end)
{
    const size_t n = strlen(end);
    while (at < text.n && !starts(text, at, end)) at++;
    return at < text.n ? at + n : text.n;
}

/* A Lua bracket such as [[ or [=[ at `at`: where it ends; 0: none. */
static size_t behind_long(sv_str text, size_t at)
{
    size_t level = 0;
    if (at >= text.n || text.p[at] != '[') return 0;
    while (at + 1 + level < text.n && text.p[at + 1 + level] == '=') level++;
    if (at + 1 + level >= text.n || text.p[at + 1 + level] != '[' || level > 20) return 0;
    char end[24] = "]";
    memset(end + 1, '=', level);
    end[level + 1] = ']';
    end[level + 2] = '\0';
    return behind(text, at, end);
}

static size_t behind_quoted(sv_str text, size_t at)
{
    const char quote = text.p[at++];
    while (at < text.n && text.p[at] != quote && text.p[at] != '\n') at += text.p[at] == '\\' ? 2 : 1;
    return at < text.n ? at + 1 : text.n;
}

/* What is no code at `at`: where it ends; `at` itself if it is code. */
static size_t behind_words(sv_str text, size_t at, bool is_lua)
{
    if (text.p[at] == '"' || text.p[at] == '\'') return behind_quoted(text, at);
    if (!is_lua && starts(text, at, "/*")) return behind(text, at + 2, "*/");
    if (!is_lua && starts(text, at, "//")) return behind(text, at, "\n");
    if (is_lua && starts(text, at, "--")) return behind_long(text, at + 2) ? behind_long(text, at + 2) : behind(text, at, "\n");
    if (is_lua && behind_long(text, at)) return behind_long(text, at);
    return at;
}

/* Behind the name of a function that refuses, if one is called at `at`; 0: none. */
static size_t behind_refusal(sv_str text, size_t at, bool is_lua)
{
    static const char *const names[] = {"refuse_text", "refuse_with", "refuse", "drop"};
    const char *of = is_lua ? ":" : "sv->";
    if (!starts(text, at, of) || (!is_lua && at > 0 && is_name(text.p[at - 1]))) return 0;
    at += strlen(of);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t end = at + strlen(names[i]);
        if (starts(text, at, names[i]) && (end >= text.n || !is_name(text.p[end]))) return end;
    }
    return 0;
}

/* Where the brackets close that open at `at`; `at` if none do. */
static size_t behind_call(sv_str text, size_t at, bool is_lua)
{
    int depth = 0;
    if (at >= text.n || text.p[at] != '(') return at;
    while (at < text.n) {
        const size_t next = behind_words(text, at, is_lua);
        if (next > at) {
            at = next;
            continue;
        }
        depth += (text.p[at] == '(') - (text.p[at] == ')');
        at++;
        if (depth == 0) break;
    }
    return at;
}

static int lines_between(sv_str text, size_t from, size_t to)
{
    int lines = 0;
    for (size_t i = from; i < to && i < text.n; i++) lines += text.p[i] == '\n';
    return lines;
}

static sv_str line_around(sv_str text, size_t at)
{
    size_t from = at, to = at;
    while (from > 0 && text.p[from - 1] != '\n') from--;
    while (to < text.n && text.p[to] != '\n') to++;
    return svi_str_trim(svi_str_sub(text, from, to - from));
}

static void find_in(places *p, const char *file, sv_str text)
{
    const bool is_lua = p->t->is_lua;
    int line = 1;
    for (size_t at = 0; at < text.n;) {
        size_t next = behind_words(text, at, is_lua);
        const size_t name_end = next > at ? 0 : behind_refusal(text, at, is_lua);
        if (name_end && p->count < PLACES_MAX)
            p->items[p->count++] = (place){.file = file,
                                           .line = line,
                                           .last = line + lines_between(text, at, behind_call(text, name_end, is_lua)),
                                           .text = line_around(text, at)};
        if (name_end) next = name_end;
        if (next == at) next++;
        line += lines_between(text, at, next);
        at = next;
    }
}

static bool is_source(const svi_try *t, const char *file)
{
    const sv_str name = sv_str_of(file);
    if (t->is_lua) return svi_str_ends(name, SV_STR(".lua")) && !svi_str_ends(name, SV_STR("_test.lua"));
    return (svi_str_ends(name, SV_STR(".c")) || svi_str_ends(name, SV_STR(".h"))) && !svi_str_ends(name, SV_STR("_test.c"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void find_places(places *p)
{
    struct dirent **list = NULL;
    const int count = scandir(p->t->dir, &list, NULL, by_name);
    for (int i = 0; i < count; i++) {
        sv_str text;
        const char *name = svi_arena_str(p->t->arena, sv_str_of(list[i]->d_name)).p;
        if (is_source(p->t, name) && svi_try_slurp(p->t, svi_arena_printf(p->t->arena, "%s/%s", p->t->dir, name).p, &text)) find_in(p, name, text);
        free(list[i]);
    }
    free(list);
}

/* --- what was reached --------------------------------------------------------------------------------------- */

static void see(places *p, sv_str file, int64_t line)
{
    for (size_t i = 0; i < p->count; i++)
        if (sv_str_eq(sv_str_of(p->items[i].file), file) && p->items[i].line <= line && line <= p->items[i].last) p->items[i].is_seen = true;
}

/* "FOLDER/notes.c:41 (discriminator 1)" */
static void see_line(places *p, sv_str said)
{
    int64_t line;
    size_t slash = 0;
    const size_t blank = svi_str_find(said, ' ');
    said = svi_str_sub(said, 0, blank);
    for (size_t i = 0; i < said.n; i++)
        if (said.p[i] == '/') slash = i + 1;
    const sv_str file = svi_str_sub(said, slash, said.n);
    const size_t colon = svi_str_find(file, ':');
    if (svi_str_int(svi_str_sub(file, colon + 1, file.n), 1, INT32_MAX, &line) == SV_OK) see(p, svi_str_sub(file, 0, colon), line);
}

/* The lines of offsets in the file that was tested: a byte before what is behind the call. */
static bool see_code(places *p)
{
    static char words[3][12] = {"addr2line", "-e", ""};
    char *argv[SVI_COVER_SITES + 4] = {words[0], words[1], (char *)(uintptr_t)p->t->file};
    const svi_cover *cover = p->t->cover;
    size_t n = 3;
    for (size_t i = 0; i < cover->site_count; i++)
        argv[n++] = (char *)(uintptr_t)svi_arena_printf(p->t->arena, "0x%llx", (unsigned long long)cover->sites[i].place - 1).p;
    if (n == 3) return true;
    svi_buf out;
    svi_buf_init(&out, p->t->acct);
    const bool ok = svi_try_spawn(p->t->dir, argv, &out) == 0;
    sv_str rest = svi_buf_str(&out), line;
    while (ok && svi_str_split(&rest, '\n', &line)) see_line(p, line);
    svi_buf_free(&out);
    return ok;
}

static bool see_all(places *p)
{
    if (!p->t->is_lua) return see_code(p);
    for (size_t i = 0; i < p->t->cover->site_count; i++)
        see(p, sv_str_of(p->t->cover->sites[i].file), (int64_t)p->t->cover->sites[i].place);
    return true;
}

/* --- what is told ------------------------------------------------------------------------------------------- */

static const svi_cover_hook *find_hook(const svi_cover *cover, const char *text)
{
    static const svi_cover_hook none = {.calls = 0};
    for (size_t i = 0; i < cover->hook_count; i++)
        if (strcmp(cover->hooks[i].text, text) == 0) return &cover->hooks[i];
    return &none;
}

static unsigned tell_hook(const svi_try *t, const char *text)
{
    const svi_cover_hook *h = find_hook(t->cover, text);
    (void)printf("    %-52s %8llu %7llu %7llu %7llu%s\n", text, (unsigned long long)h->calls, (unsigned long long)h->passed,
                 (unsigned long long)h->done, (unsigned long long)h->later, h->calls ? "" : "  UNUSED");
    return h->calls == 0;
}

static bool is_first(const json_t *hooks, size_t i, const char *text)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(json_string_value(json_object_get(json_array_get(hooks, k), "on")), text) == 0) return false;
    return true;
}

/* The binding has hooks of its own in each script, for timers and for answers to what the script asks; one that the script has, too,
 * stands there twice. */
static bool is_binding_alone(const svi_try *t, const json_t *hooks, const char *text)
{
    static const char *const bindings[] = {"host/timer", "iq-result/host", "iq-error/host"};
    bool is_any = false;
    size_t count = 0;
    for (size_t i = 0; i < sizeof bindings / sizeof *bindings; i++) is_any |= strcmp(text, bindings[i]) == 0;
    for (size_t i = 0; i < json_array_size(hooks); i++)
        count += strcmp(json_string_value(json_object_get(json_array_get(hooks, i), "on")), text) == 0;
    return t->is_lua && is_any && count == 1;
}

/* How many were never called. */
static unsigned tell_hooks(const svi_try *t)
{
    json_t *told = svi_mods_describe(t->acct, t->file), *hooks = json_object_get(told, "hooks");
    unsigned unused = 0;
    if (json_array_size(hooks) > 0) (void)printf("hooks                                                       calls  passed    done   later\n");
    for (size_t i = 0; i < json_array_size(hooks); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(hooks, i), "on"));
        if (text && !is_binding_alone(t, hooks, text) && is_first(hooks, i, text)) unused += tell_hook(t, text);
    }
    json_decref(told);
    return unused;
}

/* How many were never reached. */
static unsigned tell_places(const places *p)
{
    unsigned unseen = 0;
    if (p->count > 0) (void)printf("refusals\n");
    for (size_t i = 0; i < p->count; i++) {
        const place *at = &p->items[i];
        if (at->is_seen)
            (void)printf("    seen     %s:%d\n", at->file, at->line);
        else
            (void)printf("    UNSEEN   %s:%d: %.*s\n", at->file, at->line, (int)at->text.n, at->text.p);
        unseen += !at->is_seen;
    }
    return unseen;
}

void svi_try_tell_cover(svi_try *t)
{
    places *p = svi_alloc(t->acct, sizeof *p);
    p->t = t;
    find_places(p);
    const bool is_known = see_all(p);
    const unsigned unused = tell_hooks(t);
    const unsigned unseen = is_known ? tell_places(p) : 0;
    if (!is_known) (void)printf("refusals can't be told without addr2line (on Debian in the package binutils)\n");
    svi_free(p);
    if (!t->is_strict || (unused + unseen == 0 && is_known)) return;
    t->failed++;
    (void)printf("FAILED   --strict: %u hook%s never called, %u refusal%s never seen\n", unused, unused == 1 ? " was" : "s were", unseen,
                 unseen == 1 ? " was" : "s were");
}
