/* The core's own options, as one table: what `stave` itself reads from the config. */
#ifndef SVI_MAIN_SETTINGS_H
#define SVI_MAIN_SETTINGS_H

#include "mods/mods_config.h"
#include "xmpp/xmpp_server.h"

#define SVI_PAIRS_MAX 5u /* certificates of a host: one of each kind there is */

/* Relative paths in the config are meant from the folder of the config file; here they are whole.
 */
typedef struct svi_limit_settings {
    int64_t stanza_bytes, stranger_stanza_bytes, depth, attributes, namespaces;
    int64_t rate, stranger_rate;
    int64_t strangers, strangers_per_address, streams_per_address, connects_per_address,
        sessions_per_account;
    int64_t login_tries;
    int64_t login_ms, step_ms, idle_ms, answer_ms;
    int64_t queue_bytes;
} svi_limit_settings;

typedef struct svi_settings {
    sv_str store_engine;   /* module that keeps the store; empty: the server's own engine */
    sv_str data_path;      /* state folder, made with mode 0700 */
    sv_str control_socket; /* unix socket; default DATA_PATH/control */
    sv_str_list modules_enabled;
    sv_str_list module_paths; /* whole; the last one, unless it is among them, is "modules" beside the config file */
    sv_str_list modules_essential;
    sv_str_list admins;
    sv_str_list c2s_interfaces; /* IPv4 and IPv6 addresses, "*" and "::" for all */
    sv_str_list c2s_ports;      /* default { 5222 }; {} is none */
    sv_str_list c2s_direct_tls_ports; /* default none */
    sv_str_list c2s_unix_sockets; /* whole paths; default none */
    sv_str_list c2s_proxies;      /* default none */
    const svi_subnet *proxies;   /* c2s_proxies, read */
    size_t proxy_count;
    sv_str_list certificate, key; /* PEM files, the n-th key that of the n-th certificate; of a host, else
                                     the global ones */
    int64_t certificate_check_ms;
    int64_t certificate_warn_days; /* 0: never */
    sv_str c2s_client_ca;       /* PEM file; empty: clients are asked for no certificate */
    int64_t authentication;     /* svi_logins */
    int64_t c2s_guests_max;     /* at once, of the host */
    bool login_addresses;
    bool c2s_require_encryption;
    int64_t io_threads;            /* -1: cores - 1, at least 1 */
    int64_t durability;            /* sync write none */
    int64_t store_size_max, store_disk_reserve; /* bytes; of the server's own engine */
    int64_t log_level, log_format; /* sv_level; svi_log_format */
    sv_str log_to;                 /* "stdout", "syslog", "journald" or a file's path */
    int64_t explain_bytes;         /* kept of recent stanzas' ways; 0: nothing */
    int64_t backup_rate;           /* rows in bytes a second; 0: no bound */
    int64_t lua_memory_max;        /* bytes of a script's state */
    int64_t lua_handler_max_ms;    /* processor time of a script's function between two waits */
    sv_str user;                   /* run the worker as */
    sv_str component_module;       /* of a Component section */
    svi_limit_settings limits;     /* of clients; svi_settings_limits */
} svi_settings;

/* The table behind it; ends with .name NULL, stride sizeof(sv_option). */
const sv_option *svi_settings_options(void);

/* True if a host may have a value of its own for this option of the table; the others are the process's. */
bool svi_settings_is_of_host(const char *name);

/* Fills `settings_out` from a section and checks what the table can't say: addresses, networks, ports,
 * JIDs, whole paths. Texts live as long as the config. Every problem is reported; SV_EINVAL if there were
 * any: then only the paths are good that are not empty. */
sv_status svi_settings_read(const svi_config *config, const svi_section *section,
                            svi_settings *settings_out, svi_config_report report, void *ctx);

/* Reads every section with svi_settings_read and checks them together: at least one host, each with
 * a certificate it can use. SV_EINVAL if anything was reported. */
sv_status svi_settings_check(const svi_config *config, svi_config_report report, void *ctx);

/* The limits of clients that the settings give, the others as in svi_limits_default. */
svi_limits svi_settings_limits(const svi_settings *settings);

/* True if log_to is a file. */
bool svi_settings_logs_to_file(const svi_settings *settings);

/* Threads that `io_threads` asks for on this machine. */
unsigned svi_settings_io_threads(const svi_settings *settings);

/* Problems gathered as lines "FILE:LINE: text\n" (without ":LINE" if it is 0), each once. */
typedef struct svi_problems {
    svi_buf text;
    size_t count;
} svi_problems;

/* Starts and ends a gathering. */
void svi_problems_init(svi_problems *problems, svi_acct *acct);
void svi_problems_free(svi_problems *problems);

/* An svi_config_report whose ctx is an svi_problems. */
void svi_problems_note(void *problems, const char *file, int line, const char *text);

#endif
