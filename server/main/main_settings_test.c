/* The core's settings: presets, whole paths, and what is checked beyond types. */
#include "main/main_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_testing.h"

static svi_acct mem = {.name = "test"};
static char path[64];

static svi_config *load(const char *text)
{
    (void)snprintf(path, sizeof path, "/tmp/stave-settings-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    svi_problems problems;
    svi_problems_init(&problems, &mem);
    svi_config *config = NULL;
    const sv_status status = svi_config_load(&mem, path, svi_problems_note, &problems, &config);
    (void)unlink(path);
    assert_int_equal(status, SV_OK);
    svi_problems_free(&problems);
    return config;
}

#define HOST "certificate = \"c.pem\"\nkey = \"k.pem\"\nVirtualHost \"a.example\"\n"

/* Expects exactly these problems, without the file's name before each. */
static void checks(const char *text, const char *wanted)
{
    svi_problems problems;
    svi_problems_init(&problems, &mem);
    svi_config *config = load(text);
    const sv_status status = svi_settings_check(config, svi_problems_note, &problems);
    svi_buf told;
    svi_buf_init(&told, &mem);
    sv_str rest = svi_buf_str(&problems.text), line;
    while (svi_str_split(&rest, '\n', &line)) {
        assert_true(svi_str_starts(line, sv_str_of(path)));
        svi_buf_put(&told, svi_str_sub(line, strlen(path), line.n));
        svi_buf_putc(&told, '\n');
    }
    svi_buf_putc(&told, '\0');
    assert_string_equal(told.data, wanted);
    assert_int_equal(status, *wanted ? SV_EINVAL : SV_OK);
    svi_buf_free(&told);
    svi_config_free(&config);
    svi_problems_free(&problems);
}

static void test_presets_and_paths(void **state)
{
    (void)state;
    svi_settings s;
    svi_config *config = load("data_path = \"state\"\nmodule_paths = { \"m\", \"/abs\" }\n"
                              "admins = { \"Romeo@A.example\" }\n"
                              "c2s_client_ca = \"ca.pem\"\n");
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, NULL),
        SV_OK);
    assert_text(s.data_path, "/tmp/state"); /* from the config file's folder */
    assert_text(s.control_socket, "/tmp/state/control");
    assert_text(s.module_paths.items[0], "/tmp/m");
    assert_text(s.module_paths.items[1], "/abs");
    assert_text(s.module_paths.items[2], "/tmp/modules");
    assert_int_equal(s.module_paths.count, 3);
    assert_text(s.admins.items[0], "romeo@a.example");
    assert_text(s.c2s_client_ca, "/tmp/ca.pem");
    assert_int_equal(s.authentication, SVI_LOGINS_ACCOUNTS);
    assert_int_equal(s.c2s_guests_max, 1000);
    assert_int_equal(s.c2s_interfaces.count, 2);
    assert_text(s.c2s_ports.items[0], "5222");
    assert_true(s.c2s_require_encryption);
    assert_int_equal(s.c2s_unix_sockets.count, 0);
    assert_int_equal(s.proxy_count, 0);
    assert_int_equal(s.log_level, SV_INFO);
    assert_text(s.log_to, "stdout");
    assert_false(svi_settings_logs_to_file(&s));
    assert_int_equal(s.certificate.count, 0);
    assert_int_equal(s.certificate_check_ms, 60000);
    assert_int_equal(s.certificate_warn_days, 14);
    assert_int_equal(s.durability, SVI_DURABLE_SYNC);
    assert_true(svi_settings_io_threads(&s) >= 1);
    svi_config_free(&config);
}

#define LONG_NAME                                                                                  \
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789"             \
    "01234567890123456789012"

static void test_unix_sockets_and_proxies(void **state)
{
    (void)state;
    svi_settings s;
    svi_config *config = load("c2s_unix_sockets = { \"run/c2s\", \"/run/b\" }\n"
                              "c2s_proxies = { \"192.0.2.0/24\", \"::1\", \"unix\" }\n");
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, NULL),
        SV_OK);
    assert_int_equal(s.c2s_ports.count, 1);
    assert_text(s.c2s_unix_sockets.items[0], "/tmp/run/c2s");
    assert_text(s.c2s_unix_sockets.items[1], "/run/b");
    assert_int_equal(s.proxy_count, 3);
    assert_int_equal(s.proxies[0].kind, SVI_SUBNET_V4);
    assert_int_equal(s.proxies[0].bits, 24);
    assert_int_equal(s.proxies[1].kind, SVI_SUBNET_V6);
    assert_int_equal(s.proxies[2].kind, SVI_SUBNET_UNIX);
    svi_config_free(&config);
    config = load("c2s_ports = {}\nc2s_unix_sockets = { \"a\" }\n"); /* no port at all */
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, NULL),
        SV_OK);
    assert_int_equal(s.c2s_ports.count, 0);
    svi_config_free(&config);
    checks("c2s_unix_sockets = { \"a\", \"\", \"/tmp/a\" }\n" HOST,
           ":1: '' in 'c2s_unix_sockets' is no path\n"
           ":1: '/tmp/a' stands twice in 'c2s_unix_sockets'\n");
    checks("c2s_unix_sockets = { \"/tmp/" LONG_NAME "\" }\n" HOST,
           ":1: '/tmp/" LONG_NAME "' is too long for a unix socket (107 bytes at most)\n");
    checks("control_socket = \"a\"\nc2s_unix_sockets = { \"/tmp/a\" }\n" HOST,
           ":2: '/tmp/a' in 'c2s_unix_sockets' is the control socket's path\n");
    checks("c2s_proxies = { \"10.0.0.0/8\", \"haproxy\", \"10.0.0.1/8\", \"::/129\" }\n" HOST,
           ":1: 'haproxy' in 'c2s_proxies' is no IP address, no network such as 192.0.2.0/24 or "
           "2001:db8::/32, and not \"unix\"\n"
           ":1: '10.0.0.1/8' in 'c2s_proxies' is one address and not a network: bits behind the "
           "first 8 are set\n"
           ":1: '::/129' in 'c2s_proxies' has no number of bits from 0 to 128 behind its slash\n");
    checks(HOST "c2s_unix_sockets = { \"a\" }\nc2s_proxies = { \"::1\" }\n",
           ":4: 'c2s_unix_sockets' is for the whole server: set it before the first VirtualHost\n"
           ":5: 'c2s_proxies' is for the whole server: set it before the first VirtualHost\n");
}

static void assert_xml_limits(const svi_xml_limits *got, const svi_xml_limits *wanted)
{
    assert_int_equal(got->stanza_bytes, wanted->stanza_bytes);
    assert_int_equal(got->token_bytes, wanted->token_bytes);
    assert_int_equal(got->header_bytes, wanted->header_bytes);
    assert_int_equal(got->depth, wanted->depth);
    assert_int_equal(got->attrs, wanted->attrs);
    assert_int_equal(got->elements, wanted->elements);
    assert_int_equal(got->ns_decls, wanted->ns_decls);
}

/* What a config with these lines gives. */
static void assert_limits(const char *lines, const svi_limits *wanted)
{
    svi_settings s;
    svi_config *config = load(lines);
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, NULL),
        SV_OK);
    const svi_limits got = svi_settings_limits(&s);
    assert_xml_limits(&got.stranger, &wanted->stranger);
    assert_xml_limits(&got.unbound, &wanted->unbound);
    assert_xml_limits(&got.user, &wanted->user);
    assert_int_equal(got.stranger_rate, wanted->stranger_rate);
    assert_int_equal(got.rate, wanted->rate);
    assert_int_equal(got.credit_bytes, wanted->credit_bytes);
    assert_int_equal(got.queue_soft_bytes, wanted->queue_soft_bytes);
    assert_int_equal(got.queue_hard_bytes, wanted->queue_hard_bytes);
    assert_int_equal(got.caused_events, wanted->caused_events);
    assert_int_equal(got.sessions_per_account, wanted->sessions_per_account);
    assert_int_equal(got.strangers, wanted->strangers);
    assert_int_equal(got.strangers_per_address, wanted->strangers_per_address);
    assert_int_equal(got.streams_per_address, wanted->streams_per_address);
    assert_int_equal(got.connects_per_address, wanted->connects_per_address);
    assert_int_equal(got.auth_tries, wanted->auth_tries);
    assert_int_equal(got.header_us, wanted->header_us);
    assert_int_equal(got.features_us, wanted->features_us);
    assert_int_equal(got.login_us, wanted->login_us);
    assert_int_equal(got.bind_us, wanted->bind_us);
    assert_int_equal(got.idle_us, wanted->idle_us);
    assert_int_equal(got.answer_us, wanted->answer_us);
    svi_config_free(&config);
}

/* Every limit is where its option says. Without options the core's own presets hold. */
static void test_limits(void **state)
{
    (void)state;
    svi_limits l = svi_limits_default();
    assert_limits("", &l);
    l.stranger.stanza_bytes = 6144;
    l.user.depth = 11;
    l.user.attrs = 12;
    l.user.ns_decls = 13;
    l.user.stanza_bytes = l.user.token_bytes = 131072;
    l.stranger_rate = 1024;
    l.rate = 0;
    l.strangers = 14;
    l.strangers_per_address = 15;
    l.streams_per_address = 16;
    l.connects_per_address = 21;
    l.sessions_per_account = 17;
    l.auth_tries = 3;
    l.login_us = 18000000;
    l.header_us = l.features_us = l.bind_us = 19000000;
    l.idle_us = 7200000000;
    l.answer_us = 20000000;
    l.queue_hard_bytes = 2097152;
    l.queue_soft_bytes = 524288;
    assert_limits("c2s_stanza_size = \"128k\"\nc2s_stranger_stanza_size = \"6k\"\n"
                  "c2s_stanza_depth = 11\nc2s_stanza_attributes = 12\n"
                  "c2s_stanza_namespaces = 13\nc2s_rate = 0\nc2s_stranger_rate = \"1k\"\n"
                  "c2s_strangers = 14\nc2s_strangers_per_address = 15\n"
                  "c2s_streams_per_address = 16\nc2s_sessions_per_account = 17\n"
                  "c2s_connects_per_address = 21\n"
                  "c2s_login_tries = 3\nc2s_login_timeout = \"18s\"\n"
                  "c2s_step_timeout = \"19s\"\nc2s_idle = \"2h\"\n"
                  "c2s_idle_timeout = \"20s\"\nc2s_queue_size = \"2M\"\n",
                  &l);
}

static void test_one_file_or_several(void **state)
{
    (void)state;
    svi_settings s;
    svi_config *config = load("certificate = \"c.pem\"\nkey = { \"k.pem\", \"/l.pem\" }\n"
                              "VirtualHost \"a.example\"\ncertificate = { \"d.pem\", \"/e.pem\" }\n");
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 1), &s, svi_problems_note, NULL),
        SV_OK);
    assert_int_equal(s.certificate.count, 2);
    assert_text(s.certificate.items[0], "/tmp/d.pem");
    assert_text(s.certificate.items[1], "/e.pem");
    assert_int_equal(s.key.count, 2);
    assert_text(s.key.items[0], "/tmp/k.pem");
    svi_config_free(&config);
    config = load("certificate = \"c.pem\"\nkey = \"k.pem\"\n");
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, NULL),
        SV_OK);
    assert_int_equal(s.certificate.count, 1);
    assert_text(s.certificate.items[0], "/tmp/c.pem");
    svi_config_free(&config);
}

static void test_checks_of_listeners(void **state)
{
    (void)state;
    checks(HOST, "");
    checks("c2s_ports = { 0 }\n" HOST, ":1: '0' in 'c2s_ports' is no port (1 to 65535)\n");
    checks("c2s_ports = { \"http\", 65536 }\n" HOST,
           ":1: 'http' in 'c2s_ports' is no port (1 to 65535)\n"
           ":1: '65536' in 'c2s_ports' is no port (1 to 65535)\n");
    checks("c2s_interfaces = { \"*\", \"::\", \"::1\", \"10.0.0.1\" }\n" HOST, "");
    checks("c2s_ports = { 5222, 5223, 5222 }\nc2s_interfaces = { \"::1\", \"::1\" }\n" HOST,
           ":2: '::1' stands twice in 'c2s_interfaces'\n"
           ":1: '5222' stands twice in 'c2s_ports'\n");
    /* one address may be written in several ways */
    checks("c2s_interfaces = { \"::1\", \"0:0::1\", \"*\", \"0.0.0.0\", \"127.0.0.1\" }\n" HOST,
           ":1: '::1' and '0:0::1' in 'c2s_interfaces' are the same\n"
           ":1: '*' and '0.0.0.0' in 'c2s_interfaces' are the same\n");
    checks("c2s_ports = { 5222, \"05222\" }\nc2s_direct_tls_ports = { \"005222\" }\n" HOST,
           ":1: '5222' and '05222' in 'c2s_ports' are the same\n"
           ":2: '005222' stands in 'c2s_direct_tls_ports' and in 'c2s_ports'\n");
    checks("c2s_direct_tls_ports = { 5223, 5222, 0 }\n" HOST,
           ":1: '0' in 'c2s_direct_tls_ports' is no port (1 to 65535)\n"
           ":1: '5222' stands in 'c2s_direct_tls_ports' and in 'c2s_ports'\n");
    checks("c2s_direct_tls_ports = { 5223, 5223 }\n" HOST,
           ":1: '5223' stands twice in 'c2s_direct_tls_ports'\n");
    checks("c2s_direct_tls_ports = { 5223 }\nc2s_require_encryption = false\n"
           "VirtualHost \"a.example\"\n",
           ":3: 'a.example' has no certificate: set 'certificate' and 'key' (PEM files)\n");
    checks(HOST "c2s_direct_tls_ports = { 5223 }\n",
           ":4: 'c2s_direct_tls_ports' is for the whole server: set it before the first "
           "VirtualHost\n");
    checks(HOST "c2s_strangers = 20\n",
           ":4: 'c2s_strangers' is for the whole server: set it before the first VirtualHost\n");
}

static void test_checks_of_values(void **state)
{
    (void)state;
    /* RFC 6120 13.12 rule 4 and 6.4.5: what operators may not go below, or above */
    checks("c2s_stanza_size = 9999\nc2s_login_tries = 6\n" HOST,
           ":1: 'c2s_stanza_size' must be from 10000 to 512k\n"
           ":2: 'c2s_login_tries' must be from 3 to 5\n");
    checks("c2s_stanza_size = 10000\nc2s_login_tries = 5\n" HOST, "");
    checks("c2s_stanza_size = \"512k\"\nc2s_queue_size = \"512k\"\n" HOST,
           ":2: 'c2s_queue_size' must have room for two stanzas of 'c2s_stanza_size'\n");
    checks("backup_rate = 1000\n" HOST, ":1: 'backup_rate' must be from 64k to 16G\n");
    checks("lua_memory_max = \"1k\"\n" HOST, ":1: 'lua_memory_max' must be from 256k to 1G\n");
    checks("lua_handler_max = \"2s\"\n" HOST, ":1: 'lua_handler_max' must be from 10ms to 1s\n");
    checks("admins = { \"x\" }\n" HOST "VirtualHost \"b.example\"\n",
           ":1: 'x' in 'admins' is no address such as name@example.org\n");
    checks("c2s_interfaces = { \"lo\" }\n" HOST,
           ":1: 'lo' in 'c2s_interfaces' is no IP address (\"*\" is all of IPv4, \"::\" all of "
           "IPv6)\n");
    checks(HOST "admins = { \"a.example\", \"x@a.example/r\", \"x@a.example\" }\n",
           ":4: 'a.example' in 'admins' is no address such as name@example.org\n"
           ":4: 'x@a.example/r' in 'admins' is no address such as name@example.org\n");
}

static void test_checks_of_certificates(void **state)
{
    (void)state;
    checks("certificate = \"c.pem\"\nc2s_require_encryption = false\nVirtualHost \"a.example\"\n",
           ":1: 'certificate' and 'key' belong together: set both\n");
    checks("certificate = { \"c.pem\", \"d.pem\" }\nkey = { \"k.pem\", \"k.pem\" }\n"
           "VirtualHost \"a.example\"\n",
           "");
    checks("certificate = { \"c.pem\", \"d.pem\" }\nkey = \"k.pem\"\nVirtualHost \"a.example\"\n",
           ":2: 'certificate' names 2 files and 'key' 1: each certificate needs its key, in the same "
           "order\n");
    checks("certificate = { \"c\", \"d\", \"e\", \"f\", \"g\", \"h\" }\n"
           "key = { \"k\", \"k\", \"k\", \"k\", \"k\", \"k\" }\nVirtualHost \"a.example\"\n",
           ":1: 'certificate' names 6 files: there are not so many kinds of keys (RSA, ECDSA)\n");
    checks("certificate = { \"c.pem\", \"c.pem\" }\nkey = { \"k.pem\", \"\" }\n"
           "VirtualHost \"a.example\"\n",
           ":1: '/tmp/c.pem' stands twice in 'certificate'\n:2: 'key' names no file\n");
    checks("certificate = \"\"\nkey = \"k.pem\"\nVirtualHost \"a.example\"\n",
           ":1: 'certificate' names no file\n");
    checks("certificate = true\nkey = \"k.pem\"\nVirtualHost \"a.example\"\n",
           ":1: 'certificate' must be a text in quotes, or several in braces: { \"a\", \"b\" }\n");
    checks(HOST "certificate_check = \"10s\"\ncertificate_warn_days = 7\n",
           ":4: 'certificate_check' is for the whole server: set it before the first VirtualHost\n"
           ":5: 'certificate_warn_days' is for the whole server: set it before the first "
           "VirtualHost\n");
    checks("certificate_check = \"0s\"\n" HOST, ":1: 'certificate_check' must be from 10ms to 1h\n");
    checks("\nVirtualHost \"a.example\"\n",
           ":2: 'a.example' has no certificate: set 'certificate' and 'key' (PEM files)\n");
    checks("c2s_require_encryption = false\nVirtualHost \"a.example\"\n", "");
    checks("c2s_require_encryption = false\nVirtualHost \"a.example\"\nc2s_client_ca = \"c.pem\"\n",
           ":3: 'c2s_client_ca' needs TLS: set 'certificate' and 'key', too\n");
}

static void test_checks_of_hosts(void **state)
{
    (void)state;
    checks(HOST "authentication = \"anonymous\"\nc2s_guests_max = 5\n", "");
    checks(HOST "authentication = \"both\"\n", "");
    checks(HOST "authentication = \"internal_hashed\"\nc2s_guests_max = 0\n",
           ":4: 'authentication' must be one of: accounts anonymous both\n"
           ":5: 'c2s_guests_max' must be from 1 to 1000000\n");
    checks("certificate = \"c.pem\"\nkey = \"k.pem\"\n",
           ": no host is served: add VirtualHost \"example.org\"\n");
    checks(HOST "c2s_ports = { 1 }\nio_threads = 1\n",
           ":4: 'c2s_ports' is for the whole server: set it before the first VirtualHost\n"
           ":5: 'io_threads' is for the whole server: set it before the first VirtualHost\n");
    checks(HOST "Component \"c.example\" \"muc\"\n",
           ":4: components are not served by this version: remove the section of 'c.example'\n");
    /* a global fault is told once, not for each host */
    checks("log_level = \"loud\"\n" HOST "VirtualHost \"b.example\"\n",
           ":1: 'log_level' must be one of: error warn info debug\n");
}

static void test_log_to(void **state)
{
    (void)state;
    svi_settings s;
    svi_config *config = load("log_to = \"logs/stave.log\"\n");
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, NULL),
        SV_OK);
    assert_text(s.log_to, "/tmp/logs/stave.log");
    assert_true(svi_settings_logs_to_file(&s));
    svi_config_free(&config);
    checks("log_to = \"journald\"\n" HOST, "");
    checks("log_to = \"syslog\"\n" HOST, "");
    checks("log_to = \"sysolg\"\n" HOST,
           ":1: 'log_to' must be \"stdout\", \"syslog\", \"journald\" or a path with a slash in it, "
           "such as \"./stave.log\"\n");
    checks(HOST "log_to = \"stdout\"\n",
           ":4: 'log_to' is for the whole server: set it before the first VirtualHost\n");
}

/* However many there are, they are told in bounded time. */
static void test_problems_are_bounded(void **state)
{
    (void)state;
    svi_problems problems;
    svi_problems_init(&problems, &mem);
    for (int i = 0; i < 50000; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "problem %d", i);
        svi_problems_note(&problems, "f", i + 1, text);
    }
    assert_true(svi_str_ends(svi_buf_str(&problems.text),
                             SV_STR("f:200: problem 199\n... further problems are not shown\n")));
    svi_problems_free(&problems);
}

static void test_paths_of_faulty(void **state)
{
    (void)state;
    svi_settings s;
    svi_problems problems;
    svi_problems_init(&problems, &mem);
    svi_config *config = load("data_path = \"/d\"\nlog_level = \"loud\"\n");
    assert_int_equal(
        svi_settings_read(config, svi_config_section(config, 0), &s, svi_problems_note, &problems),
        SV_EINVAL);
    assert_text(s.control_socket, "/d/control"); /* `stave reload` still finds the server */
    svi_config_free(&config);
    svi_problems_free(&problems);
    assert_int_equal(mem.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets_and_paths),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_one_file_or_several),
        cmocka_unit_test(test_checks_of_listeners),
        cmocka_unit_test(test_checks_of_values),
        cmocka_unit_test(test_checks_of_certificates),
        cmocka_unit_test(test_checks_of_hosts),
        cmocka_unit_test(test_log_to),
        cmocka_unit_test(test_unix_sockets_and_proxies),
        cmocka_unit_test(test_paths_of_faulty),
        cmocka_unit_test(test_problems_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
