/* Archives: the counter of places, ids, adding. Pages: store_archive_read.c, purging: store_archive_purge.c. */
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/base_log.h"
#include "base/base_str.h"
#include "store/store_archive_impl.h"

/* How far ahead of the clock the ceiling is committed, us: a start after a crash skips up to so much, and a busy server writes one row
 * in half of it. */
#define AHEAD_US ((uint64_t)SVI_ARCHIVE_DISORDER_MS * 1000)
#define CLOCK_WRONG_MS INT64_C(3600000) /* a clock that is set back by more was wrong before */
#define MARK_BYTES 8u
#define COUNTER_OWNER SV_STR("/")
#define COUNTER_KEY SV_STR("ceiling")

/* --- bytes ----------------------------------------------------------------------------------------- */

static void put_be(char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) to[i] = (char)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get_be(const char *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | (unsigned char)from[i];
    return value;
}

sv_str svi_place_key(uint64_t place, char to[SVI_PLACE_KEY])
{
    put_be(to, place, SVI_PLACE_KEY);
    return (sv_str){to, SVI_PLACE_KEY};
}

uint64_t svi_place_of(sv_str key)
{
    return key.n == SVI_PLACE_KEY ? get_be(key.p, SVI_PLACE_KEY) : 0;
}

static void entry_write(const svi_entry *entry, char to[SVI_ENTRY_BYTES])
{
    put_be(to, (uint64_t)entry->when_ms, 8);
    put_be(to + 8, entry->bare, 8);
    put_be(to + 16, entry->full, 8);
    put_be(to + 24, entry->flags, 4);
    put_be(to + 28, entry->size, 4);
    put_be(to + 32, entry->body, 8);
    put_be(to + 40, 0, 4); /* for later */
}

bool svi_entry_read(sv_str value, svi_entry *entry_out)
{
    if (value.n < SVI_ENTRY_BYTES) return false;
    *entry_out = (svi_entry){.when_ms = (int64_t)get_be(value.p, 8),
                             .bare = get_be(value.p + 8, 8),
                             .full = get_be(value.p + 16, 8),
                             .flags = (uint32_t)get_be(value.p + 24, 4),
                             .size = (uint32_t)get_be(value.p + 28, 4),
                             .body = get_be(value.p + 32, 8)};
    return true;
}

static uint64_t hash8(sv_str text)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text.p, text.n, digest);
    return get_be((const char *)digest, 8);
}

uint64_t svi_with_hash(sv_str address)
{
    return hash8(address);
}

/* --- bodies: length of the stanza (4 bytes), the stanza, then for each holder the length of the owner (2), it, the place (8) ---- */

static void holder_write(svi_buf *to, sv_str owner, uint64_t place)
{
    char *at = svi_buf_space(to, 2 + owner.n + SVI_PLACE_KEY);
    put_be(at, owner.n, 2);
    memcpy(at + 2, owner.p, owner.n);
    put_be(at + 2 + owner.n, place, SVI_PLACE_KEY);
    to->len += 2 + owner.n + SVI_PLACE_KEY;
}

bool svi_body_stanza(sv_str value, sv_str *stanza_out)
{
    if (value.n < 4) return false;
    const uint64_t n = get_be(value.p, 4);
    if (n > value.n - 4) return false;
    *stanza_out = (sv_str){value.p + 4, (size_t)n};
    return true;
}

bool svi_body_holder(sv_str value, size_t *pos, sv_str *owner_out, uint64_t *place_out)
{
    sv_str stanza;
    if (!svi_body_stanza(value, &stanza)) return false;
    if (*pos == 0) *pos = 4 + stanza.n;
    if (value.n - *pos < 2 + SVI_PLACE_KEY) return false;
    const size_t n = (size_t)get_be(value.p + *pos, 2);
    if (value.n - *pos - 2 - SVI_PLACE_KEY < n) return false;
    *owner_out = (sv_str){value.p + *pos + 2, n};
    *place_out = get_be(value.p + *pos + 2 + n, SVI_PLACE_KEY);
    *pos += 2 + n + SVI_PLACE_KEY;
    return true;
}

/* --- the counter ----------------------------------------------------------------------------------- */

static uint64_t wall_us(const svi_archives *archives)
{
    const int64_t now = archives->plat->wall_us(archives->plat->ctx);
    return now > 0 ? (uint64_t)now : 0;
}

/* Entries are in order of time as they are in order of places, so that a time can be found. */
static int64_t next_when(svi_archives *archives)
{
    const int64_t now = (int64_t)(wall_us(archives) / 1000);
    if (now > archives->last_when_ms || archives->last_when_ms - now > CLOCK_WRONG_MS) archives->last_when_ms = now;
    return archives->last_when_ms;
}

static uint64_t hand_in_ceiling(svi_archives *archives, uint64_t ceiling)
{
    char value[16];
    put_be(value, ceiling, 8);
    put_be(value + 8, (uint64_t)archives->last_when_ms, 8);
    archives->noted_ms = archives->last_when_ms;
    svi_unit *unit = svi_unit_new(archives->store);
    const sv_status status =
        svi_unit_put(unit, archives->counters, COUNTER_OWNER, COUNTER_KEY, (sv_str){value, sizeof value});
    SV_ASSERT(status == SV_OK);
    return svi_unit_submit(&unit);
}

/* The ceiling that was handed in holds once it is committed. */
static void see_ceiling(svi_archives *archives)
{
    if (archives->raised_by == 0 || svi_store_committed(archives->store) < archives->raised_by) return;
    archives->ceiling = archives->raised_to;
    archives->raised_by = 0;
}

static void raise_ceiling(svi_archives *archives)
{
    see_ceiling(archives);
    const uint64_t now = wall_us(archives);
    const uint64_t from = now > archives->last ? now : archives->last;
    const bool is_noted = (int64_t)(now / 1000) <= archives->noted_ms + SVI_ARCHIVE_DISORDER_MS / 2;
    if (archives->raised_by != 0 || (is_noted && from + AHEAD_US / 2 < archives->ceiling)) return;
    archives->raised_to = from + AHEAD_US;
    (void)next_when(archives);
    archives->raised_by = hand_in_ceiling(archives, archives->raised_to);
    svi_store_hurry(archives->store);
}

/* Follows the clock as long as that is below what was committed; behind an idle time it lags for a moment. */
static sv_status next_place(svi_archives *archives, uint64_t *place_out)
{
    raise_ceiling(archives);
    const uint64_t now = wall_us(archives);
    uint64_t place = archives->last + 1;
    if (now > place && now < archives->ceiling) place = now;
    if (place >= archives->ceiling) return SV_EAGAIN;
    *place_out = archives->last = place;
    return SV_OK;
}

typedef struct counter_read {
    bool is_done;
    sv_status status;
    uint64_t ceiling;
    int64_t when_ms;
} counter_read;

static void counter_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    counter_read *read = ctx;
    (void)schema;
    read->is_done = true;
    read->status = status;
    if (status == SV_OK && value.n != 16) read->status = SV_EIO;
    if (read->status != SV_OK) return;
    read->ceiling = get_be(value.p, 8);
    read->when_ms = (int64_t)get_be(value.p + 8, 8);
}

static sv_status read_counter(svi_archives *archives, sv_err *err)
{
    counter_read read = {.is_done = false};
    svi_store_get(archives->counters, COUNTER_OWNER, COUNTER_KEY, counter_came, &read);
    while (!read.is_done) svi_store_wait(archives->store);
    if (read.status == SV_ENOTFOUND) return SV_OK;
    if (read.status != SV_OK) return svi_err(err, read.status, "the archive's counter can't be read");
    archives->ceiling = read.ceiling;
    archives->last = read.ceiling > 0 ? read.ceiling - 1 : 0;
    archives->last_when_ms = archives->noted_ms = read.when_ms;
    return SV_OK;
}

/* --- ids ------------------------------------------------------------------------------------------- */

static EVP_CIPHER_CTX *cipher(const unsigned char key[16], int seals)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    SV_ASSERT(ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_128_ecb(), NULL, key, NULL, seals) == 1);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    return ctx;
}

static void make_ciphers(svi_archives *archives, sv_str secret)
{
    static const char use[] = "ids of archives";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    const unsigned char *made = HMAC(EVP_sha256(), secret.p, (int)secret.n, (const unsigned char *)use, sizeof use, digest, NULL);
    SV_ASSERT(made != NULL);
    archives->seal = cipher(digest, 1);
    archives->unseal = cipher(digest, 0);
}

static void one_block(EVP_CIPHER_CTX *ctx, const unsigned char in[16], unsigned char out[16])
{
    int n = 0;
    SV_ASSERT(EVP_CipherUpdate(ctx, out, &n, in, 16) == 1 && n == 16);
}

/* What tells owners and archives apart in an id. */
static uint64_t mark_of(const svi_archive *archive, sv_str owner)
{
    char text[512 + SVI_OWNER_MAX];
    const size_t n = archive->name.n;
    SV_ASSERT(n < 512 && owner.n <= SVI_OWNER_MAX);
    memcpy(text, archive->name.p, n);
    text[n] = '\0';
    if (owner.n > 0) memcpy(text + n + 1, owner.p, owner.n);
    return hash8((sv_str){text, n + 1 + owner.n});
}

void svi_archive_id(const svi_archive *archive, sv_str owner, uint64_t place, char id_out[SVI_ARCHIVE_ID])
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    unsigned char plain[16], sealed[16];
    put_be((char *)plain, place, 8);
    put_be((char *)plain + 8, mark_of(archive, owner), MARK_BYTES);
    one_block(archive->archives->seal, plain, sealed);
    svi_hex_write(id_out, (sv_str){(const char *)sealed, sizeof sealed});
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(sv_str text, unsigned char out[16])
{
    if (text.n != SVI_ARCHIVE_ID) return false;
    for (size_t i = 0; i < 16; i++) {
        const int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

bool svi_archive_place(const svi_archive *archive, sv_str owner, sv_str id, uint64_t *place_out)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    unsigned char sealed[16], plain[16];
    if (!hex_read(id, sealed)) return false;
    one_block(archive->archives->unseal, sealed, plain);
    if (get_be((const char *)plain + 8, MARK_BYTES) != mark_of(archive, owner)) return false;
    *place_out = get_be((const char *)plain, 8);
    return true;
}

/* --- adding ---------------------------------------------------------------------------------------- */

static void unit_ended(svi_unit_end *end, bool is_submitted)
{
    svi_open_add *open = (svi_open_add *)(void *)end;
    svi_archives *archives = open->archive->archives;
    (void)is_submitted; /* thrown away: its place is burnt */
    *open->link = open->next;
    if (open->next != NULL) open->next->link = open->link;
    svi_free(open);
    svi_archive_readings_look(archives);
}

static void note_open(svi_archive *archive, svi_unit *unit, sv_str owner, uint64_t place, uint64_t body)
{
    svi_archives *archives = archive->archives;
    svi_open_add *open = svi_alloc(archives->acct, sizeof *open + owner.n + 1);
    *open = (svi_open_add){.end = {.call = unit_ended},
                           .next = archives->open,
                           .link = &archives->open,
                           .archive = archive,
                           .unit = unit,
                           .place = place,
                           .body = body,
                           .owner = {(char *)(open + 1), owner.n}};
    if (owner.n > 0) memcpy(open + 1, owner.p, owner.n);
    if (open->next != NULL) open->next->link = &open->next;
    archives->open = open;
    svi_unit_at_end(unit, &open->end);
}

uint64_t svi_archive_least_open(const svi_archive *archive, sv_str owner, const svi_unit *own)
{
    uint64_t least = UINT64_MAX;
    for (const svi_open_add *open = archive->archives->open; open != NULL; open = open->next) {
        if (open->archive != archive || open->unit == own || open->place >= least) continue;
        if (sv_str_eq(open->owner, owner)) least = open->place;
    }
    return least;
}

static sv_status put_entry(svi_archive *archive, svi_unit *unit, const svi_archive_entry *entry, size_t size,
                           uint64_t place, uint64_t body)
{
    char key[SVI_PLACE_KEY], value[SVI_ENTRY_BYTES];
    const svi_entry row = {.when_ms = next_when(archive->archives),
                           .bare = svi_with_hash(entry->bare),
                           .full = svi_with_hash(entry->with),
                           .flags = entry->flags,
                           .size = (uint32_t)size,
                           .body = body};
    entry_write(&row, value);
    return svi_unit_put(unit, archive->entries, entry->owner, svi_place_key(place, key), (sv_str){value, sizeof value});
}

static sv_status put_body(svi_archive *archive, svi_unit *unit, sv_str owner, sv_str stanza, uint64_t body)
{
    char key[SVI_PLACE_KEY], head[4];
    svi_buf value;
    svi_buf_init(&value, archive->archives->acct);
    put_be(head, stanza.n, 4);
    svi_buf_put(&value, (sv_str){head, sizeof head});
    svi_buf_put(&value, stanza);
    holder_write(&value, owner, body);
    const sv_status status =
        svi_unit_put(unit, archive->bodies, SVI_BODIES, svi_place_key(body, key), svi_buf_str(&value));
    svi_buf_free(&value);
    return status;
}

sv_status svi_archive_add(svi_archive *archive, svi_unit *unit, const svi_archive_entry *entry, sv_str stanza,
                          uint64_t *place_out)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    if (stanza.n > SVI_ARCHIVE_STANZA_MAX || entry->owner.n > SVI_OWNER_MAX) return SV_ELIMIT;
    uint64_t place;
    sv_status status = next_place(archive->archives, &place);
    if (status != SV_OK) return status;
    status = put_body(archive, unit, entry->owner, stanza, place);
    if (status == SV_OK) status = put_entry(archive, unit, entry, stanza.n, place, place);
    if (status != SV_OK) return status; /* the unit is full; a body without an entry harms nobody: see purging */
    note_open(archive, unit, entry->owner, place, place);
    *place_out = place;
    return SV_OK;
}

/* The entry that brought the body. */
static const svi_open_add *find_body(const svi_archive *archive, const svi_unit *unit, uint64_t body)
{
    for (const svi_open_add *open = archive->archives->open; open != NULL; open = open->next)
        if (open->archive == archive && open->unit == unit && open->place == body && open->body == body) return open;
    return NULL;
}

sv_status svi_archive_hold(svi_archive *archive, svi_unit *unit, const svi_archive_entry *entry, uint64_t body,
                           size_t stanza_bytes, uint64_t *place_out)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    if (entry->owner.n > SVI_OWNER_MAX) return SV_ELIMIT;
    if (find_body(archive, unit, body) == NULL) return SV_ENOTFOUND;
    uint64_t place;
    sv_status status = next_place(archive->archives, &place);
    if (status != SV_OK) return status;
    char key[SVI_PLACE_KEY];
    svi_buf holder;
    svi_buf_init(&holder, archive->archives->acct);
    holder_write(&holder, entry->owner, place);
    status = svi_unit_append(unit, archive->bodies, SVI_BODIES, svi_place_key(body, key), svi_buf_str(&holder));
    svi_buf_free(&holder);
    if (status == SV_OK) status = put_entry(archive, unit, entry, stanza_bytes, place, body);
    if (status != SV_OK) return status;
    note_open(archive, unit, entry->owner, place, body);
    *place_out = place;
    return SV_OK;
}

static svi_open_add *find_open(svi_archive *archive, const svi_unit *unit, uint64_t place)
{
    svi_open_add *open = archive->archives->open;
    while (open != NULL && (open->archive != archive || open->unit != unit || open->place != place)) open = open->next;
    return open;
}

/* A body of which one holder is left keeps the other one's name: who purges looks whether that one's entry is there. */
static bool is_held(const svi_archive *archive, const svi_unit *unit, uint64_t body)
{
    for (const svi_open_add *open = archive->archives->open; open != NULL; open = open->next)
        if (open->archive == archive && open->unit == unit && open->body == body && !open->is_withdrawn) return true;
    return false;
}

void svi_archive_withdraw(svi_archive *archive, svi_unit *unit, sv_str owner, uint64_t place)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    char key[SVI_PLACE_KEY];
    svi_open_add *open = find_open(archive, unit, place);
    if (open == NULL || open->is_withdrawn) return;
    open->is_withdrawn = true;
    sv_status status = svi_unit_del(unit, archive->entries, owner, svi_place_key(place, key));
    if (status == SV_OK && !is_held(archive, unit, open->body))
        status = svi_unit_del(unit, archive->bodies, SVI_BODIES, svi_place_key(open->body, key));
    if (status != SV_OK) SV_LOG(SV_WARN, "archive-not-withdrawn", LF_TXT("reason", svi_status_name(status)));
}

/* --- life ------------------------------------------------------------------------------------------ */

static sv_status open_counters(svi_archives *archives, sv_err *err)
{
    const sv_status status = svi_store_map(archives->store, SV_STR("archives"), 1, &archives->counters, err);
    return status == SV_OK ? read_counter(archives, err) : status;
}

sv_status svi_archives_new(svi_store *store, svi_acct *acct, const svi_plat *plat, sv_str secret,
                           svi_archives **archives_out, sv_err *err)
{
    svi_archives *archives = svi_alloc(acct, sizeof *archives);
    *archives = (svi_archives){.magic = SVI_ARCHIVES_MAGIC, .store = store, .acct = acct, .plat = plat};
    make_ciphers(archives, secret);
    const sv_status status = open_counters(archives, err);
    if (status != SV_OK) {
        svi_archives_free(&archives);
        return status;
    }
    *archives_out = archives;
    return SV_OK;
}

void svi_archives_close(svi_archives *archives)
{
    if (archives == NULL) return;
    SV_CHECK(archives, SVI_ARCHIVES_MAGIC);
    archives->closing = true;
    svi_archive_readings_cancel(archives);
    svi_archive_purges_cancel(archives);
    if (archives->list != NULL) (void)hand_in_ceiling(archives, archives->last + 1);
}

void svi_archives_free(svi_archives **take)
{
    svi_archives *archives = *take;
    *take = NULL;
    if (archives == NULL) return;
    SV_CHECK(archives, SVI_ARCHIVES_MAGIC);
    archives->closing = true;
    svi_archive_readings_cancel(archives);
    SV_ASSERT(archives->open == NULL && archives->purges == NULL);
    while (archives->list != NULL) {
        svi_archive *archive = archives->list;
        archives->list = archive->next;
        archive->magic = 0;
        svi_free(archive);
    }
    EVP_CIPHER_CTX_free(archives->seal);
    EVP_CIPHER_CTX_free(archives->unseal);
    archives->magic = 0;
    svi_free(archives);
}

static sv_status open_maps(svi_archive *archive, sv_err *err)
{
    svi_buf bodies;
    svi_buf_init(&bodies, archive->archives->acct);
    svi_buf_put(&bodies, archive->name);
    svi_buf_put(&bodies, SVI_BODIES_SUFFIX);
    sv_status status = svi_store_map(archive->archives->store, archive->name, 1, &archive->entries, err);
    if (status == SV_OK)
        status = svi_store_map(archive->archives->store, svi_buf_str(&bodies), 1, &archive->bodies, err);
    svi_buf_free(&bodies);
    return status;
}

sv_status svi_archive_open(svi_archives *archives, sv_str name, svi_archive **archive_out, sv_err *err)
{
    SV_CHECK(archives, SVI_ARCHIVES_MAGIC);
    for (svi_archive *known = archives->list; known != NULL; known = known->next) {
        if (!sv_str_eq(known->name, name)) continue;
        *archive_out = known;
        return SV_OK;
    }
    svi_archive *archive = svi_alloc(archives->acct, sizeof *archive + name.n + 1);
    *archive = (svi_archive){.magic = SVI_ARCHIVE_MAGIC, .archives = archives, .name = {(char *)(archive + 1), name.n}};
    memcpy(archive + 1, name.p, name.n);
    const sv_status status = open_maps(archive, err);
    if (status != SV_OK) {
        svi_free(archive);
        return status;
    }
    archive->next = archives->list;
    archives->list = archive;
    raise_ceiling(archives);
    *archive_out = archive;
    return SV_OK;
}
