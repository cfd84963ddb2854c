/* Restoring a backup into a new store: the file is verified, then its rows are put and its units applied.
 *
 * Maps get the numbers that the new store gives them. The new store works inside this thread, without threads of its own. */
#include <stdlib.h>
#include <unistd.h>

#include "store/store_backup_impl.h"

#define PUT_BYTES (1u << 20)   /* rows of one unit */
#define OPEN_BYTES (8u << 20)  /* handed in and not yet committed */
#define MAPS_MAX (1u << 20)
#define NAMES_BYTES_MAX (64u << 20)
#define CHUNK_BYTES (256u << 10)

/* A map as the source knows it. */
typedef struct map_entry {
    uint32_t number, written, oldest; /* as in svi_map_row */
    sv_str name;
    svi_map *to; /* in the new store; NULL: not wanted, or not asked for yet */
} map_entry;

typedef struct maps {
    svi_acct *acct;
    svi_arena *arena; /* names */
    map_entry *entry;
    size_t count, cap;
} maps;

static void maps_init(maps *m, svi_acct *acct)
{
    *m = (maps){.acct = acct, .arena = svi_arena_new(acct, 4096)};
}

static void maps_free(maps *m)
{
    svi_arena_free(&m->arena);
    svi_free(m->entry);
    m->entry = NULL;
}

/* Numbers rise mostly, so the place is found from the end; a map named again may have a newer version of
 * records, and rows of the older one. */
static map_entry *maps_find(const maps *m, uint32_t number)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (m->entry[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < m->count && m->entry[low].number == number ? &m->entry[low] : NULL;
}

static sv_status maps_note(maps *m, sv_str name, sv_str value, sv_err *err)
{
    svi_map_row row;
    if (!svi_map_row_read(value, &row)) /* the reader checks each */
        return svi_err(err, SV_EIO, "the backup is damaged: its list of maps");
    const map_entry e = {.number = row.number, .written = row.written, .oldest = row.oldest};
    map_entry *known = maps_find(m, e.number);
    if (known && sv_str_eq(known->name, name)) {
        if (e.written > known->written) known->written = e.written;
        if (e.oldest < known->oldest) known->oldest = e.oldest;
        return SV_OK;
    }
    if (known || e.number == 0)
        return svi_err(err, SV_EIO, "the backup is damaged: two maps have the number %u", e.number);
    if (m->count == MAPS_MAX || svi_arena_bytes(m->arena) > NAMES_BYTES_MAX)
        return svi_err(err, SV_ELIMIT, "the backup has too many maps");
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->entry = svi_realloc(m->acct, m->entry, m->cap * sizeof *m->entry);
    }
    size_t at = m->count++;
    for (; at > 0 && m->entry[at - 1].number > e.number; at--) m->entry[at] = m->entry[at - 1];
    m->entry[at] = e;
    m->entry[at].name = svi_arena_str(m->arena, name);
    return SV_OK;
}

/* --- the file ---------------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, sv_str text)
{
    const size_t n = text.n < room - 1 ? text.n : room - 1;
    if (n > 0) memcpy(to, text.p, n);
    to[n] = 0;
}

static sv_status note_maps(maps *m, sv_str record, sv_err *err)
{
    svi_op op;
    sv_status st = SV_OK;
    for (size_t pos = 0; st == SV_OK && svi_record_next(record, &pos, &op) == SV_OK;)
        if (op.map == 0 && op.kind == SVI_OP_PUT) st = maps_note(m, op.key, op.value, err);
    return st;
}

static sv_status note_frame(svi_backup_summary *s, maps *m, const svi_frame *f, sv_err *err)
{
    s->bytes += f->raw.n;
    if (f->kind == SVI_FRAME_ROWS || f->kind == SVI_FRAME_UNIT) return note_maps(m, f->record, err);
    if (f->kind == SVI_FRAME_INFO) {
        s->wall_us = f->wall_us;
        s->is_of_host = f->host.n > 0;
        copy_text(s->host, sizeof s->host, f->host);
        copy_text(s->version, sizeof s->version, f->version);
    }
    if (f->kind == SVI_FRAME_SECRET && sv_str_eq(f->name, SV_STR("salt"))) {
        if (f->value.n > sizeof s->secret)
            return svi_err(err, SV_EIO, "the backup is damaged: its salt is too long");
        s->has_secret = true;
        s->secret_n = f->value.n;
        memcpy(s->secret, f->value.p, f->value.n);
    }
    if (f->kind == SVI_FRAME_END) {
        s->commit = f->commit;
        s->rows = f->rows;
        s->units = f->units;
    }
    return SV_OK;
}

static sv_status rewind_file(int fd, sv_err *err)
{
    if (lseek(fd, 0, SEEK_SET) == 0) return SV_OK;
    return svi_err(err, SV_EINVAL, "a backup is read twice, so it has to be a file and no pipe");
}

/* Reads all frames and calls `each` for those with records (may be NULL). */
static sv_status read_all(svi_acct *acct, int fd, svi_backup_summary *summary, maps *m,
                          sv_status (*each)(void *ctx, const svi_frame *frame, sv_err *err),
                          void *ctx, sv_err *err)
{
    svi_frame frame;
    sv_status st = rewind_file(fd, err);
    if (st != SV_OK) return st;
    svi_backup_reader *reader = svi_backup_reader_new(acct, fd);
    while (st == SV_OK && (st = svi_backup_next(reader, &frame, err)) == SV_OK) {
        if (summary) st = note_frame(summary, m, &frame, err);
        const bool has_record = frame.kind == SVI_FRAME_ROWS || frame.kind == SVI_FRAME_UNIT;
        if (st == SV_OK && each && has_record) st = each(ctx, &frame, err);
        if (st == SV_ENOTFOUND) st = SV_EIO; /* the file's end alone is that */
    }
    svi_backup_reader_free(&reader);
    return st == SV_ENOTFOUND ? SV_OK : st;
}

sv_status svi_backup_verify(svi_acct *acct, int fd, svi_backup_summary *summary_out, sv_err *err)
{
    maps m;
    maps_init(&m, acct);
    *summary_out = (svi_backup_summary){.wall_us = 0};
    const sv_status st = read_all(acct, fd, summary_out, &m, NULL, NULL, err);
    summary_out->maps = m.count;
    maps_free(&m);
    return st;
}

/* --- the new store ----------------------------------------------------------------------------------- */

typedef struct target {
    const svi_restore_config *config;
    svi_store *store;
    svi_unit *unit; /* under construction; NULL: none */
    size_t unit_bytes, open_bytes;
    bool is_old;      /* a format in which rows come before units, wherever they stand; it is read twice: */
    bool wants_units; /* which time it is */
    maps *maps;
    sv_err failed; /* code SV_OK: has not */
} target;

static void on_failed(void *ctx, const sv_err *err)
{
    ((target *)ctx)->failed = *err;
}

static sv_status state_of(const target *t, sv_err *err)
{
    if (t->failed.code != SV_OK) {
        *err = t->failed;
        return err->code;
    }
    if (svi_store_admit(t->store) == SV_OK) return SV_OK;
    return svi_err(err, SV_ENOSPC, "there is not enough space on the disk for the store");
}

/* Commits what was handed in; the engine does it within the polls. */
static sv_status settle(target *t, sv_err *err)
{
    sv_status st = SV_OK;
    do {
        svi_store_hurry(t->store);
        (void)svi_store_poll(t->store);
        st = state_of(t, err);
    } while (st == SV_OK && svi_store_committed(t->store) < svi_store_submitted(t->store));
    t->open_bytes = 0;
    return st;
}

static sv_status submit(target *t, sv_err *err)
{
    if (!t->unit) return SV_OK;
    (void)svi_unit_submit(&t->unit);
    t->open_bytes += t->unit_bytes;
    t->unit_bytes = 0;
    return t->open_bytes < OPEN_BYTES ? SV_OK : settle(t, err);
}

static sv_status put(target *t, svi_map *map, const svi_op *op, sv_err *err)
{
    if (!t->unit) t->unit = svi_unit_new(t->store);
    t->unit_bytes += op->owner.n + op->key.n + op->value.n + 32;
    const sv_status st = svi_unit_add_stored(t->unit, map, op);
    return st == SV_OK ? SV_OK : svi_err(err, st, "a row is out of the store's bounds");
}

/* Which map of the new store this one becomes; NULL: not wanted. */
static sv_status map_for(target *t, uint32_t number, svi_map **map_out, sv_err *err)
{
    map_entry *e = maps_find(t->maps, number);
    *map_out = NULL;
    if (!e) return svi_err(err, SV_EIO, "the backup is damaged: it never names the map %u", number);
    const sv_str host = t->config->host;
    if (host.n > 0 && !svi_map_is_of(e->name, host)) return SV_OK;
    *map_out = e->to;
    if (e->to) return SV_OK;
    const sv_status st = svi_map_restore(t->store, e->name, e->written, e->oldest, &e->to, err);
    *map_out = e->to;
    return st;
}

static sv_status put_frame(void *ctx, const svi_frame *frame, sv_err *err)
{
    target *t = ctx;
    const bool is_unit = frame->kind == SVI_FRAME_UNIT;
    t->is_old = frame->format < SVI_BACKUP_FORMAT;
    if (t->is_old && is_unit != t->wants_units) return SV_OK;
    svi_op op;
    sv_status st = SV_OK;
    for (size_t pos = 0; st == SV_OK && svi_record_next(frame->record, &pos, &op) == SV_OK;) {
        svi_map *map;
        if (op.map == 0) continue; /* maps are made when they are needed */
        st = map_for(t, op.map, &map, err);
        if (st == SV_OK && map) st = put(t, map, &op, err);
        if (st == SV_OK && !is_unit && t->unit_bytes >= PUT_BYTES) st = submit(t, err);
    }
    return st == SV_OK ? submit(t, err) : st;
}

/* Maps without rows are made, too: their records' version must not be forgotten. */
static sv_status make_maps(target *t, sv_err *err)
{
    sv_status st = SV_OK;
    svi_map *map;
    for (size_t i = 0; i < t->maps->count && st == SV_OK; i++)
        st = map_for(t, t->maps->entry[i].number, &map, err);
    return st;
}

static sv_status put_file(target *t, sv_err *err)
{
    svi_acct *acct = t->config->acct;
    sv_status st = make_maps(t, err);
    for (int pass = 0; (pass == 0 || (pass == 1 && t->is_old)) && st == SV_OK; pass++) {
        t->wants_units = pass == 1;
        st = read_all(acct, t->config->fd, NULL, NULL, put_frame, t, err);
    }
    return st;
}

/* --- hosts that stay ------------------------------------------------------------------------------------ */

static sv_status open_store(svi_acct *acct, sv_str path, target *t, svi_store **store_out,
                            sv_err *err)
{
    svi_engine *engine = NULL;
    const svi_lmdb_config lmdb = {.path = path, .single_thread = true};
    sv_status st = svi_engine_lmdb(acct, &lmdb, &engine, err);
    if (st != SV_OK) return st;
    const svi_store_config config = {.engine = engine,
                                     .acct = acct,
                                     .gather_us = INT64_MAX / 4, /* until hurried */
                                     .fold_ops = 100000,
                                     .failed = t ? on_failed : NULL,
                                     .ctx = t};
    return svi_store_open(&config, store_out, err);
}

static sv_status copy_map(target *t, svi_store *from, const svi_map *map, svi_map *to, sv_err *err)
{
    svi_arena *arena = svi_arena_new(t->config->acct, 64u << 10);
    svi_buf place;
    svi_buf_init(&place, t->config->acct);
    svi_job job = {.more = true};
    sv_status st = SV_OK;
    while (st == SV_OK && job.more) {
        job = (svi_job){.kind = SVI_JOB_RANGE,
                        .key = {.map = map->number},
                        .arena = arena,
                        .max_bytes = CHUNK_BYTES,
                        .from = svi_buf_str(&place)};
        from->engine->ops->range(from->engine, &job);
        st = job.status;
        if (st != SV_OK) *err = job.err;
        for (size_t i = 0; i < job.row_count && st == SV_OK; i++) {
            const svi_op op = {.kind = SVI_OP_PUT,
                               .owner = job.rows[i].key.owner,
                               .key = job.rows[i].key.key,
                               .value = job.rows[i].value};
            st = put(t, to, &op, err);
            if (st == SV_OK && t->unit_bytes >= PUT_BYTES) st = submit(t, err);
        }
        svi_buf_clear(&place);
        if (job.more) svi_buf_put(&place, job.from);
        svi_arena_clear(arena);
    }
    svi_buf_free(&place);
    svi_arena_free(&arena);
    return st == SV_OK ? submit(t, err) : st;
}

static sv_status refuse_rows(const target *t, svi_store *from, const svi_map *map, sv_err *err)
{
    svi_arena *arena = svi_arena_new(t->config->acct, 4096);
    svi_job job = {
        .kind = SVI_JOB_RANGE, .key = {.map = map->number}, .arena = arena, .max_bytes = 1};
    from->engine->ops->range(from->engine, &job);
    const sv_str host = t->config->host;
    sv_status st = job.status;
    if (st != SV_OK)
        *err = job.err;
    else if (job.row_count > 0)
        st = svi_err(err, SV_EEXIST, "the store holds data of the host %.*s already", (int)host.n,
                     host.p);
    svi_arena_free(&arena);
    return st;
}

static sv_status copy_others(target *t, svi_store *from, sv_err *err)
{
    size_t pos = 0;
    sv_str name;
    void *item;
    sv_status st = SV_OK;
    while (st == SV_OK && svi_dict_next(from->map_names, &pos, &name, &item)) {
        const svi_map *map = item;
        svi_map *to = NULL;
        if (svi_map_is_of(name, t->config->host)) {
            if (!t->config->overwrite) st = refuse_rows(t, from, map, err);
            continue;
        }
        st = svi_map_restore(t->store, name, map->written, map->oldest, &to, err);
        if (st == SV_OK) st = copy_map(t, from, map, to, err);
    }
    return st;
}

/* The index alone is copied, so all is folded first: a close does that. */
static sv_status keep_others(target *t, sv_err *err)
{
    const svi_restore_config *c = t->config;
    svi_store *from = NULL;
    sv_status st = open_store(c->acct, c->keep_from, NULL, &from, err);
    if (st != SV_OK) return st;
    svi_store_close(&from);
    st = open_store(c->acct, c->keep_from, NULL, &from, err);
    if (st != SV_OK) return st;
    if (from->folded != from->submitted)
        st = svi_err(err, SV_EIO, "the store that is there could not be written");
    if (st == SV_OK) st = copy_others(t, from, err);
    svi_store_close(&from);
    return st;
}

/* --- all ------------------------------------------------------------------------------------------------ */

static sv_status check_wanted(const svi_restore_config *c, const svi_backup_summary *s,
                              const maps *m, sv_err *err)
{
    size_t found = 0;
    for (size_t i = 0; i < m->count; i++) found += svi_map_is_of(m->entry[i].name, c->host);
    if (c->host.n > 0 && found == 0)
        return svi_err(err, SV_ENOTFOUND, "the backup holds nothing of the host %.*s",
                       (int)c->host.n, c->host.p);
    if (c->host.n == 0 && s->is_of_host)
        return svi_err(err, SV_EINVAL, "the backup is of the host %s only: restore that one", s->host);
    return SV_OK;
}

static sv_status fill(target *t, sv_err *err)
{
    const svi_restore_config *c = t->config;
    sv_status st = state_of(t, err);
    if (st == SV_OK && c->host.n > 0 && c->keep_from.n > 0) st = keep_others(t, err);
    if (st == SV_OK) st = put_file(t, err);
    if (st == SV_OK) st = settle(t, err);
    return st;
}

static sv_status make_store(target *t, sv_err *err)
{
    const svi_restore_config *c = t->config;
    sv_status st = open_store(c->acct, c->into, t, &t->store, err);
    if (st != SV_OK) return st;
    st = fill(t, err);
    svi_unit_free(&t->unit);
    if (st != SV_OK) {
        svi_store_drop(&t->store);
        return st;
    }
    svi_store_close(&t->store); /* folds and syncs */
    if (t->failed.code != SV_OK) *err = t->failed;
    return t->failed.code;
}

sv_status svi_restore(const svi_restore_config *config, svi_backup_summary *summary_out,
                      sv_err *err)
{
    maps m;
    maps_init(&m, config->acct);
    *summary_out = (svi_backup_summary){.wall_us = 0};
    target t = {.config = config, .maps = &m};
    sv_status st = read_all(config->acct, config->fd, summary_out, &m, NULL, NULL, err);
    if (st == SV_OK) st = check_wanted(config, summary_out, &m, err);
    if (st == SV_OK) st = make_store(&t, err);
    summary_out->maps = m.count;
    maps_free(&m);
    return st;
}
