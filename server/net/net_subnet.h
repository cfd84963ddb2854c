/* Networks of IP addresses, as an operator writes them: whom a listener trusts. */
#ifndef SVI_NET_SUBNET_H
#define SVI_NET_SUBNET_H

#include <sys/socket.h>

#include "base/base_str.h"

typedef enum svi_subnet_kind { SVI_SUBNET_UNIX, SVI_SUBNET_V4, SVI_SUBNET_V6 } svi_subnet_kind;

typedef struct svi_subnet {
    svi_subnet_kind kind;
    unsigned bits; /* of the address that count */
    uint8_t address[16]; /* network byte order; 4 bytes of it for IPv4 */
} svi_subnet;

/* Reads "192.0.2.1", "192.0.2.0/24", "2001:db8::/32" or "unix" (all unix sockets). An IPv4 address mapped
 * into IPv6 is that IPv4 address. SV_EINVAL with what is wrong: no address, no such number of bits, or
 * bits set behind them. */
sv_status svi_subnet_read(sv_str text, svi_subnet *network_out, sv_err *err);

/* True if the address is in one of the networks; IPv4 mapped into IPv6 counts as IPv4. */
bool svi_subnets_have(const svi_subnet *networks, size_t count, const struct sockaddr *address);

#endif
