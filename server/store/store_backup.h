/* A backup: one stream of bytes that holds a state which the store had at one commit, and how it is
 * made while the store serves.
 *
 * How: from one commit on the units are kept aside as they are committed (by the thread that
 * commits), and what is older is folded. Then the index is read map by map, in short transactions
 * that resume from a key, and written as rows. While one of them is read no fold runs, so it is known which
 * units are in the rows: those are written before them, all others behind. Rows put and units
 * applied in the order of the file give the state at the last unit.
 *
 * The stream, all numbers little-endian:
 *   header  "STAVEBAK", format (4 bytes), CRC-32C of these twelve
 *   frames  kind (1), zero (3), length of the content (4), CRC-32C (4), content. The checksum is
 *           seeded with the one before it, so no frame can be missing, doubled or out of place.
 * Kinds:
 *   INFO    the first: wall clock in us (8), commit from which units are kept (8), host (2 + text,
 *           empty: all), version of the release that wrote it (2 + text)
 *   SECRET  name (2 + text), value
 *   ROWS    a record as in the journal (store_unit.c), of puts only. Map 0 is the list of maps: key
 *           is the name, value as store_maps.c says
 *   UNIT    number (8), a record; numbers rise
 *   END     the last: commit of the state (8), rows (8), units (8)
 *   FAILED  a text: the backup ended here, and why
 * A file without END is none. A later release may add kinds, of frames or of
 * operations in records, only with another format.
 *
 * Format 2 knows no SVI_OP_APPEND; its rows may be of any state since the commit from which units are kept, so all rows
 * are put first, then all units are applied. */
#ifndef SVI_STORE_BACKUP_H
#define SVI_STORE_BACKUP_H

#include "store/store.h"

#define SVI_BACKUP_FORMAT 3u
#define SVI_BACKUP_FORMAT_OLDEST 2u /* that is read */
#define SVI_BACKUP_FRAME_MAX (SVI_UNIT_MAX + (1u << 20))

/* --- making ------------------------------------------------------------------------ */

typedef struct svi_backup svi_backup;

typedef struct svi_backup_result {
    sv_status status; /* SV_OK, SV_ECANCELED (the store closes), SV_EIO, SV_ELIMIT, SV_ETIMEOUT */
    sv_err err;
    uint64_t commit, rows, units, bytes;
    int64_t took_us;
} svi_backup_result;

typedef struct svi_backup_config {
    sv_str host;         /* its maps only; empty: all */
    sv_str secret_name;  /* one secret that goes along; empty: none */
    sv_str secret;
    const char *version; /* of this release */
    int fd;              /* where the stream goes: a file, or what never blocks (O_NONBLOCK); stays
                            the caller's, who closes it in `done` */
    uint64_t rate_bytes; /* rows a second at most (0: as fast as it goes); units are not bounded */
    size_t queue_bytes;  /* units that wait for the one who reads; more end the backup (64 MiB) */
    unsigned stall_ms;   /* nothing could be written for so long: it ends (10 min) */
    size_t chunk_bytes;  /* rows read at once (256 KiB) */
    bool by_steps;       /* no thread: the caller calls svi_backup_step; for tests */
    /* router thread, exactly once, from svi_store_poll, svi_store_close or svi_store_drop; never
     * before svi_backup_start has returned. What lies in the config is copied. */
    void (*done)(void *ctx, const svi_backup_result *result);
    void *ctx;
} svi_backup_config;

/* Begins a backup; everything committed by now will be in it. Router thread; does no more than list
 * the maps. SV_EBUSY: one is being made already; SV_ENOTFOUND: nothing was ever stored for that
 * host; SV_EIO. `backup_out` is the store's, and gone after `done`. */
sv_status svi_backup_start(svi_store *store, const svi_backup_config *config,
                           svi_backup **backup_out, sv_err *err);

typedef enum svi_backup_state {
    SVI_BACKUP_MORE, /* call again */
    SVI_BACKUP_WAIT, /* for the store, or the rate: call again later */
    SVI_BACKUP_OVER  /* the next poll calls `done` */
} svi_backup_state;

/* With `by_steps`: does one piece of work. */
svi_backup_state svi_backup_step(svi_backup *backup);

/* --- reading ----------------------------------------------------------------------- */

typedef enum svi_frame_kind {
    SVI_FRAME_INFO = 1,
    SVI_FRAME_SECRET = 2,
    SVI_FRAME_ROWS = 3,
    SVI_FRAME_UNIT = 4,
    SVI_FRAME_END = 5,
    SVI_FRAME_FAILED = 6
} svi_frame_kind;

typedef struct svi_frame {
    svi_frame_kind kind;
    uint32_t format; /* of the file */
    sv_str raw;            /* all its bytes; of the first one with the header before */
    int64_t wall_us;       /* INFO */
    uint64_t commit;       /* INFO: where units begin; END: of the state */
    sv_str host, version;  /* INFO */
    sv_str name, value;    /* SECRET */
    uint64_t number;       /* UNIT */
    sv_str record;         /* ROWS, UNIT */
    uint64_t rows, units;  /* END */
} svi_frame;

typedef struct svi_backup_reader svi_backup_reader;

/* Reads a backup from a file, pipe or socket (`fd` stays the caller's), from where it stands. */
svi_backup_reader *svi_backup_reader_new(svi_acct *acct, int fd);
void svi_backup_reader_free(svi_backup_reader **reader);

/* The next frame, checked: checksum, order, form of its records, and the sums in END. Strings are
 * borrowed until the next call. Blocks. SV_ENOTFOUND behind END, at the end of the file; SV_EINVAL
 * if it is no backup, SV_ETIMEOUT of a socket that has a limit, SV_EVERSION if its format is another, SV_EIO with the offset if it is
 * damaged or cut off, SV_ECANCELED with the reason if it ends with FAILED. */
sv_status svi_backup_next(svi_backup_reader *reader, svi_frame *frame_out, sv_err *err);

/* --- restoring --------------------------------------------------------------------- */

typedef struct svi_backup_summary {
    int64_t wall_us;
    uint64_t commit, rows, units, bytes;
    bool is_of_host;
    char host[1024], version[64];
    bool has_secret;
    uint8_t secret[64];
    size_t secret_n;
    size_t maps; /* that would be restored */
} svi_backup_summary;

/* Reads the whole file and checks everything that can be checked without writing. */
sv_status svi_backup_verify(svi_acct *acct, int fd, svi_backup_summary *summary_out, sv_err *err);

typedef struct svi_restore_config {
    svi_acct *acct;
    int fd;           /* a file that can be read from its beginning several times */
    sv_str host;      /* restore only this one; empty: all */
    sv_str keep_from; /* with `host`: the store whose other hosts are taken over; empty: none */
    bool overwrite;   /* with `keep_from`: what it has of the host is left out */
    sv_str into;      /* folder of the new store; must not exist */
} svi_restore_config;

/* Verifies the file, then makes a new store from it. When it returns SV_OK, all of it is on disk;
 * else what is in `into` is good for nothing and is the caller's to remove. SV_ENOTFOUND: the file
 * holds nothing of that host; SV_EINVAL: it holds one host only, and all are wanted; SV_EEXIST: `keep_from` has
 * rows of the host; SV_ENOSPC.
 * Blocks. */
sv_status svi_restore(const svi_restore_config *config, svi_backup_summary *summary_out,
                      sv_err *err);

/* Whether a map's name ("host/module/name") is of that host. */
bool svi_map_is_of(sv_str map, sv_str host);

#endif
