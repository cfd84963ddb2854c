/* The core's own options, as one table: what `stave` itself reads from the config. */
#ifndef SVI_MAIN_SETTINGS_H
#define SVI_MAIN_SETTINGS_H

#include "mods/mods_config.h"
#include "xmpp/xmpp_server.h"

typedef struct svi_settings {
    sv_str      data_path;        /* state folder, made with mode 0700 */
    sv_str      control_socket;   /* unix socket; default DATA_PATH/control */
    sv_str_list modules_enabled;
    sv_str_list module_paths;
    sv_str_list admins;
    sv_str_list c2s_interfaces;   /* default { "127.0.0.1", "::1" } only by `stave run`; else "*", "::" */
    sv_str_list c2s_ports;        /* default { 5222 } */
    sv_str      certificate, key; /* PEM files; of a host, else the global ones */
    bool        c2s_require_encryption;
    int64_t     io_threads;       /* -1: cores - 1, at least 1 */
    int64_t     durability;       /* sync write none */
    int64_t     log_level, log_format;
    sv_str      user;             /* run the worker as */
} svi_settings;

/* The table behind it. */
const sv_option *svi_settings_options(void);

#endif
