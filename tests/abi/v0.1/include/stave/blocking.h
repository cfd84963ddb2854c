/* Who has blocked whom (XEP-0191), for modules that hand something on past the hooks of the
 * recipient's side, where the module "blocking" looks by itself: an archive, a queue, a room, a push.
 *
 * The map "blocking.list" has a row for each blocked address: owner is the account's localpart, key
 * the address as prepared, value "B1". While an account has a session the same list stands on each of
 * its sessions. */
#ifndef STAVE_BLOCKING_H
#define STAVE_BLOCKING_H

#include <stave/module.h>

#define SV_BLOCKING_MODULE "blocking"
#define SV_BLOCKING_STORE "list"
#define SV_BLOCKING_SCHEMA 1u

/* The session item: a line for each blocked address; empty if there are none; absent (.p NULL) before
 * a session is available, and always if the module is not enabled. */
#define SV_BLOCKING_LIST "blocking-list"

/* XEP-0191 5 and reason: an account's own sessions and its server can't be blocked, whatever the list
 * says of their domain. */
static inline bool sv_blocking_is_exempt(const sv_jid *account, const sv_jid *other)
{
    if (sv_str_eq(other->bare, account->bare)) return true;
    return other->node.n == 0 && sv_str_eq(other->domain, account->domain);
}

/* True if the account, whose rows of the map these are, has blocked the other address. XEP-0191 6:
 * an item is a full JID, a bare one, a domain with a resource, or a domain; each but the last two
 * stands for what begins with it, and a domain for everybody there. */
static inline bool sv_blocking_has(const sv_rows *list, const sv_jid *account, const sv_jid *other)
{
    sv_str value;
    if (sv->row_count(list) == 0 || sv_blocking_is_exempt(account, other)) return false;
    return sv->row(list, other->full, &value) || sv->row(list, other->bare, &value) ||
           sv->row(list, other->domain, &value);
}

/* The same by the item of a session of the account; false while that is absent. */
static inline bool sv_blocking_session_has(const sv_session *session, const sv_jid *other)
{
    sv_str rest = sv->session_item(session, SV_BLOCKING_LIST);
    if (rest.n == 0 || sv_blocking_is_exempt(sv->session_jid(session), other)) return false;
    while (rest.n > 0) {
        const char *end = (const char *)memchr(rest.p, '\n', rest.n);
        const sv_str line = {rest.p, end ? (size_t)(end - rest.p) : rest.n};
        if (sv_str_eq(line, other->full) || sv_str_eq(line, other->bare) ||
            sv_str_eq(line, other->domain))
            return true;
        if (!end) return false;
        rest = (sv_str){end + 1, rest.n - line.n - 1};
    }
    return false;
}

#endif
