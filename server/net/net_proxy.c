/* The PROXY protocol's header, see net_proxy.h. */
#include "net/net_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/base_assert.h"

/* Version 1: one line of text (PP 2.1) */
#define V1_MIN_BYTES ((size_t)15) /* "PROXY UNKNOWN\r\n" */
#define V1_MAX_BYTES ((size_t)107)

/* Version 2: a fixed part, addresses, then extensions (PP 2.2) */
#define V2_FIXED_BYTES ((size_t)16)
#define V2_INET_BYTES ((size_t)12)
#define V2_INET6_BYTES ((size_t)36)
#define V2_UNIX_BYTES ((size_t)216)

enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_UNSPEC = 0, FAMILY_INET = 1, FAMILY_INET6 = 2, FAMILY_UNIX = 3 };
enum { TRANSPORT_STREAM = 1, TRANSPORT_DGRAM = 2 };
enum { TLV_CRC32C = 3 };

static const uint8_t v1_mark[6] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_mark[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                    0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

void svi_proxy_init(svi_proxy *proxy)
{
    memset(proxy, 0, sizeof *proxy);
}

static void refuse(svi_proxy *p, const char *why)
{
    p->state = SVI_PROXY_REFUSED;
    p->why = why;
}

/* True if what is there so far may be, or become, something that begins with the mark. */
static bool begins(const svi_proxy *p, const uint8_t *mark, size_t mark_n)
{
    return memcmp(p->bytes, mark, p->n < mark_n ? p->n : mark_n) == 0;
}

static unsigned number_at(const svi_proxy *p, size_t at)
{
    return (unsigned)p->bytes[at] << 8 | p->bytes[at + 1];
}

/* As svi_conn_info.peer has it. */
static void name_peer(svi_proxy *p, int family, const uint8_t *address, unsigned port)
{
    char host[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(family, address, host, sizeof host);
    (void)snprintf(p->peer, sizeof p->peer, family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

/* --- version 1 ---------------------------------------------------------------------------------------- */

/* An address of the family as inet_pton takes it: no leading zeros, all of its bits. IPv6 may end in
 * four decimal numbers, which PP 2.1 does not say but inet_ntop writes for mapped addresses. */
static bool read_text(int family, sv_str text, uint8_t raw[16])
{
    char z[INET6_ADDRSTRLEN];
    if (text.n >= sizeof z || memchr(text.p, 0, text.n) != NULL) return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    return inet_pton(family, z, raw) == 1;
}

static bool read_port(sv_str text, int64_t *port_out)
{
    if (text.n > 1 && (text.p[0] == '0' || text.p[0] == '-')) return false;
    return svi_str_int(text, 0, 65535, port_out) == SV_OK;
}

/* `line` is what stands behind "PROXY ", without the end of the line. */
static void read_v1(svi_proxy *p, sv_str line)
{
    enum { FAMILY, FROM, TO, FROM_PORT, TO_PORT, WORDS };
    sv_str words[WORDS] = {SV_STR_NONE}, rest = line;
    uint8_t from[16], to[16];
    int64_t from_port = 0, to_port = 0;
    size_t count = 0, spaces = 0;
    while (count < WORDS && svi_str_split(&rest, ' ', &words[count])) count++;
    for (size_t i = 0; i < line.n; i++) spaces += line.p[i] == ' ';
    const int family = sv_str_eq(words[FAMILY], SV_STR("TCP6")) ? AF_INET6 : AF_INET;
    if (sv_str_eq(words[FAMILY], SV_STR("UNKNOWN"))) return; /* the rest is to be ignored */
    if (family == AF_INET && !sv_str_eq(words[FAMILY], SV_STR("TCP4")))
        refuse(p, "the protocol is none of TCP4, TCP6, UNKNOWN");
    else if (count != WORDS || spaces != WORDS - 1)
        refuse(p, "not two addresses and two ports, one space before each");
    else if (!read_text(family, words[FROM], from) || !read_text(family, words[TO], to))
        refuse(p, "an address is malformed");
    else if (!read_port(words[FROM_PORT], &from_port) || !read_port(words[TO_PORT], &to_port))
        refuse(p, "a port is malformed");
    else
        name_peer(p, family, from, (unsigned)from_port);
}

/* The end of the line must be CR LF, and neither stands alone (PP 2.1). */
static void look_v1(svi_proxy *p, size_t from)
{
    for (size_t i = from; i < p->n; i++) {
        const bool behind_cr = i > 0 && p->bytes[i - 1] == '\r';
        if (behind_cr != (p->bytes[i] == '\n')) {
            refuse(p, "the line does not end with CR LF");
            return;
        }
        if (!behind_cr) continue;
        const sv_str line = {(const char *)p->bytes, i - 1};
        if (i + 1 < V1_MIN_BYTES) {
            refuse(p, "the line is too short");
            return;
        }
        SV_ASSERT(i + 1 == p->n); /* no more was wanted */
        p->state = SVI_PROXY_DONE;
        read_v1(p, svi_str_sub(line, sizeof v1_mark, line.n));
        return;
    }
    if (p->n == V1_MAX_BYTES) refuse(p, "the line is longer than 107 bytes");
}

/* --- version 2 ---------------------------------------------------------------------------------------- */

/* RFC 4960 appendix B. Bit by bit: it is done at most once a connection, on at most 2 KiB, and most
 * proxies send no checksum. */
static uint32_t crc32c(const uint8_t *bytes, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* Of the whole header with zeros in its place; it is in network byte order (PP 2.2.3). */
static bool sum_fits(svi_proxy *p, size_t at)
{
    const uint32_t told = (uint32_t)number_at(p, at) << 16 | number_at(p, at + 2);
    memset(p->bytes + at, 0, 4);
    return crc32c(p->bytes, p->n) == told;
}

/* Extensions are type, length, value (PP 2.2); all but the checksum are skipped. */
static void read_extensions(svi_proxy *p, size_t at)
{
    size_t sum_at = 0;
    while (at < p->n) {
        const size_t value = at + 3;
        if (value > p->n || number_at(p, at + 1) > p->n - value) {
            refuse(p, "an extension reaches behind the header's end");
            return;
        }
        const size_t n = number_at(p, at + 1);
        if (p->bytes[at] == TLV_CRC32C && (n != 4 || sum_at != 0)) {
            refuse(p, "the checksum is not one of 4 bytes");
            return;
        }
        if (p->bytes[at] == TLV_CRC32C) sum_at = value;
        at = value + n;
    }
    if (sum_at != 0 && !sum_fits(p, sum_at)) refuse(p, "the checksum is wrong");
}

static size_t address_bytes(unsigned family)
{
    static const size_t bytes[] = {[FAMILY_UNSPEC] = 0,
                                   [FAMILY_INET] = V2_INET_BYTES,
                                   [FAMILY_INET6] = V2_INET6_BYTES,
                                   [FAMILY_UNIX] = V2_UNIX_BYTES};
    return bytes[family];
}

static void read_address(svi_proxy *p, unsigned family)
{
    const size_t at = V2_FIXED_BYTES;
    if (family == FAMILY_UNIX)
        (void)snprintf(p->peer, sizeof p->peer, "unix");
    else if (family == FAMILY_INET)
        name_peer(p, AF_INET, p->bytes + at, number_at(p, at + 8));
    else
        name_peer(p, AF_INET6, p->bytes + at, number_at(p, at + 32));
}

/* LOCAL: everything behind is to be skipped, its family included, so that nobody can say where
 * extensions would begin: a checksum in it is not looked for, and nothing of it is used. Nothing
 * of a client is known either if the family is unspecified; a transport other than a stream can't be
 * this connection's and counts as unspecified, too. */
static void read_v2(svi_proxy *p)
{
    const unsigned family = p->bytes[13] >> 4, transport = p->bytes[13] & 15;
    p->state = SVI_PROXY_DONE;
    if ((p->bytes[12] & 15) == COMMAND_LOCAL || family == FAMILY_UNSPEC) return;
    read_extensions(p, V2_FIXED_BYTES + address_bytes(family));
    if (p->state == SVI_PROXY_DONE && transport == TRANSPORT_STREAM) read_address(p, family);
}

static void look_v2(svi_proxy *p)
{
    if (p->n > 12 && p->bytes[12] >> 4 != 2) {
        refuse(p, "a binary header that is not version 2");
        return;
    }
    if (p->n > 12 && (p->bytes[12] & 15) > COMMAND_PROXY) {
        refuse(p, "the command is neither LOCAL nor PROXY");
        return;
    }
    const bool is_local = (p->bytes[12] & 15) == COMMAND_LOCAL;
    const unsigned family = p->bytes[13] >> 4;
    if (p->n > 13 && !is_local && (family > FAMILY_UNIX || (p->bytes[13] & 15) > TRANSPORT_DGRAM)) {
        refuse(p, "the address family or transport is unknown");
        return;
    }
    if (p->n < V2_FIXED_BYTES) return;
    const size_t behind = number_at(p, 14);
    if (behind > SVI_PROXY_MAX_BYTES - V2_FIXED_BYTES)
        refuse(p, "longer than 2048 bytes");
    else if (!is_local && behind < address_bytes(family))
        refuse(p, "too short for its addresses");
    else if (p->n == V2_FIXED_BYTES + behind)
        read_v2(p);
}

/* --- both --------------------------------------------------------------------------------------------- */

static bool is_v2(const svi_proxy *p)
{
    return p->n > 0 && p->bytes[0] == v2_mark[0];
}

/* PERF(a line of text is read in about a dozen calls, 10 us, once a connection): behind its shortest
 * form nobody knows where it ends, so two bytes are asked for at a time, or the one that a CR lacks. */
static size_t v1_wants(const svi_proxy *p)
{
    const size_t room = V1_MAX_BYTES - p->n;
    if (p->bytes[p->n - 1] == '\r') return 1;
    return room < 2 ? room : 2;
}

size_t svi_proxy_wants(const svi_proxy *proxy)
{
    const size_t n = proxy->n;
    if (proxy->state != SVI_PROXY_MORE) return 0;
    if (n < V1_MIN_BYTES) return V1_MIN_BYTES - n; /* version 2 is longer */
    if (!is_v2(proxy)) return v1_wants(proxy);
    if (n < V2_FIXED_BYTES) return V2_FIXED_BYTES - n;
    return V2_FIXED_BYTES + number_at(proxy, 14) - n;
}

svi_proxy_state svi_proxy_feed(svi_proxy *proxy, const void *bytes, size_t n)
{
    svi_proxy *p = proxy;
    const size_t from = p->n;
    SV_ASSERT(p->state == SVI_PROXY_MORE && n <= svi_proxy_wants(p));
    SV_ASSERT(n <= sizeof p->bytes - p->n);
    memcpy(p->bytes + p->n, bytes, n);
    p->n += n;
    if (!begins(p, v1_mark, sizeof v1_mark) && !begins(p, v2_mark, sizeof v2_mark))
        refuse(p, "no PROXY header");
    else if (is_v2(p))
        look_v2(p);
    else
        look_v1(p, from);
    return p->state;
}
