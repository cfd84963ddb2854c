/* Networks of IP addresses, see net_subnet.h. */
#include "net/net_subnet.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/base_assert.h"

#define MAPPED_BITS 96u /* ::ffff:0:0/96 */

static unsigned bits_of(const svi_subnet *network)
{
    return network->kind == SVI_SUBNET_V4 ? 32 : 128;
}

/* True if the first `bits` of both are equal. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    const unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, b, bytes) != 0) return false;
    return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

static bool read_address(sv_str text, svi_subnet *network)
{
    char z[INET6_ADDRSTRLEN];
    if (text.n >= sizeof z || text.n == 0 || memchr(text.p, 0, text.n) != NULL) return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    network->kind = SVI_SUBNET_V4;
    if (inet_pton(AF_INET, z, network->address) == 1) return true;
    network->kind = SVI_SUBNET_V6;
    return inet_pton(AF_INET6, z, network->address) == 1;
}

/* ::ffff:192.0.2.0/120 is 192.0.2.0/24. */
static void unmap(svi_subnet *network)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (network->kind != SVI_SUBNET_V6 || network->bits < MAPPED_BITS ||
        memcmp(network->address, mapped, sizeof mapped) != 0)
        return;
    network->kind = SVI_SUBNET_V4;
    network->bits -= MAPPED_BITS;
    memmove(network->address, network->address + 12, 4);
    memset(network->address + 4, 0, 12);
}

sv_status svi_subnet_read(sv_str text, svi_subnet *network_out, sv_err *err)
{
    svi_subnet *network = network_out;
    const size_t slash = svi_str_find(text, '/');
    int64_t bits = 0;
    *network = (svi_subnet){.kind = SVI_SUBNET_UNIX};
    if (sv_str_eq(text, SV_STR("unix"))) return SV_OK;
    if (!read_address(svi_str_sub(text, 0, slash), network))
        return svi_err(err, SV_EINVAL,
                       "is no IP address, no network such as 192.0.2.0/24 or 2001:db8::/32, and "
                       "not \"unix\"");
    network->bits = bits_of(network);
    if (slash < text.n) {
        const sv_str number = svi_str_sub(text, slash + 1, text.n);
        if (svi_str_int(number, 0, network->bits, &bits) != SV_OK)
            return svi_err(err, SV_EINVAL, "has no number of bits from 0 to %u behind its slash",
                           network->bits);
        network->bits = (unsigned)bits;
    }
    uint8_t only[16] = {0};
    memcpy(only, network->address, network->bits / 8);
    if (network->bits % 8 != 0)
        only[network->bits / 8] = (uint8_t)(network->address[network->bits / 8] &
                                            (0xff00u >> (network->bits % 8)));
    if (memcmp(only, network->address, sizeof only) != 0)
        return svi_err(err, SV_EINVAL,
                       "is one address and not a network: bits behind the first %u are set",
                       network->bits);
    unmap(network);
    return SV_OK;
}

bool svi_subnets_have(const svi_subnet *networks, size_t count, const struct sockaddr *address)
{
    svi_subnet one = {.kind = SVI_SUBNET_UNIX};
    if (address->sa_family == AF_INET) {
        one.kind = SVI_SUBNET_V4;
        one.bits = 32;
        memcpy(one.address, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        one.kind = SVI_SUBNET_V6;
        one.bits = 128;
        memcpy(one.address, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        unmap(&one);
    } else if (address->sa_family != AF_UNIX) {
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (networks[i].kind == one.kind &&
            same_bits(networks[i].address, one.address, networks[i].bits))
            return true;
    return false;
}
