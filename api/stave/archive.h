/* The group "archive": what was said, kept in order until it is purged. `sv->query("archive", 1)` gives the table.
 *
 * An archive belongs to owners, each with entries of their own: accounts by their localparts, or what has a name that no localpart is, such
 * as "/room/coven". Owners who hold the same stanza share its bytes. Each entry has an id: 32 hexadecimal digits that tell nothing, are
 * never given twice, and are in no order that can be seen; which of two came first the archive knows. An id that was given stays a
 * position when its entry is gone, or never came to be since the server was killed.
 *
 * What is added is written with the event. A page does not end before what other events had begun to add when it was asked for, so
 * what it shows never gets holes filled in later. All functions belong to the routing thread. */
#ifndef STAVE_ARCHIVE_H
#define STAVE_ARCHIVE_H

#include <stave/module.h>

#define SV_ARCHIVE_VERSION 1
#define SV_ARCHIVE_ID 32u         /* bytes of an id */
#define SV_ARCHIVE_PAGE_MAX 1000u /* entries of a page */
#define SV_ARCHIVE_IDS_MAX 256u   /* entries asked for by id */

/* An archive as a module holds it; lives as long as the module. */
typedef struct sv_archive sv_archive;

/* What is added. Members are appended. */
typedef struct sv_archive_entry {
    uint32_t size; /* of this struct */
    uint32_t flags; /* what the module tells entries apart by */
    sv_str owner;
    const sv_jid *with;      /* the other side */
    const sv_stanza *stanza; /* as it is kept */
} sv_archive_entry;

/* Which entries are wanted. Members are appended; those that are zero ask for nothing, but for the times, which are both needed. */
typedef struct sv_archive_query {
    uint32_t size;            /* of this struct */
    uint32_t without;         /* entries with one of these flags are left out */
    sv_str owner;
    sv_str after, before;     /* ids, exclusive; of several bounds the narrowest counts */
    sv_str after_too, before_too;
    int64_t start_ms, end_ms; /* inclusive; INT64_MIN and INT64_MAX are open */
    const sv_jid *with;       /* the other side: with a resource just that one; NULL: any */
    const sv_str *ids;        /* just these, in their order in the archive, each once */
    size_t id_count;          /* SV_ARCHIVE_IDS_MAX at most */
    size_t max;               /* entries at most, up to SV_ARCHIVE_PAGE_MAX */
    size_t max_bytes;         /* of stanzas: a page with more ends before, but has one entry; 0: 1 MiB */
    bool is_backward;         /* the last ones of all instead of the first; in the order of the archive all the same */
    bool counts;              /* nothing but how many there are */
} sv_archive_query;

typedef struct sv_archive_item {
    sv_str id;
    int64_t when_ms;
    uint32_t flags;
    const sv_stanza *stanza; /* NULL: it was purged while the page was read */
} sv_archive_item;

/* For the event. Members are appended. */
typedef struct sv_archive_page {
    uint32_t size; /* of this struct */
    bool is_complete; /* there are no more in the direction of the page */
    const sv_archive_item *items;
    size_t count;
    int64_t total; /* of `counts` */
} sv_archive_page;

/* SV_ENOTFOUND: an id was never given by this archive to the owner, or one of `ids` is not there; SV_ELIMIT: a bound of the query is too
 * large; SV_EIO, SV_ECANCELED. `page` is NULL then. */
typedef void (*sv_archive_page_fn)(sv_event *ev, sv_status status, const sv_archive_page *page, void *self);

/* What is purged: the oldest entries, as long as one of these is true of them. Members are appended. */
typedef struct sv_archive_bounds {
    uint32_t size;     /* of this struct */
    bool all;          /* everything */
    int64_t before_ms; /* it is older; INT64_MIN: never */
    int64_t max_count; /* so many newer ones are kept already; -1: never */
    int64_t max_bytes; /* with the newer ones it would be more; -1: never */
    size_t portion;    /* entries at most; 0: all of them */
} sv_archive_bounds;

/* What was purged, also before an error: entries, bytes of their stanzas; `more`: there is more to purge. */
typedef void (*sv_archive_purge_fn)(sv_event *ev, sv_status status, int64_t entries, int64_t bytes, bool more, void *self);

/* How much an owner has. Members are appended. */
typedef struct sv_archive_figures {
    uint32_t size; /* of this struct */
    int64_t entries, bytes;
    sv_str first, last; /* ids; empty if there is nothing */
    int64_t first_ms, last_ms;
} sv_archive_figures;
typedef void (*sv_archive_measure_fn)(sv_event *ev, sv_status status, const sv_archive_figures *figures, void *self);

typedef struct sv_archive_api {
    uint32_t size, version;

    /* Opens the module's archive of that name on its host, made if new. SV_EINVAL, SV_EVERSION as store_open. */
    sv_status (*open)(sv_mod *mod, const char *name, sv_archive **archive_out);
    /* Adds an entry with the event; *id_out is its id, for the event. If this event has added the same stanza for another owner, the
     * bytes are shared. SV_ELIMIT if the stanza is too large, SV_EDENIED as put, SV_EAGAIN if the archive can give no id at the
     * moment, SV_ENOSPC if a test has it that there is no space. */
    sv_status (*add)(sv_event *ev, sv_archive *archive, const sv_archive_entry *entry, sv_str *id_out);
    /* The id that this event has added its stanza under for an owner, whose bare address this is; empty if it did not. */
    sv_str (*added)(const sv_event *ev, sv_str account);
    /* Reads a page; the handler returns SV_LATER, `done` gets the event back. */
    void (*read)(sv_event *ev, sv_archive *archive, const sv_archive_query *query, sv_archive_page_fn done);
    /* Purges an owner's oldest entries, not with the event but at once, in portions; else as read. */
    void (*purge)(sv_event *ev, sv_archive *archive, sv_str owner, const sv_archive_bounds *bounds, sv_archive_purge_fn done);
    /* Looks how much an owner has: first and last only, or, with `whole`, at all; else as read. */
    void (*measure)(sv_event *ev, sv_archive *archive, sv_str owner, bool whole, sv_archive_measure_fn done);
    /* Goes round through all owners, as sv->sweep over a map of the module; the subject of store/sweep is "module/name". */
    sv_status (*sweep)(sv_mod *mod, sv_archive *archive, int64_t period_ms);
} sv_archive_api;

#endif
