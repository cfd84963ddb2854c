/* Archives: what was said, by owner and in order, kept until it is purged (doc/decisions/020-archive.md).
 *
 * An archive is two maps. `NAME` holds the entries: owner, place (8 bytes, big-endian) -> when, hash of the other side's
 * address, flags, size and number of the body. `NAME-bodies` holds each stanza once, however many of the archive's owners
 * have it: owner "/", number (8 bytes, big-endian) -> the stanza and who holds it. Both are written in the unit of the event,
 * so two owners' copies of one message are durable together.
 *
 * Places are numbers that one counter of the store gives. They follow the wall clock in us, never go back, and are never
 * given twice: the counter stays below a ceiling that was committed before, and a start goes on at it. A place is given
 * before its unit is handed in, so a page waits for units that were begun before it, and ends before the first that was
 * not handed in: what it has shown has no holes that fill later.
 *
 * Ids are what others see of places: AES-128 of the place and the archive's and owner's mark, 32 hexadecimal digits. They tell
 * nobody how busy the server is; one that was never given, or belongs to another archive, is known for that; one that was
 * given and whose entry is gone is a position still. All functions belong to the router thread. */
#ifndef SVI_STORE_ARCHIVE_H
#define SVI_STORE_ARCHIVE_H

#include "store/store.h"

typedef struct svi_archives svi_archives; /* what all archives of a store share */
typedef struct svi_archive svi_archive;

#define SVI_ARCHIVE_ID 32u          /* bytes of an id */
#define SVI_ARCHIVE_STANZA_MAX ((size_t)SVI_VALUE_MAX - 8192u) /* bytes of a stanza: holders take the rest */
#define SVI_ARCHIVE_PAGE_MAX 1000u  /* entries of a page */
#define SVI_ARCHIVE_PAGE_BYTES (1u << 20)
#define SVI_ARCHIVE_IDS_MAX 256u    /* entries asked for by id */

/* Reads where the counter stands; may wait for the disk, so at a start only, before anybody is served. `secret`: what ids are
 * made with; another one makes all ids that were given unknown. SV_EIO, SV_EVERSION with text. */
sv_status svi_archives_new(svi_store *store, svi_acct *acct, const svi_plat *plat, sv_str secret,
                           svi_archives **archives_out, sv_err *err);

/* Before the store is closed: notes where the counter stands, so that the next start skips nothing. What waits for
 * units ends with SV_ECANCELED. */
void svi_archives_close(svi_archives *archives);

/* Behind the store's end, which ends all reads. */
void svi_archives_free(svi_archives **archives);

/* The archive of that name ("host/module/name"), made if new; the same at each call, lives as long as `archives`. SV_EVERSION,
 * SV_EINVAL as svi_store_map. */
sv_status svi_archive_open(svi_archives *archives, sv_str name, svi_archive **archive_out, sv_err *err);

/* --- adding ------------------------------------------------------------------------ */

typedef struct svi_archive_entry {
    sv_str owner;
    sv_str with;    /* prepared address of the other side, with its resource if it has one */
    sv_str bare;    /* the same without resource */
    uint32_t flags; /* whatever the caller tells entries apart by */
} svi_archive_entry;

/* Adds a stanza to an owner's archive in the unit; *place_out is its place, and the number of its body. SV_ELIMIT if it is too
 * large for a row or for the unit; SV_EAGAIN in the moments after a start, or if so much is not committed yet that no
 * place may be given. */
sv_status svi_archive_add(svi_archive *archive, svi_unit *unit, const svi_archive_entry *entry, sv_str stanza,
                          uint64_t *place_out);

/* Adds another owner's entry for a body that was added in the same unit. SV_ENOTFOUND if it was not. */
sv_status svi_archive_hold(svi_archive *archive, svi_unit *unit, const svi_archive_entry *entry, uint64_t body,
                           size_t stanza_bytes,
                           uint64_t *place_out);

/* Takes an entry out of the unit again that it was added in; its place is burnt. The body goes with it unless somebody else was added
 * for it. */
void svi_archive_withdraw(svi_archive *archive, svi_unit *unit, sv_str owner, uint64_t place);

/* What an entry of that place is called. */
void svi_archive_id(const svi_archive *archive, sv_str owner, uint64_t place, char id_out[SVI_ARCHIVE_ID]);

/* The place of an id; false if this archive never gave it to that owner. */
bool svi_archive_place(const svi_archive *archive, sv_str owner, sv_str id, uint64_t *place_out);

/* --- reading ----------------------------------------------------------------------- */

typedef struct svi_archive_query {
    sv_str owner;
    uint64_t after, before;   /* places, exclusive; 0 / UINT64_MAX: open */
    int64_t start_ms, end_ms; /* inclusive; INT64_MIN / INT64_MAX: open */
    sv_str with;              /* empty: any; as in an entry */
    bool with_resource;       /* `with` has a resource, which must be the entry's */
    uint32_t without;         /* entries with one of these flags are left out */
    size_t max;               /* entries at most, up to SVI_ARCHIVE_PAGE_MAX */
    size_t max_bytes;         /* of stanzas; the page ends before the entry that would pass it, but has one; 0: SVI_ARCHIVE_PAGE_BYTES */
    bool is_backward;         /* the last ones instead of the first; in order of places all the same */
    bool counts;              /* nothing but how many there are */
    const uint64_t *places;   /* just these instead of a range, up to SVI_ARCHIVE_IDS_MAX; copied */
    size_t place_count;
    const svi_unit *own; /* a unit of the caller's that is not waited for; may be NULL */
} svi_archive_query;

typedef struct svi_archive_item {
    uint64_t place;
    int64_t when_ms;
    uint32_t flags;
    sv_str stanza; /* empty if the body is gone */
} svi_archive_item;

/* Borrowed for the call, but for `arena`. */
typedef struct svi_archive_page {
    const svi_archive_item *items;
    size_t count;
    bool is_complete; /* nothing more matches, in the direction of the page */
    uint64_t total;   /* of `counts` */
    svi_arena *arena; /* what the page lives in; whoever sets it to NULL has taken it */
} svi_archive_page;

/* Called exactly once, never before the starting call has returned. SV_ENOTFOUND: one of `places` is not there; SV_EIO,
 * SV_ECANCELED. `page` is NULL on error. */
typedef void (*svi_archive_page_done)(void *ctx, sv_status status, svi_archive_page *page);

/* Reads a page. Not before the units are handed in that had added something for the owner when it was asked. */
void svi_archive_read(svi_archive *archive, const svi_archive_query *query, svi_archive_page_done done, void *ctx);

/* One stanza by its place; SV_ENOTFOUND if it is not there. Same rules of calling. */
typedef void (*svi_archive_get_done)(void *ctx, sv_status status, const svi_archive_item *item);
void svi_archive_get(svi_archive *archive, sv_str owner, uint64_t place, svi_archive_get_done done, void *ctx);

/* --- purging ----------------------------------------------------------------------- */

/* What goes: the oldest entries, as long as one of these is true of them. */
typedef struct svi_archive_bounds {
    int64_t before_ms;   /* it is older; INT64_MIN: never */
    uint64_t max_count;  /* so many newer ones are kept already; UINT64_MAX: never */
    uint64_t max_bytes;  /* with the newer ones it would be more; UINT64_MAX: never */
    size_t portion;      /* entries at most, then `more`; 0: all */
} svi_archive_bounds;

typedef struct svi_archive_purged {
    uint64_t entries, bodies, bytes; /* bytes: of the entries' stanzas */
    bool more;                       /* there is more to purge */
} svi_archive_purged;

/* Called exactly once, never before the starting call has returned; what was purged until an error stays so. */
typedef void (*svi_archive_purge_done)(void *ctx, sv_status status, const svi_archive_purged *purged);

/* Deletes entries of an owner, and bodies that nobody holds any more, in units of its own. Purges of a store run one after
 * the other, so that two holders of a body do not both leave it to the other. */
void svi_archive_purge(svi_archive *archive, sv_str owner, const svi_archive_bounds *bounds,
                       svi_archive_purge_done done, void *ctx);

/* Deletes all that an owner has in every archive whose name begins with `prefix` ("host/"), also in those that nobody has
 * opened since the start. Same rules of calling; SV_ENOTFOUND, and no call, if there is no such archive. */
sv_status svi_archives_purge_owner(svi_archives *archives, sv_str prefix, sv_str owner, svi_archive_purge_done done, void *ctx);

/* How much an owner has, and from when to when; zeros if nothing. Same rules of calling. */
typedef struct svi_archive_figures {
    uint64_t entries, bytes;
    uint64_t first, last; /* places */
    int64_t first_ms, last_ms;
} svi_archive_figures;
typedef void (*svi_archive_figures_done)(void *ctx, sv_status status, const svi_archive_figures *figures);

/* Looks at the first and the last entry, and, with `whole`, at all of them. */
void svi_archive_measure(svi_archive *archive, sv_str owner, bool whole, svi_archive_figures_done done, void *ctx);

#endif
