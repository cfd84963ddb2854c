/* `stave run`: first start of a server to try, then the same server as `stave serve`. */
#include "main/main_run.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_offline.h"
#include "main/main_state.h"
#include "main/main_supervisor.h"
#include "net/net_tls.h"

#define PASSWORD_BYTES 8 /* random; twice as many letters */

static const char *const demo_names[] = {"romeo", "juliet"};
#define DEMO_COUNT (sizeof demo_names / sizeof *demo_names)

typedef struct folder {
    svi_acct acct;
    svi_arena *arena;
    const char *config, *cert, *key, *accounts; /* whole paths */
} folder;

/* --- configuration ------------------------------------------------------------------------------------ */

static const char config_head[] = "-- A server to try, made by `stave run`. Change it, then start "
                                  "again; `stave check --config` on this\n"
                                  "-- file tells what is wrong, `stave options` lists all words. "
                                  "Paths are meant from this folder.\n"
                                  "\n"
                                  "data_path = \"data\"\n"
                                  "\n";

static const char config_interfaces[] = "-- This machine only. { \"*\", \"::\" } is everybody: then get "
                                  "a certificate that clients trust.\n";

static const char config_tail[] = "c2s_ports = { 5222 }\n"
                                  "\n"
                                  "certificate = \"cert.pem\"\n"
                                  "key = \"key.pem\"\n"
                                  "\n"
                                  "modules_enabled = { \"roster\", \"presence\", \"message\", "
                                  "\"offline\", \"archive\", \"carbons\", \"csi\", \"blocking\", \"disco\", \"caps\", \"sm\", \"ping\",\n"
                                  "                    \"version\", \"time\", \"last\", \"private\" }\n"
                                  "\n"
                                  "log_level = \"info\"\n"
                                  "\n"
                                  "VirtualHost \"localhost\"\n";

static const char config_root[] = "-- Made by root, to try it: what speaks to the network stays root. A "
                                  "server for others gets a\n"
                                  "-- system user of its own here, who may enter this folder.\n"
                                  "user = \"root\"\n"
                                  "\n";

static bool has_ipv6_loopback(void)
{
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0) (void)close(fd);
    return has;
}

static sv_status make_config(folder *f, sv_err *err)
{
    if (access(f->config, F_OK) == 0) return SV_OK;
    svi_buf text;
    svi_buf_init(&text, &f->acct);
    svi_buf_put(&text, sv_str_of(config_head));
    if (geteuid() == 0) svi_buf_put(&text, sv_str_of(config_root));
    svi_buf_put(&text, sv_str_of(config_interfaces));
    svi_buf_put(&text, has_ipv6_loopback() ? SV_STR("c2s_interfaces = { \"127.0.0.1\", \"::1\" }\n")
                                           : SV_STR("c2s_interfaces = { \"127.0.0.1\" }\n"));
    svi_buf_put(&text, sv_str_of(config_tail));
    const sv_status status = svi_state_write(f->config, svi_buf_str(&text), 0644, err);
    svi_buf_free(&text);
    return status;
}

static sv_status make_certificate(const folder *f, sv_err *err)
{
    if (access(f->cert, F_OK) == 0 && access(f->key, F_OK) == 0) return SV_OK;
    return svi_tls_make_self_signed(SV_STR("localhost"), f->cert, f->key, err);
}

/* --- accounts ----------------------------------------------------------------------------------------- */

/* Adds the account, or, if an earlier first start was broken off, gives it the new password. */
static sv_status make_account(const svi_offline_config *offline, const char *address,
                              const char *password, sv_err *err)
{
    static const char *const commands[] = {"user add", "user passwd"};
    for (size_t i = 0; i < 2; i++) {
        json_t *answer = NULL;
        json_t *requests = json_pack("[{s:s, s:s, s:s}]", "command", commands[i], "address",
                                     address, "password", password);
        const sv_status status = svi_offline_run(offline, requests, &answer, err);
        json_decref(requests);
        if (status != SV_OK) return status;
        const bool done = json_is_true(json_object_get(answer, "ok"));
        if (!done)
            (void)svi_err(err, SV_EIO, "%s", json_string_value(json_object_get(answer, "error")));
        json_decref(answer);
        if (done) return SV_OK;
    }
    return SV_EIO;
}

static sv_status make_accounts(folder *f, const svi_offline_config *offline, sv_err *err)
{
    const svi_plat *plat = svi_plat_kernel();
    sv_status status = SV_OK;
    svi_buf file, password;
    svi_buf_init(&file, &f->acct);
    svi_buf_init(&password, &f->acct);
    svi_buf_put(&file, SV_STR("# address password\n"));
    for (size_t i = 0; i < DEMO_COUNT && status == SV_OK; i++) {
        char raw[PASSWORD_BYTES], address[64];
        plat->random(plat->ctx, raw, sizeof raw);
        svi_buf_clear(&password);
        svi_hex_put(&password, (sv_str){raw, sizeof raw});
        svi_buf_putc(&password, '\0');
        (void)snprintf(address, sizeof address, "%s@localhost", demo_names[i]);
        svi_buf_printf(&file, "%s %s\n", address, password.data);
        status = make_account(offline, address, password.data, err);
        OPENSSL_cleanse(raw, sizeof raw);
    }
    if (status == SV_OK) status = svi_state_write(f->accounts, svi_buf_str(&file), 0600, err);
    OPENSSL_cleanse(file.data, file.cap);
    if (password.data) OPENSSL_cleanse(password.data, password.cap);
    svi_buf_free(&file);
    svi_buf_free(&password);
    return status;
}

static sv_status make_state(folder *f, const svi_cli *cli, sv_err *err)
{
    if (access(f->accounts, F_OK) == 0) return SV_OK;
    svi_problems problems;
    svi_problems_init(&problems, &f->acct);
    svi_config *config = NULL;
    svi_settings settings;
    sv_status status = svi_config_load(&f->acct, f->config, svi_problems_note, &problems, &config);
    if (status == SV_OK)
        status = svi_settings_read(config, svi_config_section(config, 0), &settings,
                                   svi_problems_note, &problems);
    if (status == SV_OK) {
        const svi_offline_config offline = {
            .acct = &f->acct, .config = config, .settings = &settings, .program = cli->program};
        status = make_accounts(f, &offline, err);
    } else {
        const sv_str text = svi_buf_str(&problems.text);
        (void)svi_err(err, SV_EINVAL, "%.*s", text.n ? (int)text.n - 1 : 0, text.p);
    }
    svi_config_free(&config);
    svi_problems_free(&problems);
    return status;
}

/* In a process of its own, so that neither threads nor modules come into the supervisor's. */
static sv_status make_state_apart(folder *f, const svi_cli *cli, sv_err *err)
{
    int status = 0;
    const pid_t child = fork();
    if (child < 0) return svi_err(err, SV_EIO, "fork: %s", strerror(errno));
    if (child == 0) {
        const sv_status made = make_state(f, cli, err);
        if (made != SV_OK) (void)fprintf(stderr, "stave: %s\n", err->text);
        _exit(made == SV_OK ? SVI_EXIT_OK : SVI_EXIT_FAILED);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SVI_EXIT_OK) return SV_OK;
    return svi_err(err, SV_EIO, "%s: the accounts could not be made", f->accounts);
}

/* --- start -------------------------------------------------------------------------------------------- */

static sv_status make_folder(folder *f, const char *dir, sv_err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return svi_err(err, SV_EIO, "%s: %s", dir, strerror(errno));
    char *path = realpath(dir, NULL);
    if (!path) return svi_err(err, SV_EIO, "%s: %s", dir, strerror(errno));
    f->config = svi_arena_printf(f->arena, "%s/stave.cfg.lua", path).p;
    f->cert = svi_arena_printf(f->arena, "%s/cert.pem", path).p;
    f->key = svi_arena_printf(f->arena, "%s/key.pem", path).p;
    f->accounts = svi_arena_printf(f->arena, "%s/accounts.txt", path).p;
    free(path);
    return SV_OK;
}

static void on_ready(void *ctx)
{
    const folder *f = ctx;
    (void)printf("\n"
                 "  Stave serves localhost on this machine. To log in with any XMPP client:\n"
                 "\n"
                 "    address      romeo@localhost or juliet@localhost\n"
                 "    password     in %s\n"
                 "    server       127.0.0.1 or ::1, port as in %s (5222 at first), STARTTLS\n"
                 "    certificate  self-signed, %s: let the client trust it\n"
                 "\n"
                 "  Ctrl-C stops it.\n\n",
                 f->accounts, f->config, f->cert);
    (void)fflush(stdout);
}

static int serve(folder *f, const svi_cli *cli, const char *dir)
{
    sv_err err = {.text = ""};
    sv_status status = make_folder(f, dir, &err);
    if (status == SV_OK) status = make_config(f, &err);
    if (status == SV_OK) status = make_certificate(f, &err);
    if (status == SV_OK) status = make_state_apart(f, cli, &err);
    if (status != SV_OK) {
        (void)fprintf(stderr, "stave: %s\n", err.text);
        return SVI_EXIT_FAILED;
    }
    const svi_supervisor_config config = {
        .cli = cli, .config = f->config, .ready = on_ready, .ctx = f, .hangup_stops = true};
    return svi_supervise(&config);
}

int svi_run_main(const svi_cli *cli, const char *dir)
{
    folder f = {.acct = {.name = "run"}};
    f.arena = svi_arena_new(&f.acct, 1024);
    svi_log_setup(SV_WARN, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    const int status = serve(&f, cli, dir);
    svi_arena_free(&f.arena);
    return status;
}
