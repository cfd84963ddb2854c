/* Growing buffer, and base64 and hexadecimal, which are written into one. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_str.h"

enum { LEAST_CAP = 64 };

void svi_buf_init(svi_buf *buf, svi_acct *acct)
{
    SV_ASSERT(acct != NULL);
    *buf = (svi_buf){.acct = acct};
}

void svi_buf_free(svi_buf *buf)
{
    svi_free(buf->data);
    *buf = (svi_buf){.acct = buf->acct};
}

void svi_buf_clear(svi_buf *buf)
{
    buf->len = 0;
}

char *svi_buf_space(svi_buf *buf, size_t bytes)
{
    SV_ASSERT(buf->len <= buf->cap && bytes <= PTRDIFF_MAX / 4 - buf->len);
    const size_t need = buf->len + bytes;
    if (need > buf->cap || buf->data == NULL) {
        size_t cap = buf->cap < LEAST_CAP ? LEAST_CAP : buf->cap * 2;
        if (cap < need) cap = need;
        buf->data = svi_realloc(buf->acct, buf->data, cap);
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

static bool lies_in(const svi_buf *buf, const char *p)
{
    return (uintptr_t)p - (uintptr_t)buf->data < buf->cap;
}

void svi_buf_put(svi_buf *buf, sv_str s)
{
    if (s.n == 0) return;
    SV_ASSERT(!lies_in(buf, s.p));
    memcpy(svi_buf_space(buf, s.n), s.p, s.n);
    buf->len += s.n;
}

void svi_buf_putc(svi_buf *buf, char c)
{
    *svi_buf_space(buf, 1) = c;
    buf->len++;
}

void svi_buf_int(svi_buf *buf, int64_t value)
{
    svi_buf_printf(buf, "%" PRId64, value);
}

void svi_buf_printf(svi_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *to = svi_buf_space(buf, LEAST_CAP);
    const int n = vsnprintf(to, buf->cap - buf->len, format, args);
    va_end(args);
    SV_ASSERT(n >= 0);
    if ((size_t)n >= buf->cap - buf->len) {
        to = svi_buf_space(buf, (size_t)n + 1);
        vsnprintf(to, (size_t)n + 1, format, again);
    }
    va_end(again);
    buf->len += (size_t)n;
}

void svi_buf_consume(svi_buf *buf, size_t bytes)
{
    SV_ASSERT(bytes <= buf->len);
    if (bytes == 0) return;
    buf->len -= bytes;
    memmove(buf->data, buf->data + bytes, buf->len);
}

sv_str svi_buf_str(const svi_buf *buf)
{
    return (sv_str){buf->data, buf->len};
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t svi_base64_bytes(size_t raw_bytes)
{
    SV_ASSERT(raw_bytes < PTRDIFF_MAX / 8);
    return (raw_bytes + 2) / 3 * 4;
}

void svi_base64_write(char *to, sv_str raw)
{
    for (size_t i = 0; i < raw.n; i += 3) {
        const size_t have = raw.n - i < 3 ? raw.n - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < have ? (unsigned char)raw.p[i + k] : 0u);
        *to++ = base64_digits[bits >> 18];
        *to++ = base64_digits[bits >> 12 & 63];
        *to++ = have > 1 ? base64_digits[bits >> 6 & 63] : '=';
        *to++ = have > 2 ? base64_digits[bits & 63] : '=';
    }
}

void svi_base64_put(svi_buf *buf, sv_str raw)
{
    const size_t out = svi_base64_bytes(raw.n);
    svi_base64_write(svi_buf_space(buf, out), raw);
    buf->len += out;
}

/* 0 to 63, or -1. Plain ranges: the text may be a secret's, but its alphabet is public. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits to three bytes; the last `padding` digits count as zero. False on a foreign character. */
static bool base64_group(const char *digits, size_t padding, unsigned char bytes_out[3])
{
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; k++) {
        const int value = k < 4 - padding ? base64_value(digits[k]) : 0;
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
    }
    bytes_out[0] = (unsigned char)(bits >> 16);
    bytes_out[1] = (unsigned char)(bits >> 8);
    bytes_out[2] = (unsigned char)bits;
    /* RFC 4648 3.5: pad bits that are not zero are refused, else one value had several texts */
    return padding == 0 || (padding == 1 ? bytes_out[2] == 0 : bytes_out[1] == 0);
}

static size_t base64_padding(sv_str text)
{
    if (text.n == 0 || text.p[text.n - 1] != '=') return 0;
    return text.p[text.n - 2] == '=' ? 2 : 1;
}

sv_status svi_base64_read(char *to, sv_str text, size_t *n_out)
{
    if (text.n % 4 != 0) return SV_EINVAL;
    const size_t padding = base64_padding(text);
    for (size_t i = 0; i < text.n; i += 4) {
        const size_t pad = i + 4 == text.n ? padding : 0;
        unsigned char bytes[3];
        if (!base64_group(text.p + i, pad, bytes)) return SV_EINVAL;
        memcpy(to, bytes, 3);
        to += 3;
    }
    *n_out = text.n / 4 * 3 - padding;
    return SV_OK;
}

sv_status svi_base64_get(svi_buf *buf, sv_str text)
{
    size_t n = 0;
    const sv_status status = svi_base64_read(svi_buf_space(buf, text.n / 4 * 3), text, &n);
    buf->len += n;
    return status;
}

void svi_hex_write(char *to, sv_str raw)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < raw.n; i++) {
        *to++ = digits[(unsigned char)raw.p[i] >> 4];
        *to++ = digits[(unsigned char)raw.p[i] & 15];
    }
}

void svi_hex_put(svi_buf *buf, sv_str raw)
{
    svi_hex_write(svi_buf_space(buf, raw.n * 2), raw);
    buf->len += raw.n * 2;
}
