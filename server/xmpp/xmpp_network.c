/* The network that a peer's address lies in. */
#include "xmpp/xmpp_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static svi_network of_v4(const char *host)
{
    svi_network net = {.text = ""};
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) != 127)
        (void)snprintf(net.text, sizeof net.text, "%s", host);
    return net;
}

static svi_network of_v6(const char *host)
{
    svi_network net = {.text = ""};
    struct in6_addr v6;
    char mapped[INET_ADDRSTRLEN];
    if (inet_pton(AF_INET6, host, &v6) != 1 || IN6_IS_ADDR_LOOPBACK(&v6)) return net;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return inet_ntop(AF_INET, v6.s6_addr + 12, mapped, sizeof mapped) ? of_v4(mapped) : net;
    for (size_t i = 0; i < 4; i++)
        (void)snprintf(net.text + 5 * i, 6, "%02x%02x:", v6.s6_addr[2 * i], v6.s6_addr[2 * i + 1]);
    return net;
}

svi_network svi_network_of(sv_str peer)
{
    char host[SVI_NETWORK_BYTES];
    const bool is_v6 = peer.n > 0 && peer.p[0] == '[';
    const sv_str text = is_v6 ? svi_str_sub(peer, 1, svi_str_find(peer, ']') - 1)
                              : svi_str_sub(peer, 0, svi_str_find(peer, ':'));
    if (text.n == 0 || text.n >= sizeof host) return (svi_network){.text = ""};
    (void)snprintf(host, sizeof host, "%.*s", (int)text.n, text.p);
    return is_v6 ? of_v6(host) : of_v4(host);
}
