/* The trail: what became of recent stanzas, for whoever asks later (`stave explain`). A ring of small
 * records, the newest over the oldest; each belongs to an entry of the ledger, so that all of one stanza's are
 * found by its number. What passes without an entry (occasions by themselves, rehearsals) leaves none; an occasion
 * within another event leaves them at that one's entry.
 *
 * Bus and ledger write what they do; what only upper layers know (addresses, sessions) comes in as texts whose
 * meaning is theirs. Never a body. Names of modules, hooks and rules are kept once each and outlive their modules; above
 * 4,000 of them further ones are told as "...". Router thread only. */
#ifndef SVI_BUS_TRAIL_H
#define SVI_BUS_TRAIL_H

#include "base/base_assert.h"
#include "base/base_mem.h"
#include "base/base_plat.h"
#include "base/base_str.h"
#include "bus/bus_meter.h"

typedef struct svi_trail svi_trail;

enum {
    SVI_TRAIL_TEXTS = 6,       /* of one record */
    SVI_TRAIL_TEXT_BYTES = 240 /* of one text; what is longer is cut, at a whole character */
};

typedef enum svi_trail_kind {
    SVI_TRAIL_NONE = 0,
    SVI_TRAIL_OPENED,   /* `what`: svi_origin; `parent`, `name`: in whose hook */
    SVI_TRAIL_CLOSED,   /* `what`: svi_disposal; `is_acked`, `name`, `rule` */
    SVI_TRAIL_QUEUED,   /* waits until an earlier event of its lane goes on */
    SVI_TRAIL_POINT,    /* `what`: svi_point; handlers of it are asked; `is_inside`: of an occasion within the event */
    SVI_TRAIL_ASKED,    /* `what`: sv_verdict; `name`, `took_us`; `is_skipped`: it is in quarantine, the policy decided */
    SVI_TRAIL_WAITS,    /* the handler asked last said LATER */
    SVI_TRAIL_GOES_ON,  /* `what`: svi_trail_cause */
    SVI_TRAIL_REPLACED, /* `name` has put another stanza in its place */
    SVI_TRAIL_WRITES,   /* its unit was handed in: `number` is its commit, 0: it writes nothing and waits for one before it */
    SVI_TRAIL_RELEASED, /* it no longer waits for the commit */
    SVI_TRAIL_TEXT      /* `what`: the upper layer's; `texts` */
} svi_trail_kind;

/* Why an event that waited goes on. */
typedef enum svi_trail_cause {
    SVI_TRAIL_RESUMED_PASS = 0, /* what it waited for came: the next handlers are asked */
    SVI_TRAIL_RESUMED_DONE,     /* the same: the verdict stands */
    SVI_TRAIL_TIMEOUT,          /* nothing came before the deadline */
    SVI_TRAIL_RESTARTED         /* a later generation of the handler begins anew */
} svi_trail_cause;

/* A module and its hook, or a rule. */
typedef struct svi_trail_name {
    const char *module, *hook; /* "" if there is none; of a rule `hook` is its text */
} svi_trail_name;

/* One record, read. Texts are borrowed until the next one is written. */
typedef struct svi_trail_record {
    svi_trail_kind kind;
    unsigned what;
    bool is_acked, is_inside, is_skipped;
    uint64_t entry;
    int64_t at_us; /* monotonic, coarse but for commits; -1: not noted, that of the record before */
    uint64_t parent, number;
    uint32_t took_us; /* coarse */
    svi_trail_name name;
    const char *rule; /* NULL: none */
    size_t text_count;
    sv_str texts[SVI_TRAIL_TEXTS]; /* empty from text_count on */
} svi_trail_record;

/* A trail that keeps nothing yet; its memory is charged to `acct`, `plat` outlives it. */
svi_trail *svi_trail_new(svi_acct *acct, const svi_plat *plat);
void svi_trail_free(svi_trail **trail);

/* From now on it keeps as many bytes of records as the next lower power of two (at least 4 KiB), 0: none. What it has is
 * forgotten if that changes. */
void svi_trail_resize(svi_trail *trail, size_t bytes);
/* What it keeps, in bytes; 0: nothing. */
size_t svi_trail_size(const svi_trail *trail);

/* Notes; all do nothing if `trail` is NULL or keeps nothing, or `entry` is 0. The first two are in the name of what runs
 * now (svi_exec_now). */
void svi_trail_opened(svi_trail *trail, uint64_t entry, unsigned origin, uint64_t parent);
void svi_trail_closed(svi_trail *trail, uint64_t entry, unsigned disposal, bool is_acked, const char *rule);
/* QUEUED, POINT, WAITS, GOES_ON: those that have no more than `what`. */
void svi_trail_note(svi_trail *trail, uint64_t entry, svi_trail_kind kind, unsigned what);
void svi_trail_point(svi_trail *trail, uint64_t entry, unsigned point, bool is_inside);
/* A handler's verdict. `stats` (may be NULL) remembers the name's number. */
void svi_trail_asked(svi_trail *trail, uint64_t entry, const char *module, const char *hook, svi_hook_stats *stats,
                     unsigned verdict, bool is_skipped, int64_t took_us);
void svi_trail_replaced(svi_trail *trail, uint64_t entry, const char *module, const char *hook);
/* Looks at the clock: what is noted of points and texts until the next look has that time. */
void svi_trail_look(svi_trail *trail);
/* Of an event that waits for a commit: handed in, released. By the exact clock. */
void svi_trail_writes(svi_trail *trail, uint64_t entry, uint64_t commit);
void svi_trail_released(svi_trail *trail, uint64_t entry);
/* Texts of an upper layer, which are copied. At most SVI_TRAIL_TEXTS. */
void svi_trail_text(svi_trail *trail, uint64_t entry, unsigned what, const sv_str *texts, size_t count);

/* Reads on from *pos, oldest first: start with 0. False at the end. Between two calls nothing may be written. */
bool svi_trail_next(const svi_trail *trail, uint64_t *pos, svi_trail_record *record_out);

typedef struct svi_trail_stats {
    size_t bytes, used;  /* of the ring */
    uint64_t records;    /* ever written */
    uint64_t written;    /* their bytes; since its size was changed last */
    size_t names;        /* that are kept */
    int64_t oldest_us;   /* monotonic time of the oldest record that has one; -1: there is none */
} svi_trail_stats;
/* Fills in the figures as they are now. */
void svi_trail_stats_get(const svi_trail *trail, svi_trail_stats *stats_out);

#endif
