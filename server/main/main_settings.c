/* The core's options: the table, and the checks that a table of types and bounds can't express. */
#include "main/main_settings.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/base_assert.h"
#include "xmpp/xmpp_jid.h"

#define PROBLEMS_MAX 200u /* told of a configuration; nobody reads more */

/* One file or a list of files. */
#define OPT_FILES(field_, name_, manual_)                                                          \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_LIST, .offset = offsetof(svi_settings, field_),           \
        .min = "one", .manual = manual_                                                            \
    }

static const sv_option options[] = {
    SV_OPT_STRING(svi_settings, data_path, "data_path", "/var/lib/stave",
                  "Folder of everything the server keeps: store, secrets, crash reports, control "
                  "socket. Made if missing."),
    SV_OPT_STRING(svi_settings, store_engine, "store_engine", NULL,
                  "Engine module that keeps what the server stores, in a data base for example; the "
                  "server's own, in data_path, if not set. Its options stand in the global section."),
    SV_OPT_STRING(svi_settings, control_socket, "control_socket", NULL,
                  "Unix socket that commands such as `stave status` talk to; \"control\" in "
                  "data_path if not set."),
    SV_OPT_LIST(svi_settings, modules_enabled, "modules_enabled",
                "Modules that run on the host, or on all hosts if set before the first one."),
    SV_OPT_LIST(svi_settings, module_paths, "module_paths",
                "Folders where modules (NAME.so) are looked for before the server's own; behind them \"modules\" "
                "beside the configuration file."),
    SV_OPT_LIST(svi_settings, modules_essential, "modules_essential",
                "Modules that begin as usual even if three workers ended in them within ten minutes; others "
                "begin in quarantine then."),
    SV_OPT_LIST(svi_settings, admins, "admins", "Addresses that may administer the host."),
    SV_OPT_LIST(svi_settings, c2s_interfaces, "c2s_interfaces",
                "Addresses to listen on for clients; { \"*\", \"::\" } (all IPv4, all IPv6) if not "
                "set."),
    SV_OPT_LIST(svi_settings, c2s_ports, "c2s_ports",
                "Ports to listen on for clients; { 5222 } if not set, {} for none."),
    SV_OPT_LIST(svi_settings, c2s_direct_tls_ports, "c2s_direct_tls_ports",
                "Ports to listen on for clients that begin with TLS at once (XEP-0368), usually { "
                "5223 }; none if not set."),
    SV_OPT_LIST(svi_settings, c2s_unix_sockets, "c2s_unix_sockets",
                "Paths of unix sockets to listen on for clients, for a gateway on this machine: mode "
                "0660, made at start and removed at stop; none if not set."),
    SV_OPT_LIST(svi_settings, c2s_proxies, "c2s_proxies",
                "Proxies whose connections begin with a PROXY protocol header, version 1 or 2: IP "
                "addresses, networks such as \"192.0.2.0/24\" or \"2001:db8::/32\", and \"unix\" for "
                "all unix sockets. Their connections without one are closed; none if not set."),
    OPT_FILES(certificate, "certificate",
              "PEM file with the host's certificate and the chain behind it; or several, each with a "
              "key of another kind (RSA, ECDSA), of which a client is shown one that it takes."),
    OPT_FILES(key, "key",
              "PEM file with the certificate's private key, which others may not read (mode 0600 or "
              "0640); or several, in the order of the certificates."),
    SV_OPT_PERIOD(svi_settings, certificate_check_ms, "certificate_check", "1m", "10ms", "1h",
                  "How often the files of certificates and keys are looked at; those that have "
                  "changed are taken over while serving."),
    SV_OPT_INT(svi_settings, certificate_warn_days, "certificate_warn_days", "14", "0", "365",
               "A certificate that has fewer days left is warned of in the log, once a day; 0: none "
               "is, until it has expired."),
    SV_OPT_STRING(svi_settings, c2s_client_ca, "c2s_client_ca", NULL,
                  "PEM file with CA certificates (and their CRLs, if there are any): clients may log in "
                  "with a certificate made by one of them that names their address (SASL EXTERNAL)."),
    SV_OPT_ENUM(svi_settings, authentication, "authentication", "accounts", "accounts anonymous both",
                "Who may log in: accounts of the host, or anybody without a name or password (SASL "
                "ANONYMOUS, XEP-0175), or both."),
    SV_OPT_INT(svi_settings, c2s_guests_max, "c2s_guests_max", "1000", "1", "1000000",
               "How many anonymous clients the host takes at once."),
    SV_OPT_BOOL(svi_settings, login_addresses, "login_addresses", "false",
                "Keep with each account the address that it last logged in from, for `stave user show`."),
    SV_OPT_BOOL(svi_settings, c2s_require_encryption, "c2s_require_encryption", "true",
                "Clients must use TLS before they log in (loopback addresses excepted)."),
    SV_OPT_INT(svi_settings, io_threads, "io_threads", "-1", "-1", "64",
               "Threads for sockets, TLS and XML; -1: one less than there are cores, at least one; "
               "0: none of their own."),
    SV_OPT_ENUM(svi_settings, durability, "durability", "sync", "sync write none",
                "When a change counts as stored: synced to the disk, or (write, none) handed to "
                "the system, which a power cut loses."),
    SV_OPT_SIZE(svi_settings, store_size_max, "store_size_max", "64G", "48M", "4096G",
                "How large the index of the store may grow. Near it, what would be stored is refused "
                "(resource-constraint); reading and deleting go on."),
    SV_OPT_SIZE(svi_settings, store_disk_reserve, "store_disk_reserve", "256M", "4M", "1024G",
                "Space on the store's disk that is kept for what must be stored to its end; refused is the same "
                "while less than this and 16M are free."),
    SV_OPT_ENUM(svi_settings, log_level, "log_level", "info", "error warn info debug",
                "What is logged."),
    SV_OPT_ENUM(svi_settings, log_format, "log_format", "text", "text json",
                "Form of log lines; journald has a form of its own."),
    SV_OPT_STRING(svi_settings, log_to, "log_to", "stdout",
                  "Where log lines go: \"stdout\", \"syslog\", \"journald\", or a file by a path "
                  "with a slash in it, such as \"./stave.log\"."),
    SV_OPT_STRING(svi_settings, user, "user", NULL,
                  "System user the worker runs as when the server is started by root, who must set "
                  "it; \"root\" keeps root."),
    SV_OPT_STRING(svi_settings, component_module, "component_module", NULL,
                  "The module of a Component, usually written behind its domain."),
    SV_OPT_SIZE(svi_settings, limits.stanza_bytes, "c2s_stanza_size", "256k", "10000", "512k",
                "Size of one stanza from a client; a larger one ends its stream (policy-violation)."),
    SV_OPT_SIZE(svi_settings, limits.stranger_stanza_bytes, "c2s_stranger_stanza_size", "5k", "4k",
                "64k", "Size of one element before login; bounds what an unknown peer costs."),
    SV_OPT_INT(svi_settings, limits.depth, "c2s_stanza_depth", "100", "10", "1000",
               "Levels of elements in a stanza; a deeper one ends the stream (policy-violation)."),
    SV_OPT_INT(svi_settings, limits.attributes, "c2s_stanza_attributes", "100", "10", "1000",
               "Attributes of one element; more end the stream (policy-violation)."),
    SV_OPT_INT(svi_settings, limits.namespaces, "c2s_stanza_namespaces", "50", "10", "500",
               "Namespace declarations of one element; more end the stream (policy-violation)."),
    SV_OPT_SIZE(svi_settings, limits.rate, "c2s_rate", "256k", "0", "1G",
                "Bytes a second that are read from a client, those of TLS itself as well; whoever sends "
                "more is read more slowly. Four seconds' worth may come at once. 0: no bound."),
    SV_OPT_SIZE(svi_settings, limits.stranger_rate, "c2s_stranger_rate", "10k", "0", "1G",
                "The same before a resource is bound."),
    SV_OPT_INT(svi_settings, limits.strangers, "c2s_strangers", "1000", "10", "100000",
               "Connections without a bound resource at once; above it the oldest is closed "
               "(resource-constraint)."),
    SV_OPT_INT(svi_settings, limits.strangers_per_address, "c2s_strangers_per_address", "100", "1",
               "100000",
               "The same from one IPv4 address or IPv6 network (64 bits); loopback has no bound."),
    SV_OPT_INT(svi_settings, limits.streams_per_address, "c2s_streams_per_address", "2000", "1",
               "1000000",
               "Connections at all from one IPv4 address or IPv6 network; a further one is refused "
               "(policy-violation)."),
    SV_OPT_INT(svi_settings, limits.connects_per_address, "c2s_connects_per_address", "3000", "0",
               "1000000",
               "Connections that may begin in a minute from one IPv4 address or IPv6 network; a further "
               "one is refused (policy-violation). 0: any number."),
    SV_OPT_INT(svi_settings, limits.sessions_per_account, "c2s_sessions_per_account", "20", "1",
               "1000", "Resources of one account at once; a further one is refused "
               "(resource-constraint)."),
    SV_OPT_INT(svi_settings, limits.login_tries, "c2s_login_tries", "5", "3", "5",
               "Failed logins on one connection, then it is closed (policy-violation)."),
    SV_OPT_PERIOD(svi_settings, limits.login_ms, "c2s_login_timeout", "60s", "5s", "10m",
                  "Time from connection to login; then it is closed (connection-timeout)."),
    SV_OPT_PERIOD(svi_settings, limits.step_ms, "c2s_step_timeout", "30s", "1s", "10m",
                  "Time for each step of it: stream header, choice, bind (connection-timeout)."),
    SV_OPT_PERIOD(svi_settings, limits.idle_ms, "c2s_idle", "15m", "0s", "1d",
                  "A client from which nothing came so long is asked whether it is there (module "
                  "ping). 0s: never."),
    SV_OPT_PERIOD(svi_settings, limits.answer_ms, "c2s_idle_timeout", "1m", "1s", "1h",
                  "Time it has for a sign of life; then it is closed (connection-timeout)."),
    SV_OPT_SIZE(svi_settings, limits.queue_bytes, "c2s_queue_size", "1M", "256k", "64M",
                "What may wait to be sent to a client that does not read; above it the connection is "
                "closed (resource-constraint), above a quarter old presence is left out."),
    SV_OPT_SIZE(svi_settings, explain_bytes, "explain_memory", "4M", "0", "16M",
                "Memory for what `stave explain` tells of recent stanzas, about 0.5 KiB of each; rounded down "
                "to a power of two. 0: nothing is kept."),
    SV_OPT_SIZE(svi_settings, backup_rate, "backup_rate", "32M", "64k", "16G",
                "What a backup of the running server reads in a second, so that it leaves the disk to "
                "others."),
    SV_OPT_SIZE(svi_settings, lua_memory_max, "lua_memory_max", "16M", "256k", "1G",
                "Memory that the state of one script may take, for all hosts together; what would need "
                "more raises an error in the script."),
    SV_OPT_PERIOD(svi_settings, lua_handler_max_ms, "lua_handler_max", "50ms", "10ms", "1s",
                  "Processor time that a script's function may take until it waits or ends; then it is "
                  "ended. It counts in steps of 5 ms."),
    {.name = NULL}};

const sv_option *svi_settings_options(void)
{
    return options;
}

/* --- problems ----------------------------------------------------------------------------------------- */

void svi_problems_init(svi_problems *problems, svi_acct *acct)
{
    *problems = (svi_problems){.count = 0};
    svi_buf_init(&problems->text, acct);
}

void svi_problems_free(svi_problems *problems)
{
    svi_buf_free(&problems->text);
    problems->count = 0;
}

/* A problem of the global section shows again in each host's, and in each further look at them. */
static bool is_told(const svi_problems *problems, sv_str line)
{
    sv_str rest = svi_buf_str(&problems->text), told;
    while (svi_str_split(&rest, '\n', &told))
        if (sv_str_eq(told, line)) return true;
    return false;
}

void svi_problems_note(void *problems, const char *file, int line, const char *text)
{
    svi_problems *p = problems;
    svi_buf all;
    svi_buf_init(&all, p->text.acct);
    if (line > 0)
        svi_buf_printf(&all, "%s:%d: %s", file, line, text);
    else
        svi_buf_printf(&all, "%s: %s", file, text);
    if (p->count == PROBLEMS_MAX) {
        svi_buf_put(&p->text, SV_STR("... further problems are not shown\n"));
        p->count++;
    } else if (p->count < PROBLEMS_MAX && !is_told(p, svi_buf_str(&all))) {
        p->count++;
        svi_buf_put(&p->text, svi_buf_str(&all));
        svi_buf_putc(&p->text, '\n');
    }
    svi_buf_free(&all);
}

/* --- one section -------------------------------------------------------------------------------------- */

/* What the checks of a section share. */
typedef struct check {
    const svi_config *config;
    const svi_section *section;
    svi_config_report report;
    void *ctx;
    bool failed;
} check;

/* Tells of a problem at the value of `name`, or at the section if it is not set. */
static void __attribute__((format(printf, 3, 4)))
complain(check *c, const char *name, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const svi_value *at = name ? svi_config_get(c->config, c->section, sv_str_of(name)) : NULL;
    c->report(c->ctx, at ? at->file : c->section->file, at ? at->line : c->section->line, text);
    c->failed = true;
}

/* Makes a path whole: from the config file's folder. The main file's name is that of section 0. */
static sv_str whole_path(const check *c, sv_str path)
{
    const sv_str main_file = sv_str_of(svi_config_section(c->config, 0)->file);
    if (path.n == 0 || path.p[0] == '/') return path;
    size_t n = main_file.n;
    while (n > 0 && main_file.p[n - 1] != '/') n--;
    svi_arena *arena = svi_config_arena(c->config);
    return n == 0 ? svi_arena_str(arena, path)
                  : svi_arena_printf(arena, "%.*s%.*s", (int)n, main_file.p, (int)path.n, path.p);
}

static sv_str_list one_list(const check *c, const char *const *words, size_t count)
{
    sv_str *items = svi_arena_get(svi_config_arena(c->config), count * sizeof *items);
    for (size_t i = 0; i < count; i++) items[i] = sv_str_of(words[i]);
    return (sv_str_list){.items = items, .count = count};
}

/* An interface as bytes, of which one address has only one form, whatever its text. */
typedef struct plain_address {
    size_t n; /* 4, 16; 0: no address */
    unsigned char raw[sizeof(struct in6_addr)];
} plain_address;

static plain_address address_of(sv_str text)
{
    char z[64] = "0.0.0.0";
    plain_address a = {.n = 0};
    if (text.n >= sizeof z) return a;
    if (!sv_str_eq(text, SV_STR("*"))) {
        memcpy(z, text.p, text.n);
        z[text.n] = '\0';
    }
    if (inet_pton(AF_INET, z, a.raw) == 1)
        a.n = sizeof(struct in_addr);
    else if (inet_pton(AF_INET6, z, a.raw) == 1)
        a.n = sizeof(struct in6_addr);
    return a;
}

static bool same_interface(sv_str a, sv_str b)
{
    const plain_address x = address_of(a), y = address_of(b);
    return x.n > 0 && x.n == y.n && memcmp(x.raw, y.raw, x.n) == 0;
}

static bool same_port(sv_str a, sv_str b)
{
    int64_t x, y;
    return svi_str_int(a, 1, 65535, &x) == SV_OK && svi_str_int(b, 1, 65535, &y) == SV_OK && x == y;
}

/* The same listener twice would find its own port in use. */
static void check_twice(check *c, const char *name, const sv_str_list *list,
                        bool (*same)(sv_str, sv_str))
{
    for (size_t i = 1; i < list->count; i++)
        for (size_t k = 0; k < i; k++) {
            const sv_str one = list->items[i], other = list->items[k];
            if (sv_str_eq(one, other))
                complain(c, name, "'%.*s' stands twice in '%s'", (int)one.n, one.p, name);
            else if (same(one, other))
                complain(c, name, "'%.*s' and '%.*s' in '%s' are the same", (int)other.n, other.p,
                         (int)one.n, one.p, name);
        }
}

static void check_ports(check *c, const char *name, const sv_str_list *ports)
{
    for (size_t i = 0; i < ports->count; i++) {
        const sv_str at = ports->items[i];
        int64_t number;
        if (svi_str_int(at, 1, 65535, &number) == SV_OK) continue;
        complain(c, name, "'%.*s' in '%s' is no port (1 to 65535)", (int)at.n, at.p, name);
    }
}

/* One port speaks one way. */
static void check_apart(check *c, const char *name, const sv_str_list *list, const char *other_name,
                        const sv_str_list *other)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < other->count; k++)
            if (same_port(list->items[i], other->items[k]))
                complain(c, name, "'%.*s' stands in '%s' and in '%s'", (int)list->items[i].n,
                         list->items[i].p, name, other_name);
}

static void check_listeners(check *c, svi_settings *s)
{
    static const char *const all[] = {"*", "::"}, *const port[] = {"5222"};
    if (s->c2s_interfaces.count == 0) s->c2s_interfaces = one_list(c, all, 2);
    const bool has_ports = svi_config_get(c->config, c->section, SV_STR("c2s_ports")) != NULL;
    if (!has_ports) s->c2s_ports = one_list(c, port, 1);
    for (size_t i = 0; i < s->c2s_interfaces.count; i++) {
        const sv_str at = s->c2s_interfaces.items[i];
        if (address_of(at).n > 0) continue;
        complain(c, "c2s_interfaces",
                 "'%.*s' in 'c2s_interfaces' is no IP address (\"*\" is all of IPv4, \"::\" all of "
                 "IPv6)",
                 (int)at.n, at.p);
    }
    check_ports(c, "c2s_ports", &s->c2s_ports);
    check_ports(c, "c2s_direct_tls_ports", &s->c2s_direct_tls_ports);
    check_twice(c, "c2s_interfaces", &s->c2s_interfaces, same_interface);
    check_twice(c, "c2s_ports", &s->c2s_ports, same_port);
    check_twice(c, "c2s_direct_tls_ports", &s->c2s_direct_tls_ports, same_port);
    check_apart(c, "c2s_direct_tls_ports", &s->c2s_direct_tls_ports, "c2s_ports", &s->c2s_ports);
}

/* What bind(2) takes, the NUL behind it included. */
#define UNIX_PATH_BYTES sizeof((struct sockaddr_un){.sun_family = AF_UNIX}.sun_path)

/* Their paths are whole already. */
static void check_unix_sockets(check *c, const svi_settings *s)
{
    static const char name[] = "c2s_unix_sockets";
    for (size_t i = 0; i < s->c2s_unix_sockets.count; i++) {
        const sv_str path = s->c2s_unix_sockets.items[i];
        if (path.n == 0 || memchr(path.p, 0, path.n) != NULL)
            complain(c, name, "'%.*s' in '%s' is no path", (int)path.n, path.p, name);
        else if (path.n >= UNIX_PATH_BYTES)
            complain(c, name, "'%.*s' is too long for a unix socket (%zu bytes at most)",
                     (int)path.n, path.p, UNIX_PATH_BYTES - 1);
        else if (sv_str_eq(path, s->control_socket))
            complain(c, name, "'%.*s' in '%s' is the control socket's path", (int)path.n, path.p,
                     name);
    }
    check_twice(c, name, &s->c2s_unix_sockets, sv_str_eq);
}

static void check_proxies(check *c, svi_settings *s)
{
    const sv_str_list *list = &s->c2s_proxies;
    svi_subnet *read = svi_arena_get(svi_config_arena(c->config), (list->count + 1) * sizeof *read);
    for (size_t i = 0; i < list->count; i++) {
        sv_err err = {.text = ""};
        const sv_str text = list->items[i];
        if (svi_subnet_read(text, &read[i], &err) != SV_OK)
            complain(c, "c2s_proxies", "'%.*s' in 'c2s_proxies' %s", (int)text.n, text.p, err.text);
    }
    s->proxies = read;
    s->proxy_count = list->count;
}

/* Prepares the addresses in place. */
static void check_admins(check *c, svi_settings *s)
{
    svi_arena *arena = svi_config_arena(c->config);
    sv_str *prepared = svi_arena_get(arena, (s->admins.count + 1) * sizeof *prepared);
    for (size_t i = 0; i < s->admins.count; i++) {
        sv_jid jid;
        const sv_str text = s->admins.items[i];
        if (svi_jid_parse(arena, text, &jid) == SV_OK && svi_jid_is_bare(&jid) && jid.node.n > 0)
            prepared[i] = jid.bare;
        else
            complain(c, "admins", "'%.*s' in 'admins' is no address such as name@example.org",
                     (int)text.n, text.p);
    }
    s->admins.items = prepared;
}

/* A word that is none of the three would otherwise silently be a file's name. */
static void check_log_to(check *c, const svi_settings *s)
{
    if (svi_settings_logs_to_file(s) || sv_str_eq(s->log_to, SV_STR("stdout")) ||
        sv_str_eq(s->log_to, SV_STR("syslog")) || sv_str_eq(s->log_to, SV_STR("journald")))
        return;
    complain(c, "log_to",
             "'log_to' must be \"stdout\", \"syslog\", \"journald\" or a path with a slash in it, "
             "such as \"./stave.log\"");
}

static void make_list_whole(const check *c, sv_str_list *list)
{
    sv_str *paths = svi_arena_get(svi_config_arena(c->config), (list->count + 1) * sizeof *paths);
    for (size_t i = 0; i < list->count; i++) paths[i] = whole_path(c, list->items[i]);
    list->items = paths;
}

/* The folder for the operator's own modules that there is without a word: "modules" beside the config file, whose owner
 * decides over the server anyway. */
static void add_modules_home(const check *c, sv_str_list *list)
{
    const sv_str home = whole_path(c, SV_STR("modules"));
    sv_str *paths = svi_arena_get(svi_config_arena(c->config), (list->count + 1) * sizeof *paths);
    for (size_t i = 0; i < list->count; i++) {
        if (sv_str_eq(list->items[i], home)) return;
        paths[i] = list->items[i];
    }
    paths[list->count] = home;
    *list = (sv_str_list){.items = paths, .count = list->count + 1};
}

static void make_paths_whole(const check *c, svi_settings *s)
{
    s->data_path = whole_path(c, s->data_path);
    make_list_whole(c, &s->certificate);
    make_list_whole(c, &s->key);
    s->c2s_client_ca = whole_path(c, s->c2s_client_ca);
    make_list_whole(c, &s->module_paths);
    add_modules_home(c, &s->module_paths);
    if (svi_settings_logs_to_file(s)) s->log_to = whole_path(c, s->log_to);
    s->control_socket = s->control_socket.n
                            ? whole_path(c, s->control_socket)
                            : svi_arena_printf(svi_config_arena(c->config), "%.*s/control",
                                               (int)s->data_path.n, s->data_path.p);
    make_list_whole(c, &s->c2s_unix_sockets);
}

/* The n-th key is that of the n-th certificate. */
static void check_pairs(check *c, const svi_settings *s)
{
    const size_t certs = s->certificate.count, keys = s->key.count;
    if ((certs > 0) != (keys > 0))
        complain(c, keys > 0 ? "key" : "certificate",
                 "'certificate' and 'key' belong together: set both");
    else if (certs != keys)
        complain(c, "key",
                 "'certificate' names %zu files and 'key' %zu: each certificate needs its key, in the "
                 "same order",
                 certs, keys);
    else if (certs > SVI_PAIRS_MAX)
        complain(c, "certificate",
                 "'certificate' names %zu files: there are not so many kinds of keys (RSA, ECDSA)",
                 certs);
    check_twice(c, "certificate", &s->certificate, sv_str_eq);
    for (size_t i = 0; i < certs; i++)
        if (s->certificate.items[i].n == 0)
            complain(c, "certificate", "'certificate' names no file");
    for (size_t i = 0; i < keys; i++)
        if (s->key.items[i].n == 0) complain(c, "key", "'key' names no file");
}

sv_status svi_settings_read(const svi_config *config, const svi_section *section,
                            svi_settings *settings_out, svi_config_report report, void *ctx)
{
    check c = {.config = config, .section = section, .report = report, .ctx = ctx};
    svi_settings *s = settings_out;
    *s = (svi_settings){.log_level = SV_INFO};
    const sv_status filled =
        svi_options_fill(config, section, options, sizeof *options, s, report, ctx);
    make_paths_whole(&c, s);
    if (filled != SV_OK) return filled;
    if (s->data_path.n == 0) complain(&c, "data_path", "'data_path' must name a folder");
    check_listeners(&c, s);
    check_unix_sockets(&c, s);
    check_proxies(&c, s);
    check_admins(&c, s);
    if (s->limits.queue_bytes < 2 * s->limits.stanza_bytes)
        complain(&c, "c2s_queue_size",
                 "'c2s_queue_size' must have room for two stanzas of 'c2s_stanza_size'");
    check_log_to(&c, s);
    check_pairs(&c, s);
    if (s->c2s_client_ca.n > 0 && c.section->kind == SVI_SECTION_HOST && s->certificate.count == 0)
        complain(&c, "c2s_client_ca",
                 "'c2s_client_ca' needs TLS: set 'certificate' and 'key', too");
    return c.failed ? SV_EINVAL : SV_OK;
}

/* --- all sections ------------------------------------------------------------------------------------- */

bool svi_settings_is_of_host(const char *name)
{
    static const char *const names[] = {"modules_enabled", "admins",        "certificate",
                                        "key",             "c2s_client_ca", "c2s_require_encryption",
                                        "authentication",  "c2s_guests_max", "login_addresses", "component_module"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

static void check_global_only(check *c)
{
    size_t pos = 0;
    sv_str name;
    const svi_value *value;
    while (svi_config_names(c->config, c->section, &pos, &name, &value)) {
        for (const sv_option *o = options; o->name; o++)
            if (sv_str_eq(name, sv_str_of(o->name)) && !svi_settings_is_of_host(o->name))
                complain(c, o->name,
                         "'%s' is for the whole server: set it before the first VirtualHost",
                         o->name);
    }
}

static bool check_section(check *c, bool *is_host_out)
{
    svi_settings s;
    *is_host_out = c->section->kind == SVI_SECTION_HOST;
    if (c->section->kind == SVI_SECTION_COMPONENT)
        complain(c, NULL, "components are not served by this version: remove the section of '%s'",
                 c->section->name.p);
    if (c->section->kind != SVI_SECTION_GLOBAL) check_global_only(c);
    if (svi_settings_read(c->config, c->section, &s, c->report, c->ctx) != SV_OK)
        c->failed = true;
    else if (*is_host_out && s.certificate.count == 0 &&
             (s.c2s_require_encryption || s.c2s_direct_tls_ports.count > 0))
        complain(c, "certificate",
                 "'%s' has no certificate: set 'certificate' and 'key' (PEM files)",
                 c->section->name.p);
    return !c->failed;
}

sv_status svi_settings_check(const svi_config *config, svi_config_report report, void *ctx)
{
    bool fine = true;
    size_t hosts = 0;
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config, i)) != NULL; i++) {
        check c = {.config = config, .section = section, .report = report, .ctx = ctx};
        bool is_host;
        if (!check_section(&c, &is_host)) fine = false;
        hosts += is_host;
    }
    if (hosts > 0) return fine ? SV_OK : SV_EINVAL;
    report(ctx, svi_config_section(config, 0)->file, 0,
           "no host is served: add VirtualHost \"example.org\"");
    return SV_EINVAL;
}

svi_limits svi_settings_limits(const svi_settings *settings)
{
    const svi_limit_settings *s = &settings->limits;
    svi_limits limits = svi_limits_default();
    limits.user.depth = (size_t)s->depth;
    limits.user.attrs = (size_t)s->attributes;
    limits.user.ns_decls = (size_t)s->namespaces;
    limits.user.stanza_bytes = limits.user.token_bytes = (size_t)s->stanza_bytes;
    limits.stranger.stanza_bytes = (size_t)s->stranger_stanza_bytes;
    limits.rate = (size_t)s->rate;
    limits.stranger_rate = (size_t)s->stranger_rate;
    limits.strangers = (unsigned)s->strangers;
    limits.strangers_per_address = (unsigned)s->strangers_per_address;
    limits.streams_per_address = (unsigned)s->streams_per_address;
    limits.connects_per_address = (unsigned)s->connects_per_address;
    limits.sessions_per_account = (unsigned)s->sessions_per_account;
    limits.auth_tries = (unsigned)s->login_tries;
    limits.login_us = s->login_ms * 1000;
    limits.header_us = limits.features_us = limits.bind_us = s->step_ms * 1000;
    limits.idle_us = s->idle_ms * 1000;
    limits.answer_us = s->answer_ms * 1000;
    limits.queue_hard_bytes = (size_t)s->queue_bytes;
    limits.queue_soft_bytes = (size_t)s->queue_bytes / 4;
    return limits;
}

bool svi_settings_logs_to_file(const svi_settings *settings)
{
    return memchr(settings->log_to.p ? settings->log_to.p : "", '/', settings->log_to.n) != NULL;
}

unsigned svi_settings_io_threads(const svi_settings *settings)
{
    if (settings->io_threads >= 0) return (unsigned)settings->io_threads;
    const unsigned cores = uv_available_parallelism();
    return cores > 2 ? cores - 1 : 1;
}
