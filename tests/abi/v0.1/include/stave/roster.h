/* The record of a roster item in the map "roster.items" (owner: account's localpart, key: contact's
 * bare JID), for the modules that read it. Written by roster and presence alike.
 *
 * A record is "R1", two hex digits of state bits, the version of its last change as the roster module
 * gave it (hex, may be missing), then lines: the name and one for each group. Names and groups hold no
 * line feed (refused when set). Who changes a record keeps what is not its business, the version too.
 *
 * A record that is not SV_ROSTER_LISTED is no item: it notes a request that waits, or that an item was
 * removed (RFC 6121 2.6.3). The row of the key " " belongs to the roster module. */
#ifndef STAVE_ROSTER_H
#define STAVE_ROSTER_H

#include <stave/types.h>

#define SV_ROSTER_MODULE "roster"
#define SV_ROSTER_STORE "items"
#define SV_ROSTER_SCHEMA 1u

/* The occasion that whoever writes a record fires, in the same event. `from` is the account; the
 * subject is the contact's bare JID, a line feed and the new record, or nothing behind the line
 * feed if the item was removed. Then its rows, which show what was before the event, are in memory,
 * and so are those of a contact of the same host. The roster module writes the record once more, with
 * its version, and pushes it. */
#define SV_ROSTER_CHANGED "roster/changed"

/* Bits of the state of one item (RFC 6121 appendix A.1: both directions plus pending ones). */
#define SV_ROSTER_FROM 1u        /* the contact sees the user's presence */
#define SV_ROSTER_TO 2u          /* the user sees the contact's presence */
#define SV_ROSTER_PENDING_OUT 4u /* the user asked, no answer yet (ask='subscribe') */
#define SV_ROSTER_PENDING_IN 8u  /* the contact asked, no answer yet */
#define SV_ROSTER_APPROVED 16u   /* pre-approved (RFC 6121 3.4) */
#define SV_ROSTER_LISTED                                                                           \
    32u /* a roster item; without it only the pending-in note is kept (RFC 6121 3.1.3) */

#define SV_ROSTER_SHARED                                                                           \
    64u /* somebody else's to decide: both see each other whatever the two say; only seen, never stored */

/* Shared contacts. The roster module fires the occasion below to learn whom an account (`from`) sees besides
 * its own contacts; whoever knows some offers a line for each group:
 *
 *     GROUP <tab> ADDRESS <tab> NAME <tab> ADDRESS <tab> NAME ...
 *
 * Addresses are bare and prepared, names may be empty, neither holds a tab. The account itself may be among
 * them, so that all members of a group can be offered the same line, which is then held once. Every module
 * that reads the rows sees such a contact as a record with SV_ROSTER_SHARED, listed and subscribed in both
 * directions, in its groups and in those the user put it into, by the name that the user gave it if he did.
 *
 * Whoever does not know yet (since it begins, or a directory does not answer) offers SV_ROSTER_NOT_YET: the
 * account sees for so long what was shared with it before, if anything.
 *
 * When what would be offered has changed, call sv->overlay_changed on the roster's store. */
#define SV_ROSTER_ASK_SHARED "roster/shared"
#define SV_ROSTER_NOT_YET "\t"

/* The state bits of a record; 0 if it is no record of this schema. Layout: 'R', '1', two hex
 * digits, version, '\n', name, '\n', groups each ended by '\n'. */
static inline unsigned sv_roster_flags(sv_str record)
{
    if (record.n < 5 || record.p[0] != 'R' || record.p[1] != '1') return 0;
    unsigned flags = 0;
    for (size_t i = 2; i < 4; i++) {
        char c = record.p[i];
        unsigned digit = (unsigned)(c >= 'a' ? c - 'a' + 10 : c - '0');
        flags = flags << 4 | (digit & 15u);
    }
    return flags;
}

/* The version as written in the record; empty if it has none. */
static inline sv_str sv_roster_version(sv_str record)
{
    size_t n = 4;
    while (n < record.n && record.p[n] != '\n') n++;
    return record.n < 5 ? SV_STR_NONE : (sv_str){record.p + 4, n - 4};
}

/* The name and, behind it, the groups as written in the record. */
static inline sv_str sv_roster_rest(sv_str record)
{
    const size_t head = 4 + sv_roster_version(record).n + 1;
    return record.n < head ? SV_STR_NONE : (sv_str){record.p + head, record.n - head};
}

/* "none", "to", "from" or "both" (RFC 6121 2.1.2.5). */
static inline sv_str sv_roster_subscription(unsigned flags)
{
    switch (flags & (SV_ROSTER_FROM | SV_ROSTER_TO)) {
    case SV_ROSTER_FROM: return SV_STR("from");
    case SV_ROSTER_TO: return SV_STR("to");
    case SV_ROSTER_FROM | SV_ROSTER_TO: return SV_STR("both");
    default: return SV_STR("none");
    }
}

#endif
