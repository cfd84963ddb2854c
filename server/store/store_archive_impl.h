/* What the files of the archive share. Nothing else includes this. Router thread. */
#ifndef SVI_STORE_ARCHIVE_IMPL_H
#define SVI_STORE_ARCHIVE_IMPL_H

#include <openssl/evp.h>

#include "base/base_assert.h"
#include "store/store_archive.h"
#include "store/store_impl.h"

#define SVI_ARCHIVES_MAGIC 0x41524353u
#define SVI_ARCHIVE_MAGIC 0x41524348u

/* Times of entries are in order, but that a kill followed by a clock that is set back may make one so much less than an earlier one's. */
#define SVI_ARCHIVE_DISORDER_MS INT64_C(60000)

/* The owner of all bodies: no localpart has a '/'. */
#define SVI_BODIES SV_STR("/")
/* What the name of the map of bodies has behind the archive's. */
#define SVI_BODIES_SUFFIX SV_STR("-bodies")

/* An entry that is not handed in yet; lives as long as its unit. */
typedef struct svi_open_add {
    svi_unit_end end; /* first */
    struct svi_open_add *next, **link;
    svi_archive *archive;
    svi_unit *unit;
    uint64_t place, body;
    bool is_withdrawn;
    sv_str owner; /* behind the struct */
} svi_open_add;

struct svi_archives {
    uint32_t magic;
    svi_store *store;
    svi_acct *acct;
    const svi_plat *plat;
    svi_map *counters;
    EVP_CIPHER_CTX *seal, *unseal; /* AES-128 of one block */

    uint64_t last;    /* newest place that was given, or may have been before the start */
    uint64_t ceiling; /* committed: places below it may be given */
    uint64_t raised_to, raised_by; /* the ceiling that is on its way; the unit it is in, 0: none */
    int64_t last_when_ms;
    int64_t noted_ms; /* the same, as the newest ceiling told it */

    svi_archive *list;
    svi_open_add *open;
    struct svi_archive_reading *waiting; /* for units */
    struct svi_purge *purges;            /* the first one is under way */
    bool closing;
};

struct svi_archive {
    uint32_t magic;
    svi_archives *archives;
    svi_archive *next;
    svi_map *entries, *bodies;
    sv_str name; /* behind the struct */
};

/* Value of an entry. */
#define SVI_ENTRY_BYTES 44u
typedef struct svi_entry {
    int64_t when_ms;
    uint64_t bare, full; /* hashes of the other side's address */
    uint32_t flags, size;
    uint64_t body;
} svi_entry;

/* False if the bytes are no entry. */
bool svi_entry_read(sv_str value, svi_entry *entry_out);

/* A place, or the number of a body, as a key / and back; 0 for what is none. */
#define SVI_PLACE_KEY 8u
sv_str svi_place_key(uint64_t place, char to[SVI_PLACE_KEY]);
uint64_t svi_place_of(sv_str key);

/* Hash of an address in an entry. */
uint64_t svi_with_hash(sv_str address);

/* The stanza in the value of a body; false if the bytes are none. */
bool svi_body_stanza(sv_str value, sv_str *stanza_out);
/* Walks over who holds it: *pos is 0 at first; false at the end. */
bool svi_body_holder(sv_str value, size_t *pos, sv_str *owner_out, uint64_t *place_out);

/* The least place that was given to the owner and is not handed in, but for those in `own`; UINT64_MAX if there is none. */
uint64_t svi_archive_least_open(const svi_archive *archive, sv_str owner, const svi_unit *own);

/* store_archive_read.c: something was handed in or thrown away / nothing will be any more. */
void svi_archive_readings_look(svi_archives *archives);
void svi_archive_readings_cancel(svi_archives *archives);

/* store_archive_purge.c: purges that have not begun end with SV_ECANCELED. */
void svi_archive_purges_cancel(svi_archives *archives);

#endif
