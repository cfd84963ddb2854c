/* Fuzzes the PROXY header's parser: read in pieces it is what it is in one, it takes no byte behind its
 * end, and what is accepted is right by a second reading of it. The first byte of input says how it is
 * cut (bits 0 to 6) and whether checksums are to be filled in (bit 7). */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_proxy.h"

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_proxy.c:%d: does not hold: %s\n", __LINE__, #e);                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Feeds what is wanted, at most `step` at a time, from copies of the exact size. Returns how many bytes were taken. */
static size_t feed(svi_proxy *p, const uint8_t *bytes, size_t n, size_t step)
{
    size_t at = 0, wanted;
    svi_proxy_init(p);
    while ((wanted = svi_proxy_wants(p)) > 0 && at < n) {
        if (wanted > n - at) wanted = n - at;
        if (wanted > step) wanted = step;
        uint8_t *copy = malloc(wanted);
        if (!copy) abort();
        memcpy(copy, bytes + at, wanted);
        at += wanted;
        const svi_proxy_state state = svi_proxy_feed(p, copy, wanted);
        free(copy);
        MUST(state == p->state && p->n == at);
    }
    MUST((p->state == SVI_PROXY_MORE) == (svi_proxy_wants(p) > 0));
    MUST((p->state == SVI_PROXY_REFUSED) == (p->why != NULL));
    return at;
}

/* An address and a port as they are printed. */
static void check_peer(const char *peer, const char *want_host, unsigned want_port)
{
    char all[INET6_ADDRSTRLEN + 16];
    (void)snprintf(all, sizeof all, strchr(want_host, ':') ? "[%s]:%u" : "%s:%u", want_host,
                   want_port);
    MUST(strcmp(peer, all) == 0);
}

static void check_v4_line(const char *line, const char *peer)
{
    unsigned a[8], port[2];
    char again[128], host[32];
    const int n = sscanf(line, "PROXY TCP4 %3u.%3u.%3u.%3u %3u.%3u.%3u.%3u %5u %5u\r\n", &a[0], &a[1],
                         &a[2], &a[3], &a[4], &a[5], &a[6], &a[7], &port[0], &port[1]);
    MUST(n == 10);
    for (size_t i = 0; i < 8; i++) MUST(a[i] <= 255);
    MUST(port[0] <= 65535 && port[1] <= 65535);
    (void)snprintf(again, sizeof again, "PROXY TCP4 %u.%u.%u.%u %u.%u.%u.%u %u %u\r\n", a[0], a[1],
                   a[2], a[3], a[4], a[5], a[6], a[7], port[0], port[1]);
    MUST(strcmp(line, again) == 0);
    (void)snprintf(host, sizeof host, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
    check_peer(peer, host, port[0]);
}

static void check_v6_line(const char *line, const char *peer)
{
    char from[64], to[64], again[200], host[INET6_ADDRSTRLEN];
    unsigned port[2];
    struct in6_addr raw;
    MUST(sscanf(line, "PROXY TCP6 %63[^ ] %63[^ ] %5u %5u\r\n", from, to, &port[0], &port[1]) == 4);
    MUST(port[0] <= 65535 && port[1] <= 65535);
    (void)snprintf(again, sizeof again, "PROXY TCP6 %s %s %u %u\r\n", from, to, port[0], port[1]);
    MUST(strcmp(line, again) == 0);
    MUST(inet_pton(AF_INET6, to, &raw) == 1 && inet_pton(AF_INET6, from, &raw) == 1);
    check_peer(peer, inet_ntop(AF_INET6, &raw, host, sizeof host), port[0]);
}

static void check_v1(const uint8_t *bytes, size_t n, const char *peer)
{
    char line[108];
    MUST(n >= 15 && n <= 107);
    memcpy(line, bytes, n);
    line[n] = '\0';
    MUST(strcmp(line + n - 2, "\r\n") == 0);
    if (strncmp(line, "PROXY TCP4 ", 11) == 0)
        check_v4_line(line, peer);
    else if (strncmp(line, "PROXY TCP6 ", 11) == 0)
        check_v6_line(line, peer);
    else
        MUST(strncmp(line, "PROXY UNKNOWN", 13) == 0 && peer[0] == '\0');
}

static uint32_t sum(const uint8_t *bytes, size_t n)
{
    uint32_t c = UINT32_MAX;
    while (n-- > 0) {
        c ^= *bytes++;
        for (int i = 0; i < 8; i++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    }
    return ~c;
}

/* Where a client's extensions begin; 0 if nobody can say. */
static size_t extensions_at(const uint8_t *bytes)
{
    static const size_t address_bytes[] = {0, 12, 36, 216};
    const unsigned family = bytes[13] >> 4;
    return bytes[12] == 0x21 && family >= 1 && family <= 3 ? 16 + address_bytes[family] : 0;
}

/* The place of the first checksum's value in whole extensions, or 0. */
static size_t sum_at(const uint8_t *bytes, size_t n)
{
    size_t at = n >= 16 ? extensions_at(bytes) : 0;
    if (at == 0) return 0;
    while (at + 3 <= n) {
        const size_t value_n = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
        if (bytes[at] == 3 && value_n == 4 && at + 7 <= n) return at + 3;
        at += 3 + value_n;
    }
    return 0;
}

/* All that is behind the addresses must be extensions that end with the header. */
static void check_extensions(const uint8_t *bytes, size_t n)
{
    size_t at = extensions_at(bytes), sums = 0;
    MUST(at != 0 && at <= n);
    while (at < n) {
        MUST(at + 3 <= n);
        const size_t value_n = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
        sums += bytes[at] == 3;
        at += 3 + value_n;
    }
    MUST(at == n && sums <= 1);
}

static void check_sum(const uint8_t *bytes, size_t n)
{
    uint8_t again[SVI_PROXY_MAX_BYTES];
    const size_t at = sum_at(bytes, n);
    if (at == 0) return;
    memcpy(again, bytes, n);
    memset(again + at, 0, 4);
    const uint32_t told = (uint32_t)bytes[at] << 24 | (uint32_t)bytes[at + 1] << 16 |
                          (uint32_t)bytes[at + 2] << 8 | bytes[at + 3];
    MUST(told == sum(again, n));
}

static void check_v2(const uint8_t *bytes, size_t n, const char *peer)
{
    char host[INET6_ADDRSTRLEN];
    const unsigned family = bytes[13] >> 4, transport = bytes[13] & 15;
    MUST(n == 16 + ((size_t)bytes[14] << 8 | bytes[15]) && n <= SVI_PROXY_MAX_BYTES);
    MUST(bytes[12] == 0x20 || bytes[12] == 0x21);
    if (bytes[12] == 0x20 || family == 0) {
        MUST(peer[0] == '\0');
        return;
    }
    MUST(family <= 3 && transport <= 2);
    check_extensions(bytes, n);
    check_sum(bytes, n);
    if (transport != 1)
        MUST(peer[0] == '\0');
    else if (family == 3)
        MUST(strcmp(peer, "unix") == 0);
    else if (family == 1)
        check_peer(peer, inet_ntop(AF_INET, bytes + 16, host, sizeof host),
                   (unsigned)bytes[24] << 8 | bytes[25]);
    else
        check_peer(peer, inet_ntop(AF_INET6, bytes + 16, host, sizeof host),
                   (unsigned)bytes[48] << 8 | bytes[49]);
}

/* A fuzzer does not guess a checksum. */
static void fill_sum(uint8_t *bytes, size_t size)
{
    const size_t n = size >= 16 ? 16 + ((size_t)bytes[14] << 8 | bytes[15]) : 0;
    const size_t at = n >= 16 && n <= size ? sum_at(bytes, n) : 0;
    if (at == 0) return;
    memset(bytes + at, 0, 4);
    const uint32_t s = sum(bytes, n);
    for (size_t i = 0; i < 4; i++) bytes[at + i] = (uint8_t)(s >> (24 - 8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    svi_proxy whole, parts;
    if (size < 2) return 0;
    const size_t n = size - 1;
    uint8_t *bytes = malloc(n);
    if (!bytes) abort();
    memcpy(bytes, data + 1, n);
    if (data[0] & 0x80) fill_sum(bytes, n);
    const size_t used = feed(&whole, bytes, n, n);
    const size_t used_in_parts = feed(&parts, bytes, n, (data[0] & 0x7f) + 1u);
    MUST(whole.state == parts.state && strcmp(whole.peer, parts.peer) == 0);
    MUST(whole.state == SVI_PROXY_REFUSED || used == used_in_parts);
    if (whole.state == SVI_PROXY_REFUSED) MUST(whole.peer[0] == '\0');
    if (whole.state == SVI_PROXY_DONE && bytes[0] == 'P') check_v1(bytes, used, whole.peer);
    if (whole.state == SVI_PROXY_DONE && bytes[0] != 'P') check_v2(bytes, used, whole.peer);
    if (data[0] & 0x80 && whole.why != NULL) MUST(strcmp(whole.why, "the checksum is wrong") != 0);
    free(bytes);
    return 0;
}
