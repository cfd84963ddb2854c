/* Keeps a host's accounts in a text file that an operator writes: a line each, with the keys of the password as PostgreSQL and
 * others keep them, so that nobody learns a password from it. A change of the file counts within seconds.
 *
 * Shows a back end of accounts (<stave/auth.h>) and a file that is followed (sv->follow_file). It answers each question at once,
 * from memory; one that has to ask elsewhere answers later, and may need a thread (doc/engines.md). */
#include <stave/module.h>

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (16u << 20)
#define KEY_BYTES 32u /* of SHA-256 */
#define FORM "NAME:SCRAM-SHA-256$ITERATIONS:SALT$STORED-KEY:SERVER-KEY"

typedef struct account {
    sv_str name; /* as XMPP prepares it, and as it stands in the file */
    int line;
    bool is_locked;
    uint32_t iterations;
    size_t salt_bytes;
    char salt[KEY_BYTES], stored_key[KEY_BYTES], server_key[KEY_BYTES];
} account;

/* What a file says. */
typedef struct accounts {
    char *text;
    account *list; /* by name */
    size_t count;
} accounts;

/* What is wrong in it. */
typedef struct fault {
    int line;
    const char *why; /* static */
} fault;

typedef struct file_accounts {
    sv_mod *mod;
    sv_str file; /* options */
    int64_t check_ms;
    accounts now;
} file_accounts;

/* --- reading ------------------------------------------------------------------------------- */

/* What stands before a character, which must be there; *rest is what is behind it. */
static bool before(sv_str *rest, char c, sv_str *head_out)
{
    const char *at = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
    if (!at) return false;
    *head_out = (sv_str){rest->p, (size_t)(at - rest->p)};
    *rest = (sv_str){at + 1, rest->n - head_out->n - 1};
    return true;
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Base64 with its padding; false if it is none or longer than `max`. */
static bool decode(sv_str text, char *to, size_t max, size_t *bytes_out)
{
    uint32_t bits = 0;
    int have = 0;
    *bytes_out = 0;
    if (text.n == 0 || text.n % 4 != 0) return false;
    for (size_t pads = 0; pads < 2 && text.p[text.n - 1] == '='; pads++) text.n--;
    for (size_t i = 0; i < text.n; i++) {
        const int digit = digit_of(text.p[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        if (*bytes_out == max) return false;
        to[(*bytes_out)++] = (char)(bits >> have & 0xff);
    }
    return true;
}

static bool number_of(sv_str text, uint32_t *number_out)
{
    *number_out = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || *number_out > 100000000) return false;
        *number_out = *number_out * 10 + (uint32_t)(text.p[i] - '0');
    }
    return *number_out > 0;
}

/* Questions come with prepared names, so one that no preparation gives would never be found. */
static const char *name_fault(sv_str name)
{
    if (name.n == 0 || name.n > 1023) return "a name has 1 to 1023 bytes";
    for (size_t i = 0; i < name.n; i++) {
        const unsigned char c = (unsigned char)name.p[i];
        if (c >= 'A' && c <= 'Z') return "names are written in small letters";
        if (c <= ' ' || c == 0x7f || strchr("\"&'/:<>@", c)) return "the name holds a character that no name can have";
    }
    return NULL;
}

static const char *keys_fault(sv_str text, account *to)
{
    sv_str method, iterations, salt, stored_key;
    size_t stored, served;
    if (!before(&text, '$', &method) || !before(&text, ':', &iterations) || !before(&text, '$', &salt) ||
        !before(&text, ':', &stored_key))
        return "a line is " FORM ", or NAME:*";
    if (!sv_str_eq(method, SV_STR("SCRAM-SHA-256"))) return "keys are of SCRAM-SHA-256";
    if (!number_of(iterations, &to->iterations)) return "the iterations are no number";
    if (!decode(salt, to->salt, sizeof to->salt, &to->salt_bytes)) return "the salt is not 1 to 32 bytes in base64";
    if (!decode(stored_key, to->stored_key, KEY_BYTES, &stored) || stored != KEY_BYTES ||
        !decode(text, to->server_key, KEY_BYTES, &served) || served != KEY_BYTES)
        return "a key is not 32 bytes in base64";
    return NULL;
}

static const char *line_fault(sv_str line, account *to)
{
    *to = (account){.name = SV_STR_NONE};
    if (!before(&line, ':', &to->name)) return "a line is " FORM ", or NAME:*";
    to->is_locked = sv_str_eq(line, SV_STR("*"));
    const char *why = name_fault(to->name);
    return why || to->is_locked ? why : keys_fault(line, to);
}

static int by_name(const void *a, const void *b)
{
    const sv_str x = ((const account *)a)->name, y = ((const account *)b)->name;
    const int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

static void forget(const file_accounts *me, accounts *set)
{
    sv->free(me->mod, &set->text);
    sv->free(me->mod, &set->list);
    set->count = 0;
}

/* Lines one after the other; blank ones and those with # are passed over. The first that is wrong ends it. */
static bool read_lines(const file_accounts *me, accounts *set, sv_str rest, fault *fault_out)
{
    size_t room = 0;
    for (int line = 1; rest.n > 0; line++) {
        sv_str text;
        if (!before(&rest, '\n', &text)) text = rest, rest.n = 0;
        if (text.n > 0 && text.p[text.n - 1] == '\r') text.n--;
        if (text.n == 0 || text.p[0] == '#') continue;
        if (set->count == room) {
            room = room * 2 + 16;
            set->list = sv->alloc_resize(me->mod, set->list, room * sizeof *set->list);
        }
        account *a = &set->list[set->count++];
        *fault_out = (fault){.line = line, .why = line_fault(text, a)};
        if (fault_out->why) return false;
        a->line = line;
    }
    if (set->count > 0) qsort(set->list, set->count, sizeof *set->list, by_name);
    for (size_t i = 1; i < set->count; i++) {
        if (by_name(&set->list[i - 1], &set->list[i]) != 0) continue;
        const int one = set->list[i - 1].line, other = set->list[i].line;
        *fault_out = (fault){.line = one > other ? one : other, .why = "the name stands there before"};
        return false;
    }
    return true;
}

/* The accounts of a text take the place of those before, or the fault is told and they stay. */
static bool take(file_accounts *me, sv_str text)
{
    accounts next = {.text = sv->alloc(me->mod, text.n + 1)}; /* names lead into it */
    fault wrong = {.why = NULL};
    char number[24];
    if (text.n > 0) memcpy(next.text, text.p, text.n);
    const bool is_good = read_lines(me, &next, (sv_str){next.text, text.n}, &wrong);
    (void)snprintf(number, sizeof number, "%zu", is_good ? next.count : (size_t)wrong.line);
    if (is_good)
        sv->log(me->mod, SV_INFO, "file-accounts-read", "accounts", number, NULL);
    else
        sv->log(me->mod, SV_ERROR, "file-accounts-refused", "line", number, "reason", wrong.why, NULL);
    forget(me, is_good ? &me->now : &next);
    if (is_good) me->now = next;
    return is_good;
}

static void on_changed(sv_status status, sv_str text, void *self)
{
    file_accounts *me = self;
    if (status == SV_OK)
        (void)take(me, text);
    else
        sv->log(me->mod, SV_ERROR, "file-accounts-unreadable", "see", "file_accounts_file", NULL); /* what was read stays */
}

/* --- questions ----------------------------------------------------------------------------- */

static const account *known(const file_accounts *me, sv_str name)
{
    const account key = {.name = name};
    return me->now.count > 0 ? bsearch(&key, me->now.list, me->now.count, sizeof key, by_name) : NULL;
}

static void find(sv_auth_ask *ask, sv_str name, void *self)
{
    const account *a = known(self, name);
    sv->auth_done(ask, !a ? SV_ENOTFOUND : a->is_locked ? SV_EDENIED : SV_OK);
}

/* For a name that has no keys the server makes some up, so that who asks learns nothing from the answer. */
static void keys(sv_auth_ask *ask, sv_str name, sv_str mechanism, void *self)
{
    const account *a = known(self, name);
    if (!a || a->is_locked || !sv_str_eq(mechanism, SV_STR("SCRAM-SHA-256"))) {
        sv->auth_done(ask, SV_ENOTFOUND);
        return;
    }
    const sv_auth_keys answer = {.size = sizeof answer,
                                 .iterations = a->iterations,
                                 .salt = {a->salt, a->salt_bytes},
                                 .stored_key = {a->stored_key, KEY_BYTES},
                                 .server_key = {a->server_key, KEY_BYTES}};
    sv->auth_give_keys(ask, &answer);
}

static void list(sv_auth_ask *ask, sv_str after, size_t max, void *self)
{
    const file_accounts *me = self;
    const account key = {.name = after};
    size_t given = 0;
    for (size_t i = 0; i < me->now.count && given < max; i++) {
        if (after.n > 0 && by_name(&me->now.list[i], &key) <= 0) continue;
        sv->auth_give_name(ask, me->now.list[i].name);
        given++;
    }
    sv->auth_done(ask, SV_OK);
}

/* --- life ---------------------------------------------------------------------------------- */

/* What keys that are made up look like: as those of the file's first account that has some. */
static sv_auth back_end(const file_accounts *me)
{
    sv_auth auth = {.size = sizeof auth, .mechanisms = "SCRAM-SHA-256", .find = find, .keys = keys, .list = list};
    for (size_t i = 0; i < me->now.count && auth.iterations == 0; i++) {
        auth.iterations = me->now.list[i].iterations;
        auth.salt_bytes = me->now.list[i].salt_bytes < 20 ? (uint32_t)me->now.list[i].salt_bytes : 20;
    }
    return auth;
}

static const char *reason_of(sv_status status)
{
    switch (status) {
    case SV_EINVAL: return "the file's name begins with '/'";
    case SV_ENOTFOUND: return "there is no such file";
    case SV_EDENIED: return "the server's user may not read it";
    case SV_ELIMIT: return "it is larger than 16 MiB";
    default: return "it can't be read";
    }
}

static sv_status start(sv_mod *mod, void *self)
{
    file_accounts *me = self;
    sv_str text;
    me->mod = mod;
    const sv_status status = sv->follow_file(mod, me->file, FILE_BYTES_MAX, me->check_ms, on_changed, &text);
    if (status != SV_OK) {
        sv->log(mod, SV_ERROR, "file-accounts-unreadable", "see", "file_accounts_file", "reason", reason_of(status), NULL);
        return status;
    }
    if (!take(me, text)) return SV_EINVAL;
    const sv_auth auth = back_end(me);
    return sv->auth_register(mod, &auth);
}

static const sv_option options[] = {
    SV_OPT_STRING(file_accounts, file, "file_accounts_file", NULL, "The file with the accounts, a line each."),
    SV_OPT_PERIOD(file_accounts, check_ms, "file_accounts_check", "10s", "100ms", "1d", "How often it is looked whether it has changed."),
    {0},
};

SV_MODULE(.name = "file-accounts", .summary = "Keeps accounts in a text file", .self_size = sizeof(file_accounts),
          .options = options, .start = start)
