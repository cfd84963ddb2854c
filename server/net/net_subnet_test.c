/* Tests of networks: what an operator may write, and which addresses are in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "net/net_subnet.h"

static bool has(const char *network, const char *address)
{
    svi_subnet n;
    sv_err err = {.text = ""};
    if (svi_subnet_read(sv_str_of(network), &n, &err) != SV_OK)
        fail_msg("%s %s", network, err.text);
    if (strcmp(address, "unix") == 0) {
        const struct sockaddr_un at = {.sun_family = AF_UNIX};
        return svi_subnets_have(&n, 1, (const struct sockaddr *)&at);
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return svi_subnets_have(&n, 1, (const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return svi_subnets_have(&n, 1, (const struct sockaddr *)&v6);
}

static void addresses_are_in_networks(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool is_in;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"128.0.0.0/1", "255.0.0.1", true},
        {"128.0.0.0/1", "127.0.0.1", false},
        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"0.0.0.0/0", "unix", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8:8000::/33", "2001:db8:8000::1", true},
        {"2001:db8:8000::/33", "2001:db8:7fff::1", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"::1", "::1", true},
        {"::1", "127.0.0.1", false},
        /* a socket of both families tells IPv4 as mapped */
        {"192.0.2.0/24", "::ffff:192.0.2.7", true},
        {"192.0.2.0/24", "::ffff:192.0.3.7", false},
        {"::ffff:192.0.2.0/120", "192.0.2.7", true},
        {"::ffff:192.0.2.7", "::ffff:192.0.2.7", true},
        {"::/0", "2001:db8::1", true},
        {"::/0", "::ffff:192.0.2.7", false},
        {"::/0", "192.0.2.7", false},
        {"unix", "unix", true},
        {"unix", "127.0.0.1", false},
        {"unix", "::", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (has(cases[i].network, cases[i].address) != cases[i].is_in)
            fail_msg("%s and %s", cases[i].network, cases[i].address);
    }
    /* several: any; none: nobody; another family: nobody */
    svi_subnet two[2];
    assert_int_equal(svi_subnet_read(SV_STR("192.0.2.1"), &two[0], NULL), SV_OK);
    assert_int_equal(svi_subnet_read(SV_STR("unix"), &two[1], NULL), SV_OK);
    struct sockaddr at = {.sa_family = AF_UNIX};
    assert_true(svi_subnets_have(two, 2, &at));
    assert_false(svi_subnets_have(two, 1, &at));
    assert_false(svi_subnets_have(NULL, 0, &at));
    at.sa_family = AF_UNSPEC;
    assert_false(svi_subnets_have(two, 2, &at));
}

static void what_is_no_network_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "is no IP address"},
        {"/24", "is no IP address"},
        {"localhost", "is no IP address"},
        {"*", "is no IP address"},
        {"192.0.2", "is no IP address"},
        {"192.0.2.0-192.0.2.9", "is no IP address"},
        {"Unix", "is no IP address"},
        {"unix/1", "is no IP address"},
        {"2001:db8::g", "is no IP address"},
        {"11111111111111111111111111111111111111111111111111", "is no IP address"},
        {"192.0.2.0/33", "from 0 to 32"},
        {"192.0.2.0/", "from 0 to 32"},
        {"192.0.2.0/-1", "from 0 to 32"},
        {"192.0.2.0/255.255.255.0", "from 0 to 32"},
        {"2001:db8::/129", "from 0 to 128"},
        {"192.0.2.1/24", "first 24"},
        {"192.0.2.128/24", "first 24"},
        {"192.0.2.64/25", "first 25"},
        {"0.0.0.1/0", "first 0"},
        {"2001:db8::1/127", "first 127"},
        {"2001:db8:1::/32", "first 32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svi_subnet n;
        sv_err err = {.text = ""};
        assert_int_equal(svi_subnet_read(sv_str_of(cases[i].text), &n, &err), SV_EINVAL);
        if (strstr(err.text, cases[i].why) == NULL) fail_msg("%s: %s", cases[i].text, err.text);
    }
    svi_subnet n;
    assert_int_equal(svi_subnet_read(((sv_str){"::1\0x", 5}), &n, NULL), SV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_in_networks),
        cmocka_unit_test(what_is_no_network_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
