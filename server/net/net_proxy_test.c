/* Tests of the PROXY header's parser: every form, every fault, split at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "net/net_proxy.h"

#define MARK "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) (text), sizeof(text) - 1

/* Feeds as a socket does that has all of it: at most what is wanted, at most `step` at a time. Returns
 * how many bytes were taken. */
static size_t feed(svi_proxy *p, const void *bytes, size_t n, size_t step)
{
    const char *from = bytes;
    size_t at = 0;
    svi_proxy_init(p);
    while (p->state == SVI_PROXY_MORE && at < n) {
        size_t now = svi_proxy_wants(p);
        assert_true(now > 0);
        if (now > n - at) now = n - at;
        if (now > step) now = step;
        (void)svi_proxy_feed(p, from + at, now);
        at += now;
    }
    if (p->state != SVI_PROXY_MORE) assert_int_equal(svi_proxy_wants(p), 0);
    return at;
}

/* The header is right, names `peer`, and nothing behind it is taken, however it comes in. */
static void right(const void *bytes, size_t n, const char *peer)
{
    char room[SVI_PROXY_MAX_BYTES + 64];
    svi_proxy p;
    assert_true(n + 40 <= sizeof room);
    memcpy(room, bytes, n);
    memset(room + n, '<', 40);
    for (size_t step = 1; step <= n + 40; step = step < 40 ? step + 1 : n + 41) {
        assert_int_equal(feed(&p, room, n + 40, step), n);
        if (p.state != SVI_PROXY_DONE) fail_msg("refused: %s", p.why ? p.why : "goes on");
        assert_string_equal(p.peer, peer);
    }
    /* cut off anywhere it is not whole, and not wrong */
    for (size_t cut = 0; cut < n; cut++) {
        (void)feed(&p, bytes, cut, n);
        assert_int_equal(p.state, SVI_PROXY_MORE);
    }
}

/* The header is wrong, for that reason, however it comes in. */
static void wrong(const void *bytes, size_t n, const char *why)
{
    svi_proxy p;
    for (size_t step = 1; step <= 64; step++) {
        (void)feed(&p, bytes, n, step);
        assert_int_equal(p.state, SVI_PROXY_REFUSED);
        assert_string_equal(p.peer, "");
        if (strstr(p.why, why) == NULL) fail_msg("'%s' instead of '%s'", p.why, why);
    }
}

/* PP 2.1 */
static void lines(void **state)
{
    (void)state;
    right(BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 56324 5222\r\n"), "192.0.2.1:56324");
    right(BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
          "255.255.255.255:65535");
    right(BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0:0");
    right(BYTES("PROXY TCP6 2001:db8::1 2001:DB8::2 1 65535\r\n"), "[2001:db8::1]:1");
    right(BYTES("PROXY TCP6 2001:0DB8:0:0:0:0:0:1 :: 1 2\r\n"), "[2001:db8::1]:1");
    right(BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    right(BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 10 20\r\n"), "[::ffff:192.0.2.1]:10");
    right(BYTES("PROXY UNKNOWN\r\n"), "");
    right(BYTES("PROXY UNKNOWN whatever it is\r\n"), "");
    right(BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          "");
}

static void wrong_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"<?xml version='1.0'?>", "no PROXY header"},
        {"PROXy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "no PROXY header"},
        {"PROXYTCP4 1.1.1.1 1.1.1.1 1 1\r\n", "no PROXY header"},
        {"PROXY\tTCP4 1.1.1.1 1.1.1.1 1 1\r\n", "no PROXY header"},
        {" PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "no PROXY header"},
        {"PROXY \r\n and more behind it", "too short"},
        {"PROXY TCP4 \r\n behind it", "too short"},
        {"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n", "none of TCP4"},
        {"PROXY tcp4 1.1.1.1 1.1.1.1 1 1\r\n", "none of TCP4"},
        {"PROXY UNKNOWNS 1.1.1.1\r\n", "none of TCP4"},
        {"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "none of TCP4"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "two addresses and two ports"},
        {"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n", "two addresses and two ports"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", "two addresses and two ports"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", "two addresses and two ports"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 \r\n", "two addresses and two ports"},
        {"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n", "address"},
        {"PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n", "address"},
        {"PROXY TCP4 256.1.1.1 1.1.1.1 1 1\r\n", "address"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1.1 1 1\r\n", "address"},
        {"PROXY TCP4 ::1 ::1 1 1\r\n", "address"},
        {"PROXY TCP4 unix unix 1 1\r\n", "address"},
        {"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", "address"},
        {"PROXY TCP6 2001:db8::1::2 ::1 1 1\r\n", "address"},
        {"PROXY TCP6 1:2:3:4:5:6:7 ::1 1 1\r\n", "address"},
        {"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "address"},
        {"PROXY TCP6 [::1] ::1 1 1\r\n", "address"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "port"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", "port"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "port"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 -0\r\n", "port"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", "port"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 0x1 1\r\n", "port"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", "CR LF"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r<", "CR LF"},
        {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\r\n", "CR LF"},
        {"PROXY UNKNOWN a\rb\r\n", "CR LF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        wrong(cases[i].line, strlen(cases[i].line), cases[i].why);
    wrong(BYTES("PROXY TCP4 1.1.1.1\0 1.1.1.1 1 1\r\n"), "address");
    /* 107 bytes are enough for everybody; the end must be among them */
    char longest[120];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "PROXY UNKNOWN ", 14);
    memcpy(longest + 105, "\r\n", 2);
    right(longest, 107, "");
    longest[105] = 'x';
    memcpy(longest + 106, "\r\n", 2);
    wrong(longest, 108, "longer than 107");
    svi_proxy p;
    assert_int_equal(feed(&p, longest, sizeof longest, 200), 107);
}

typedef struct header {
    uint8_t bytes[SVI_PROXY_MAX_BYTES + 16];
    size_t n;
} header;

static header *add(header *h, const void *bytes, size_t n)
{
    assert_true(h->n + n <= sizeof h->bytes);
    memcpy(h->bytes + h->n, bytes, n);
    h->n += n;
    const size_t behind = h->n - 16;
    h->bytes[14] = (uint8_t)(behind >> 8);
    h->bytes[15] = (uint8_t)behind;
    return h;
}

/* The fixed part with command and family, then so many bytes of addresses 1, 2, 3 ... */
static header *begin(header *h, unsigned command, unsigned family, size_t address_bytes)
{
    memset(h, 0, sizeof *h);
    memcpy(h->bytes, MARK, 12);
    h->bytes[12] = (uint8_t)(0x20 | command);
    h->bytes[13] = (uint8_t)family;
    h->n = 16;
    uint8_t addresses[216];
    for (size_t i = 0; i < sizeof addresses; i++) addresses[i] = (uint8_t)(i + 1);
    return add(h, addresses, address_bytes);
}

#define V6 "[102:304:506:708:90a:b0c:d0e:f10]:8482"

/* PP 2.2 */
static void binaries(void **state)
{
    (void)state;
    static const struct {
        unsigned command, family;
        size_t bytes;
        const char *peer;
    } cases[] = {
        {1, 0x11, 12, "1.2.3.4:2314"},
        {1, 0x21, 36, V6},
        {1, 0x31, 216, "unix"},
        {1, 0x00, 0, ""},
        {1, 0x00, 100, ""},
        {1, 0x01, 0, ""},
        {1, 0x10, 12, ""}, /* no transport is told, or one that this is not */
        {1, 0x12, 12, ""},
        {1, 0x22, 36, ""},
        {1, 0x32, 216, ""},
        {0, 0x00, 0, ""},
        {0, 0x11, 12, ""}, /* LOCAL: what is behind is skipped, */
        {0, 0x11, 3, ""},
        {0, 0xff, 200, ""}, /* its family unread */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        header h;
        begin(&h, cases[i].command, cases[i].family, cases[i].bytes);
        right(h.bytes, h.n, cases[i].peer);
    }
    /* the source comes first, its port behind both addresses */
    header h;
    begin(&h, 1, 0x11, 0);
    add(&h, "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x14\x66", 12);
    right(h.bytes, h.n, "192.0.2.1:56324");
}

static void wrong_binaries(void **state)
{
    (void)state;
    static const struct {
        unsigned command, family;
        size_t bytes;
        const char *why;
    } cases[] = {
        {2, 0x11, 12, "neither LOCAL nor PROXY"}, {15, 0x11, 12, "neither LOCAL nor PROXY"},
        {1, 0x41, 36, "family or transport"},     {1, 0xf1, 36, "family or transport"},
        {1, 0x13, 12, "family or transport"},     {1, 0x1f, 12, "family or transport"},
        {1, 0x11, 11, "too short"},               {1, 0x21, 35, "too short"},
        {1, 0x31, 215, "too short"},              {1, 0x11, 0, "too short"},
        {1, 0x12, 11, "too short"},
    };
    header h;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&h, cases[i].command, cases[i].family, cases[i].bytes);
        wrong(h.bytes, h.n, cases[i].why);
    }
    static const uint8_t versions[] = {0x01, 0x11, 0x31, 0xf1};
    for (size_t i = 0; i < sizeof versions; i++) {
        begin(&h, 1, 0x11, 12);
        h.bytes[12] = versions[i];
        wrong(h.bytes, h.n, "not version 2");
    }
    /* each byte of the mark counts */
    for (size_t i = 0; i < 12; i++) {
        begin(&h, 1, 0x11, 12);
        h.bytes[i] ^= 1;
        wrong(h.bytes, h.n, "no PROXY header");
    }
}

static header *add_extension(header *h, uint8_t type, size_t n)
{
    uint8_t bytes[SVI_PROXY_MAX_BYTES] = {type, (uint8_t)(n >> 8), (uint8_t)n};
    return add(h, bytes, n + 3);
}

static void extensions(void **state)
{
    (void)state;
    header h;
    begin(&h, 1, 0x11, 12);
    add_extension(&h, 0x01, 11);
    add_extension(&h, 0x04, 0);
    add_extension(&h, 0xee, 300);
    right(h.bytes, h.n, "1.2.3.4:2314");
    begin(&h, 1, 0x31, 216);
    add_extension(&h, 0x05, 128);
    right(h.bytes, h.n, "unix");
    /* as long as may be, and a byte longer */
    begin(&h, 1, 0x11, 12);
    add_extension(&h, 0x04, SVI_PROXY_MAX_BYTES - 16 - 12 - 3);
    assert_int_equal(h.n, SVI_PROXY_MAX_BYTES);
    right(h.bytes, h.n, "1.2.3.4:2314");
    begin(&h, 1, 0x11, 12);
    add_extension(&h, 0x04, SVI_PROXY_MAX_BYTES - 16 - 12 - 2);
    wrong(h.bytes, h.n, "longer than 2048");
    begin(&h, 0, 0x00, 0);
    h.bytes[14] = h.bytes[15] = 0xff;
    wrong(h.bytes, h.n, "longer than 2048");
    /* reaching behind the end */
    begin(&h, 1, 0x11, 12);
    add_extension(&h, 0x04, 4);
    h.bytes[16 + 12 + 2] = 5;
    wrong(h.bytes, h.n, "reaches behind");
    h.bytes[16 + 12 + 1] = 0xff;
    wrong(h.bytes, h.n, "reaches behind");
    begin(&h, 1, 0x11, 12);
    add(&h, "\x04\x00", 2);
    wrong(h.bytes, h.n, "reaches behind");
    /* of an unspecified family nobody knows where they begin */
    begin(&h, 1, 0x00, 0);
    add(&h, "\x04\xff\xff", 3);
    right(h.bytes, h.n, "");
}

/* PP 2.2.3. The sum was worked out by another program. */
static void checksums(void **state)
{
    (void)state;
    static const uint8_t sum[4] = {0x9b, 0x2e, 0x71, 0xdb};
    header h;
    begin(&h, 1, 0x11, 0);
    add(&h, "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x14\x66", 12);
    add_extension(&h, 0x03, 4);
    add_extension(&h, 0x04, 2);
    memcpy(h.bytes + 16 + 12 + 3, sum, 4);
    right(h.bytes, h.n, "192.0.2.1:56324");
    /* each byte counts, but that which says that this is a checksum */
    for (size_t i = 16; i < h.n; i++) {
        svi_proxy p;
        if (i == 16 + 12) continue;
        header other = h;
        other.bytes[i] ^= 0x40;
        (void)feed(&p, other.bytes, other.n, other.n);
        assert_int_equal(p.state, SVI_PROXY_REFUSED);
    }
    h.bytes[16] ^= 1;
    wrong(h.bytes, h.n, "checksum is wrong");
    /* only one, and whole */
    h.bytes[16] ^= 1;
    add_extension(&h, 0x03, 4);
    wrong(h.bytes, h.n, "not one of 4 bytes");
    begin(&h, 1, 0x11, 12);
    add_extension(&h, 0x03, 3);
    wrong(h.bytes, h.n, "not one of 4 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),          cmocka_unit_test(wrong_lines),
        cmocka_unit_test(binaries),       cmocka_unit_test(wrong_binaries),
        cmocka_unit_test(extensions),     cmocka_unit_test(checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
