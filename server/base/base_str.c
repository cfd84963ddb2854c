/* Strings: comparison, search, numbers, UTF-8, the keyed hash, statuses as text. */
#include "base/base_str.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/base_assert.h"

static unsigned char lower(char c)
{
    const unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

bool svi_str_eq_fold(sv_str a, sv_str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

int svi_str_cmp(sv_str a, sv_str b)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (order != 0) return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool svi_str_starts(sv_str s, sv_str prefix)
{
    return s.n >= prefix.n && sv_str_eq(svi_str_sub(s, 0, prefix.n), prefix);
}

bool svi_str_ends(sv_str s, sv_str suffix)
{
    return s.n >= suffix.n && sv_str_eq(svi_str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

size_t svi_str_find(sv_str s, char c)
{
    const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);
    return at == NULL ? s.n : (size_t)(at - s.p);
}

sv_str svi_str_sub(sv_str s, size_t from, size_t n)
{
    if (from > s.n) from = s.n;
    if (n > s.n - from) n = s.n - from;
    return (sv_str){s.p == NULL ? NULL : s.p + from, n};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

sv_str svi_str_trim(sv_str s)
{
    while (s.n > 0 && is_space(s.p[0])) s = svi_str_sub(s, 1, s.n);
    while (s.n > 0 && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

bool svi_str_split(sv_str *rest, char sep, sv_str *word_out)
{
    if (rest->n == 0) return false;
    const size_t at = svi_str_find(*rest, sep);
    *word_out = svi_str_sub(*rest, 0, at);
    *rest = svi_str_sub(*rest, at + 1, rest->n);
    return true;
}

/* Adds a digit towards the sign's side; false if int64_t cannot hold it. */
static bool add_digit(int64_t *value, bool negative, int digit)
{
    return !__builtin_mul_overflow(*value, (int64_t)10, value) &&
           !__builtin_add_overflow(*value, (int64_t)(negative ? -digit : digit), value);
}

sv_status svi_str_int(sv_str s, int64_t min, int64_t max, int64_t *value_out)
{
    const bool negative = s.n > 0 && s.p[0] == '-';
    const sv_str digits = svi_str_sub(s, negative, s.n);
    if (digits.n == 0) return SV_EINVAL;
    for (size_t i = 0; i < digits.n; i++)
        if (digits.p[i] < '0' || digits.p[i] > '9') return SV_EINVAL;
    int64_t value = 0;
    for (size_t i = 0; i < digits.n; i++)
        if (!add_digit(&value, negative, digits.p[i] - '0')) return SV_ELIMIT;
    if (value < min || value > max) return SV_ELIMIT;
    *value_out = value;
    return SV_OK;
}

/* The table of RFC 3629 4 as ranges: lead bytes, bounds of the second byte, length. */
typedef struct utf8_form {
    unsigned char lead_first, lead_last, second_first, second_last;
    unsigned char length;
} utf8_form;

static const utf8_form utf8_forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                                       {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                                       {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                                       {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

static const utf8_form *utf8_form_of(unsigned char lead)
{
    for (size_t i = 0; i < sizeof utf8_forms / sizeof *utf8_forms; i++)
        if (lead >= utf8_forms[i].lead_first && lead <= utf8_forms[i].lead_last)
            return &utf8_forms[i];
    return NULL;
}

size_t svi_utf8_step(sv_str s, uint32_t *code_out)
{
    if (s.n == 0) return 0;
    const unsigned char lead = (unsigned char)s.p[0];
    if (lead < 0x80) {
        *code_out = lead;
        return 1;
    }
    const utf8_form *form = utf8_form_of(lead);
    if (form == NULL || s.n < form->length) return 0;
    const unsigned char second = (unsigned char)s.p[1];
    if (second < form->second_first || second > form->second_last) return 0;
    uint32_t code = lead & (0x7fu >> form->length);
    for (size_t i = 1; i < form->length; i++) {
        const unsigned char next = (unsigned char)s.p[i];
        if ((next & 0xc0) != 0x80) return 0;
        code = code << 6 | (next & 0x3f);
    }
    *code_out = code;
    return form->length;
}

static bool eight_ascii(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return (word & 0x8080808080808080u) == 0;
}

bool svi_utf8_valid(sv_str s)
{
    size_t at = 0;
    while (at < s.n) {
        if (s.n - at >= 8 && eight_ascii(s.p + at)) {
            at += 8;
            continue;
        }
        uint32_t code;
        const size_t n = svi_utf8_step((sv_str){s.p + at, s.n - at}, &code);
        if (n == 0) return false;
        at += n;
    }
    return true;
}

bool svi_str_eq_secret(sv_str a, sv_str b)
{
    if (a.n != b.n) return false;
    volatile unsigned char differ = 0; /* volatile: the loop may not end early */
    for (size_t i = 0; i < a.n; i++)
        differ = (unsigned char)(differ | (unsigned char)(a.p[i] ^ b.p[i]));
    return differ == 0;
}

static size_t least(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t svi_str_distance(sv_str a, sv_str b, size_t cap)
{
    enum { LONGEST = 64 };
    if (a.n > LONGEST || b.n > LONGEST) return cap;
    size_t row[LONGEST + 1]; /* edits from the part of `a` seen so far to each front part of `b` */
    for (size_t j = 0; j <= b.n; j++) row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            const size_t above = row[j];
            const size_t change = corner + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);
            row[j] = least(row[j - 1] + 1, above + 1, change);
            corner = above;
        }
    }
    return row[b.n] < cap ? row[b.n] : cap;
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
static uint64_t sip_key[2];

static uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* Up to eight bytes as a number, the first the lowest. */
static uint64_t little_endian(const void *from, size_t n)
{
    uint64_t word = 0;
    if (n > 0) memcpy(&word, from, n);
    return le64toh(word);
}

static void sip_rounds(uint64_t v[4], int count)
{
    for (int i = 0; i < count; i++) {
        v[0] += v[1];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[2] = rotl(v[2], 32);
    }
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

uint64_t svi_hash(sv_str s)
{
    uint64_t v[4] = {sip_key[0] ^ 0x736f6d6570736575u, sip_key[1] ^ 0x646f72616e646f6du,
                     sip_key[0] ^ 0x6c7967656e657261u, sip_key[1] ^ 0x7465646279746573u};
    const char *p = s.p;
    size_t left = s.n;
    for (; left >= 8; left -= 8, p += 8) sip_word(v, little_endian(p, 8));
    sip_word(v, (uint64_t)s.n << 56 | little_endian(p, left));
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void svi_hash_seed(const uint8_t key[16])
{
    sip_key[0] = little_endian(key, 8);
    sip_key[1] = little_endian(key + 8, 8);
}

sv_status svi_err(sv_err *err, sv_status code, const char *format, ...)
{
    if (err == NULL) return code;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    SV_ASSERT(n >= 0);
    err->code = code;
    return code;
}

const char *svi_status_name(sv_status status)
{
    static const char *const names[] = {
        [0] = "ok",
        [-SV_ENOTFOUND] = "not-found",
        [-SV_EEXIST] = "exists",
        [-SV_EINVAL] = "invalid",
        [-SV_ELIMIT] = "limit",
        [-SV_EIO] = "io-error",
        [-SV_ENOSPC] = "no-space",
        [-SV_ETIMEOUT] = "timeout",
        [-SV_ECANCELED] = "canceled",
        [-SV_ECLOSED] = "closed",
        [-SV_EDENIED] = "denied",
        [-SV_EVERSION] = "version",
        [-SV_EBUSY] = "busy",
        [-SV_EAGAIN] = "again",
    };
    const int at = -(int)status;
    return at >= 0 && at < (int)(sizeof names / sizeof *names) ? names[at] : "unknown";
}
