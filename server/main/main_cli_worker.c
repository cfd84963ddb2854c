/* The command line of a worker, which only its supervisor writes. */
#include "main/main_cli.h"

static sv_status take_number(svi_cli *cli, sv_str name, const char *value, sv_err *err)
{
    int64_t number;
    if (svi_str_int(sv_str_of(value), 0, 1 << 20, &number) != SV_OK)
        return svi_err(err, SV_EINVAL, "worker: '%s' is no descriptor", value);
    if (sv_str_eq(name, SV_STR("--control")))
        cli->control = (int)number;
    else if (sv_str_eq(name, SV_STR("--channel")))
        cli->channel = (int)number;
    else if (cli->socket_count == SVI_CLI_SOCKETS_MAX)
        return svi_err(err, SV_ELIMIT, "worker: too many listeners");
    else {
        cli->is_direct[cli->socket_count] = sv_str_eq(name, SV_STR("--listen-tls"));
        cli->sockets[cli->socket_count++] = (int)number;
    }
    return SV_OK;
}

static sv_status take_held(svi_cli *cli, const char *module, bool is_in_start, sv_err *err)
{
    if (cli->held_count == SVI_CLI_HELD_MAX)
        return svi_err(err, SV_ELIMIT, "worker: too many modules in quarantine");
    cli->held[cli->held_count++] = (svi_held){.module = module, .is_in_start = is_in_start};
    return SV_OK;
}

static sv_status take(svi_cli *cli, const char *name, const char *value, sv_err *err)
{
    const sv_str word = sv_str_of(name);
    if (!value) return svi_err(err, SV_EINVAL, "%s needs a value behind it", name);
    if (sv_str_eq(word, SV_STR("--config")))
        cli->config = value;
    else if (sv_str_eq(word, SV_STR("--log")))
        cli->log = value;
    else if (sv_str_eq(word, SV_STR("--crash")))
        cli->crash_file = value;
    else if (sv_str_eq(word, SV_STR("--upgraded-from")))
        cli->upgraded_from = value;
    else if (sv_str_eq(word, SV_STR("--upgrade-failed")))
        cli->upgrade_failed = value;
    else if (sv_str_eq(word, SV_STR("--hold")) || sv_str_eq(word, SV_STR("--hold-unstarted")))
        return take_held(cli, value, sv_str_eq(word, SV_STR("--hold-unstarted")), err);
    else if (sv_str_eq(word, SV_STR("--control")) || sv_str_eq(word, SV_STR("--channel")) ||
             sv_str_eq(word, SV_STR("--listen")) || sv_str_eq(word, SV_STR("--listen-tls")))
        return take_number(cli, word, value, err);
    else
        return svi_err(err, SV_EINVAL, "worker takes no option '%.60s'", name);
    return SV_OK;
}

sv_status svi_cli_worker(int argc, char *const *argv, svi_cli *cli_out, sv_err *err)
{
    *cli_out = (svi_cli){
        .program = argv[0], .config = SVI_DEFAULT_CONFIG, .control = -1, .channel = -1};
    sv_status status = SV_OK;
    for (int i = 2; i < argc && status == SV_OK; i += 2)
        status = take(cli_out, argv[i], i + 1 < argc ? argv[i + 1] : NULL, err);
    const bool is_whole = cli_out->crash_file && cli_out->log && cli_out->control >= 0 &&
                          cli_out->channel >= 0;
    if (status == SV_OK && !is_whole)
        return svi_err(err, SV_EINVAL, "worker is started by `stave serve` only");
    return status;
}
