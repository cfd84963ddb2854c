/* Ticket keys as a file of lines "TIME KEY", newest first: seconds since 1970 and hex digits. */
#include "main/main_tickets.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_str.h"
#include "main/main_state.h"

#define KEY_DIGITS (2 * sizeof(svi_ticket_key))
#define FILE_MAX (SVI_TICKET_KEYS_MAX * (KEY_DIGITS + 32))

typedef struct kept {
    int64_t born_s;
    svi_ticket_key key;
} kept;

typedef struct ring {
    kept keys[SVI_TICKET_KEYS_MAX];
    size_t count;
} ring;

_Static_assert(SVI_TICKET_TAKEN_S / SVI_TICKET_ROTATE_S < SVI_TICKET_KEYS_MAX, "all fit");

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_key(sv_str hex, svi_ticket_key *key_out)
{
    uint8_t *to = (uint8_t *)key_out;
    if (hex.n != KEY_DIGITS) return false;
    for (size_t i = 0; i < sizeof *key_out; i++) {
        const int high = digit(hex.p[2 * i]), low = digit(hex.p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        to[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

/* Lines that are not whole are left out. */
static void read_file(const char *file, ring *r)
{
    char text[FILE_MAX];
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return;
    const ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    sv_str rest = {text, n > 0 ? (size_t)n : 0}, line, word;
    while (r->count < SVI_TICKET_KEYS_MAX && svi_str_split(&rest, '\n', &line)) {
        kept *k = &r->keys[r->count];
        if (svi_str_split(&line, ' ', &word) &&
            svi_str_int(word, 0, INT64_MAX / 2, &k->born_s) == SV_OK && read_key(line, &k->key))
            r->count++;
    }
    OPENSSL_cleanse(text, sizeof text);
}

static sv_status write_file(const char *file, const ring *r, sv_err *err)
{
    char text[FILE_MAX];
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++) {
        const uint8_t *key = (const uint8_t *)&r->keys[i].key;
        n += (size_t)snprintf(text + n, sizeof text - n, "%lld ", (long long)r->keys[i].born_s);
        for (size_t k = 0; k < sizeof r->keys[i].key; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%02x", key[k]);
        n += (size_t)snprintf(text + n, sizeof text - n, "\n");
    }
    SV_ASSERT(n < sizeof text);
    const sv_status status = svi_state_replace(file, (sv_str){text, n}, 0600, err);
    OPENSSL_cleanse(text, sizeof text);
    return status;
}

/* True if something has changed. */
static bool rotate(ring *r, int64_t now_s, const svi_plat *plat)
{
    const size_t before = r->count;
    size_t good = 0;
    for (size_t i = 0; i < before; i++) {
        const int64_t age_s = now_s - r->keys[i].born_s;
        if (age_s >= 0 && age_s < SVI_TICKET_TAKEN_S) r->keys[good++] = r->keys[i];
    }
    r->count = good;
    const bool is_due = good == 0 || now_s - r->keys[0].born_s >= SVI_TICKET_ROTATE_S;
    if (is_due) {
        if (r->count == SVI_TICKET_KEYS_MAX) r->count--;
        for (size_t i = r->count; i > 0; i--) r->keys[i] = r->keys[i - 1];
        r->keys[0].born_s = now_s;
        plat->random(plat->ctx, &r->keys[0].key, sizeof r->keys[0].key);
        r->count++;
    }
    return is_due || good != before;
}

int64_t svi_tickets_turn(const char *data, const svi_plat *plat, svi_tickets *tickets, sv_err *err)
{
    char file[PATH_MAX];
    ring r = {.count = 0};
    svi_ticket_key keys[SVI_TICKET_KEYS_MAX];
    const int64_t now_s = plat->wall_us(plat->ctx) / 1000000;
    err->code = SV_OK;
    const int n = snprintf(file, sizeof file, "%s/secrets/tickets", data);
    SV_ASSERT(n > 0 && n < PATH_MAX); /* the folder's other files fit */
    read_file(file, &r);
    if (rotate(&r, now_s, plat)) err->code = write_file(file, &r, err);
    for (size_t i = 0; i < r.count; i++) keys[i] = r.keys[i].key;
    svi_tickets_set(tickets, keys, r.count);
    const int64_t due_s = r.keys[0].born_s + SVI_TICKET_ROTATE_S - now_s;
    OPENSSL_cleanse(keys, sizeof keys);
    OPENSSL_cleanse(&r, sizeof r);
    return due_s > 0 ? due_s : 1;
}
