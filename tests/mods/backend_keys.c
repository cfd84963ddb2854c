/* Keeps accounts by the keys of their passwords, as a back end does that never learns one: "user" with the password "pencil" of RFC 7677 3,
 * and others by name only. */
#include <stave/module.h>

#define SALT "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"
#define STORED                                                                                     \
    "\x58\x6e\x5d\xf2\x83\xe6\xdc\xeb\x5c\x3e\x79\x1d\x8b\x85\x28\xec" \
    "\x19\x1e\x66\x40\x45\xce\x97\x17\x92\xe2\xe6\xb5\xbb\x13\xe2\xa6"
#define SERVER                                                                                     \
    "\xc1\xf3\xcb\xc1\xc1\x3a\x9d\x35\xa1\x4c\x09\x90\xee\xd9\x76\x29" \
    "\xea\x22\x58\x63\xe5\x66\xa4\x31\x4a\xb9\x9f\x3f\x00\xe5\xd9\xd5"

static const sv_str names[] = {SV_STR_INIT("benvolio"), SV_STR_INIT("juliet"), SV_STR_INIT("user")};
enum { NAMES = sizeof names / sizeof *names };

static void find(sv_auth_ask *ask, sv_str name, void *self)
{
    (void)self;
    for (size_t i = 0; i < NAMES; i++)
        if (sv_str_eq(names[i], name)) {
            sv->auth_done(ask, SV_OK);
            return;
        }
    sv->auth_done(ask, SV_ENOTFOUND);
}

static void keys(sv_auth_ask *ask, sv_str name, sv_str mechanism, void *self)
{
    static const sv_auth_keys known = {.size = sizeof known,
                                       .iterations = 4096,
                                       .salt = SV_STR_INIT(SALT),
                                       .stored_key = SV_STR_INIT(STORED),
                                       .server_key = SV_STR_INIT(SERVER)};
    (void)self;
    if (sv_str_eq(name, names[NAMES - 1]) && sv_str_eq(mechanism, SV_STR("SCRAM-SHA-256")))
        sv->auth_give_keys(ask, &known);
    else
        sv->auth_done(ask, SV_ENOTFOUND);
}

/* One name more than `max` is not given. */
static void list(sv_auth_ask *ask, sv_str after, size_t max, void *self)
{
    (void)self;
    size_t given = 0;
    for (size_t i = 0; i < NAMES && given < max; i++) {
        const size_t common = after.n < names[i].n ? after.n : names[i].n;
        if (common > 0 && memcmp(names[i].p, after.p, common) <= 0) continue;
        sv->auth_give_name(ask, names[i]);
        given++;
    }
    sv->auth_done(ask, SV_OK);
}

static sv_status start(sv_mod *mod, void *self)
{
    static const sv_auth auth = {
        .size = sizeof auth, .mechanisms = "SCRAM-SHA-256", .find = find, .keys = keys, .list = list};
    (void)self;
    return sv->auth_register(mod, &auth);
}

SV_MODULE(.name = "backend_keys", .summary = "Keeps accounts by keys", .start = start)
