/* What clients can do: entity capabilities (XEP-0115, XEP-0390) of sessions, for the modules that ask.
 *
 * The module caps keeps an info for each hash that a client of the host has shown, once for all sessions
 * that show the same, over restarts. What it keeps has been asked of a client and hashed again. Owners of
 * its map "infos" are "/115:FUNCTION:BASE64" for a `ver` of XEP-0115 and "/390:FUNCTION:BASE64" for a hash of
 * XEP-0390 (functions as in XEP-0414, "sha-1"); the row SV_CAPS_ROW is the record. Others only read it.
 *
 * A record is "C1" and behind it the input of the hash as XEP-0390 4.1 makes it: features (0x1f behind
 * each, 0x1c behind the last), identities (category, type, language, name with 0x1f behind each, 0x1e behind
 * the identity, 0x1c behind the last), forms (fields with 0x1e, forms with 0x1d, 0x1c behind the last); each
 * part sorted by octets. */
#ifndef STAVE_CAPS_H
#define STAVE_CAPS_H

#include <stave/module.h>

#define SV_CAPS_MODULE "caps"
#define SV_CAPS_STORE "infos"
#define SV_CAPS_SCHEMA 1u
#define SV_CAPS_ROW "info"

/* Items of a session: the owner of its info in the map, as its newest available presence claims (its rows
 * are in memory as long as the session has this item; they are empty while the info is not known); and the
 * record of what it answered, if that does not fit the hash or is by a hash that can't be checked: this one
 * holds for that session alone. */
#define SV_CAPS_ITEM "caps"
#define SV_CAPS_ITEM_OWN "caps-info"

/* The occasion that is fired when the features of a session have become known, or may have changed: its
 * presence showed a hash that is known, or its client answered. `from` is the account, the subject the
 * session's full address. */
#define SV_CAPS_KNOWN "caps/known"

/* The record of a session's client; empty while it is not known. `infos` is the map above, as the module
 * that asks has opened it. Borrowed for the event. */
static inline sv_str sv_caps_record(sv_event *ev, sv_store *infos, const sv_session *session)
{
    const sv_str own = sv->session_item(session, SV_CAPS_ITEM_OWN);
    if (own.n > 0) return own;
    const sv_str owner = sv->session_item(session, SV_CAPS_ITEM);
    sv_rows *rows = owner.n > 0 ? sv->rows(ev, infos, owner) : NULL;
    sv_str record = SV_STR_NONE;
    return rows && sv->row(rows, SV_STR(SV_CAPS_ROW), &record) ? record : SV_STR_NONE;
}

/* Walks the features of a record in order: start with SV_STR_NONE in *feature; false at the end. */
static inline bool sv_caps_next(sv_str record, sv_str *feature)
{
    if (record.n < 2 || record.p[0] != 'C' || record.p[1] != '1') return false;
    const char *at = feature->p ? feature->p + feature->n + 1 : record.p + 2;
    const char *const end = record.p + record.n;
    if (at >= end || *at == 0x1c) return false;
    const char *stop = (const char *)memchr(at, 0x1f, (size_t)(end - at));
    if (!stop) return false;
    feature->p = at;
    feature->n = (size_t)(stop - at);
    return true;
}

/* True if the record has the feature, such as "urn:xmpp:bookmarks:1+notify". */
static inline bool sv_caps_has(sv_str record, sv_str feature)
{
    sv_str each = SV_STR_NONE;
    while (sv_caps_next(record, &each))
        if (sv_str_eq(each, feature)) return true;
    return false;
}

#endif
