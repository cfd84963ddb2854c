/* The network that a peer's address lies in. */
#include "xmpp/xmpp_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static void of_v4(svi_network *net, const char *host, bool is_relayed)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) != 1) return;
    if (is_relayed || (ntohl(v4.s_addr) >> 24) != 127)
        (void)snprintf(net->text, sizeof net->text, "%s", host);
}

static void of_v6(svi_network *net, const char *host, bool is_relayed)
{
    struct in6_addr v6;
    char mapped[INET_ADDRSTRLEN] = "";
    if (inet_pton(AF_INET6, host, &v6) != 1 || (!is_relayed && IN6_IS_ADDR_LOOPBACK(&v6))) return;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
        (void)inet_ntop(AF_INET, v6.s6_addr + 12, mapped, sizeof mapped);
        of_v4(net, mapped, is_relayed);
        return;
    }
    for (size_t i = 0; i < 4; i++)
        (void)snprintf(net->text + 5 * i, 6, "%02x%02x:", v6.s6_addr[2 * i],
                       v6.s6_addr[2 * i + 1]);
}

svi_network svi_network_of(svi_whence whence)
{
    const sv_str peer = whence.address;
    svi_network net = {.text = "", .is_nowhere = whence.is_relayed};
    char host[SVI_NETWORK_BYTES];
    const bool is_v6 = peer.n > 0 && peer.p[0] == '[';
    const sv_str text = is_v6 ? svi_str_sub(peer, 1, svi_str_find(peer, ']') - 1)
                              : svi_str_sub(peer, 0, svi_str_find(peer, ':'));
    if (text.n == 0 || text.n >= sizeof host) return net;
    (void)snprintf(host, sizeof host, "%.*s", (int)text.n, text.p);
    (is_v6 ? of_v6 : of_v4)(&net, host, whence.is_relayed);
    net.is_nowhere = whence.is_relayed && net.text[0] == '\0';
    return net;
}
