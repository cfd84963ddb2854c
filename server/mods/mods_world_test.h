/* A world for tests of the loader: a server on a virtual clock with a simulated store, clients on
 * links in memory whose stream header says who they are, a config of text, modules from the build.
 */
#ifndef SVI_MODS_WORLD_TEST_H
#define SVI_MODS_WORLD_TEST_H

#include "base/base_log.h"
#include "mods/mods_command.h"
#include "mods/mods_loader.h"
#include "mods/mods_testing.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_event.h"

enum { WORLD_CLIENTS = 6 };

typedef struct client {
    svi_link *link; /* NULL: free */
    svi_buf in;
} client;

typedef struct world {
    svi_acct acct;
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_server *server;
    svi_link_pairs *pairs;
    svi_listener *listener;
    svi_config *config;
    svi_mods *mods;
    svi_engines *engines; /* NULL: there is no loop */
    uv_loop_t *loop; /* whose pool does the server's work; NULL: it is done within turns */
    char folder[TESTING_PATH], mods_path[TESTING_PATH], core_path[TESTING_PATH];
    const char *paths[3];
    size_t path_count;
    int64_t script_bytes; /* of a script's state; 0: as the server has it */
    svi_buf reports, log;
    svi_logins logins; /* of hosts that are added from now on */
    int64_t script_cpu_us; /* 0: as the server has it */
    client clients[WORLD_CLIENTS];
} world;

/* --- streams without negotiation --------------------------------------------------- */

static inline void s_open(void *ctx, svi_conn *conn, const svi_conn_info *info)
{
    (void)ctx;
    (void)conn;
    (void)info;
}

static inline void s_tls(void *ctx, svi_conn *conn, const svi_tls_info *info)
{
    (void)ctx;
    (void)conn;
    (void)info;
}

static inline void s_header(void *ctx, svi_conn *conn, sv_stanza *take)
{
    svi_arena *arena = svi_arena_new(svi_server_acct(ctx), 0);
    const sv_str from = svi_node_attr(svi_stanza_root(take), SV_STR("from"));
    sv_jid jid;
    assert_int_equal(svi_jid_parse(arena, from, &jid), SV_OK);
    svi_host *host = svi_host_find(ctx, jid.domain);
    assert_non_null(host);
    sv_session *session = NULL;
    assert_int_equal(svi_session_bind(host, jid.node, jid.resource, conn, &session), SV_OK);
    svi_conn_set_ctx(conn, session);
    svi_arena_free(&arena);
    svi_stanza_unref(&take);
}

static inline void s_stanza(void *ctx, svi_conn *conn, sv_stanza *take, size_t cost_bytes)
{
    (void)ctx;
    svi_inbound(svi_conn_ctx(conn), take, cost_bytes);
}

static inline void s_end(void *ctx, svi_conn *conn)
{
    (void)ctx;
    svi_conn_close(conn, SV_STR("</stream:stream>"), 1000);
}

static inline void s_fault(void *ctx, svi_conn *conn, svi_xml_fault fault, const char *text)
{
    (void)ctx;
    (void)conn;
    fail_msg("fault %d: %s", (int)fault, text);
}

static inline void s_sent(void *ctx, svi_conn *conn, uint64_t token, bool written,
                          const sv_stanza *stanza)
{
    (void)ctx;
    svi_session_sent(svi_conn_ctx(conn), token, written, stanza);
}

static inline void s_drained(void *ctx, svi_conn *conn)
{
    (void)ctx;
    (void)conn;
}

static inline void s_closed(void *ctx, svi_conn *conn, svi_closed_why why)
{
    (void)ctx;
    (void)why;
    sv_session *session = svi_conn_ctx(conn);
    svi_session_end(&session, "closed");
}

/* In place of the real streams. */
static inline const svi_net_calls *s_calls(void)
{
    static const svi_net_calls calls = {.open = s_open,
                                        .tls = s_tls,
                                        .header = s_header,
                                        .stanza = s_stanza,
                                        .end = s_end,
                                        .fault = s_fault,
                                        .sent = s_sent,
                                        .drained = s_drained,
                                        .closed = s_closed};
    return &calls;
}

/* --- time -------------------------------------------------------------------------- */

static inline void turn(world *w)
{
    for (int quiet = 0, rounds = 0; quiet < 4; rounds++) {
        assert_in_range(rounds, 0, 1000);
        svi_store_hurry(svi_server_store(w->server));
        const size_t told = svi_link_pairs_run(w->pairs);
        const bool more = svi_server_turn(w->server);
        quiet = told > 0 || more ? 0 : quiet + 1;
    }
}

static inline void pass_time(world *w, int64_t us)
{
    svi_plat_virtual_advance(&w->plat, us);
    turn(w);
}

/* --- clients ----------------------------------------------------------------------- */

static inline void c_ready(void *ctx, bool readable, bool writable)
{
    client *c = ctx;
    (void)writable;
    while (readable) {
        char *to = svi_buf_space(&c->in, 4096);
        const ssize_t n = c->link->ops->read(c->link, to, 4096);
        if (n == 0) c->link->ops->want(c->link, false, false); /* the server has closed it */
        if (n <= 0) return;
        c->in.len += (size_t)n;
    }
}

static inline void say(world *w, client *c, const char *text)
{
    svi_buf_clear(&c->in);
    const ssize_t n = c->link->ops->write(c->link, text, strlen(text));
    assert_int_equal(n, strlen(text));
    turn(w);
}

static inline client *join(world *w, const char *jid)
{
    client *c = w->clients;
    while (c->link != NULL) c++;
    assert_true(c < w->clients + WORLD_CLIENTS);
    svi_buf_init(&c->in, &w->acct);
    svi_link *other;
    svi_link_pair(w->pairs, 1u << 20, &c->link, &other);
    c->link->ready = c_ready;
    c->link->ctx = c;
    c->link->ops->want(c->link, true, false);
    svi_net_attach(svi_server_net(w->server), w->listener, other, "memory");
    char header[512];
    snprintf(header, sizeof header,
             "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
             "version='1.0' from='%s'>",
             jid);
    say(w, c, header);
    return c;
}

static inline void part(world *w, client *c)
{
    c->link->ops->close(c->link);
    c->link = NULL;
    svi_buf_free(&c->in);
    turn(w);
}

static inline bool has(const svi_buf *buf, const char *part_of)
{
    return buf->len > 0 && memmem(buf->data, buf->len, part_of, strlen(part_of)) != NULL;
}

static inline void assert_has(const svi_buf *buf, const char *part_of)
{
    if (!has(buf, part_of))
        fail_msg("\"%.*s\" does not hold \"%s\"", (int)buf->len, buf->len > 0 ? buf->data : "",
                 part_of);
}

static inline void assert_has_not(const svi_buf *buf, const char *part_of)
{
    if (has(buf, part_of)) fail_msg("\"%.*s\" holds \"%s\"", (int)buf->len, buf->data, part_of);
}

/* --- making ------------------------------------------------------------------------ */

static inline void w_report(void *ctx, const char *file, int line, const char *text)
{
    world *w = ctx;
    const char *name = file != NULL ? strrchr(file, '/') : NULL;
    svi_buf_printf(&w->reports, "%s:%d: %s\n", name != NULL ? name + 1 : "?", line, text);
}

static inline void w_log(void *ctx, sv_level level, sv_str line)
{
    (void)level;
    svi_buf_put(&((world *)ctx)->log, line);
}

static inline int64_t w_wall(void *ctx)
{
    const world *w = ctx;
    return w->plat.plat.wall_us(w->plat.plat.ctx);
}

static inline void write_config(world *w, const char *text)
{
    char path[TESTING_PATH + 16];
    snprintf(path, sizeof path, "%s/test.cfg.lua", w->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    svi_config_free(&w->config);
    const sv_status status = svi_config_load(&w->acct, path, w_report, w, &w->config);
    assert_int_equal(remove(path), 0);
    if (status != SV_OK) fail_msg("config: %.*s", (int)w->reports.len, w->reports.data);
}

static inline void add_host(world *w, const char *domain)
{
    static const sv_str admins[] = {SV_STR_INIT("admin@one.example")};
    const svi_host_config config = {
        .domain = sv_str_of(domain), .admins = admins, .admin_count = 1, .logins = w->logins};
    svi_host *host;
    sv_err err = {.text = ""};
    if (svi_host_add(w->server, &config, &host, &err) != SV_OK) fail_msg("%s", err.text);
}

/* What is asked of a world; zeroes: as usual. */
typedef struct world_wish {
    uint32_t sample_every; /* one turn in so many is timed */
    int64_t later_us;      /* deadline of an event that waits */
    uv_loop_t *loop;       /* the test runs it */
} world_wish;

static inline world *world_new_as(const world_wish *wish)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->acct.name = "test";
    svi_plat_virtual_init(&w->plat, 7);
    svi_buf_init(&w->reports, &w->acct);
    svi_buf_init(&w->log, &w->acct);
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, w_log, w, w_wall, w);
    w->disk = svi_sim_disk_new(&w->acct);
    w->engine = svi_engine_sim(&w->acct, w->disk);
    svi_limits limits = svi_limits_default();
    limits.rate = 0; /* no time passes here by itself */
    const svi_server_config config = {.acct = &w->acct,
                                      .plat = &w->plat.plat,
                                      .engine = w->engine,
                                      .limits = limits,
                                      .calls = s_calls(),
                                      .sample_every = wish->sample_every,
                                      .later_us = wish->later_us,
                                      .loop = wish->loop,
                                      .salt_secret = SV_STR("salt"),
                                      .ctx = w};
    w->loop = wish->loop;
    sv_err err = {.text = ""};
    if (svi_server_new(&config, &w->server, &err) != SV_OK) fail_msg("%s", err.text);
    w->pairs = svi_link_pairs_new(&w->acct);
    const svi_listen_config listen = {.fd = -1, .limits = svi_xml_limits_user()};
    if (svi_net_listen(svi_server_net(w->server), &listen, &w->listener, &err) != SV_OK)
        fail_msg("%s", err.text);
    add_host(w, "one.example");
    snprintf(w->folder, sizeof w->folder, "%s/stave-mods-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(w->folder));
    testing_path("tests/mods", w->mods_path);
    testing_path("modules", w->core_path);
    w->paths[0] = w->mods_path;
    w->paths[1] = w->core_path;
    w->path_count = 2;
    return w;
}

static inline world *world_new_sampled(uint32_t every)
{
    return world_new_as(&(world_wish){.sample_every = every});
}

static inline world *world_new(void)
{
    return world_new_sampled(0);
}

static inline void make_mods(world *w, const char *config)
{
    write_config(w, config);
    w->mods = svi_mods_new(&w->acct, &(svi_mods_config){.server = w->server,
                                                        .config = w->config,
                                                        .engines = w->engines,
                                                        .script_cpu_us = w->script_cpu_us,
                                                        .paths = w->paths,
                                                        .path_count = w->path_count,
                                                        .script_bytes = w->script_bytes,
                                                        .report = w_report,
                                                        .report_ctx = w});
}

/* Starts what the config says; it must work. */
static inline void start(world *w, const char *config)
{
    make_mods(w, config);
    if (svi_mods_start(w->mods) != SV_OK)
        fail_msg("does not start: %.*s", (int)w->reports.len, w->reports.data);
}

/* How many allocations an attempt to start these modules on line 2 of the config leaves behind. */
static inline int64_t failed_start(world *w, const char *modules)
{
    char config[1024];
    snprintf(config, sizeof config, "VirtualHost \"one.example\"\nmodules_enabled = { %s }\n",
             modules);
    svi_buf_clear(&w->reports);
    make_mods(w, config);
    const int64_t before = atomic_load(&w->acct.live_count);
    assert_int_not_equal(svi_mods_start(w->mods), SV_OK);
    const int64_t left = atomic_load(&w->acct.live_count) - before;
    svi_mod_info info;
    assert_false(svi_mods_info(w->mods, 0, &info));
    svi_mods_free(&w->mods);
    return left;
}

/* What a host with these modules makes the loader say; nothing may run or stay behind. The first
 * attempt may declare names and make maps, which stay. */
static inline void assert_start_fails(world *w, const char *modules, const char *why)
{
    (void)failed_start(w, modules);
    const int64_t left = failed_start(w, modules);
    assert_has(&w->reports, why);
    if (left > 1)
        fail_msg("%s leaves %ld allocations", modules, (long)left); /* one may be the log */
}

/* --- commands ---------------------------------------------------------------------- */

/* What came of a command: the last answer, also as JSON text. */
typedef struct command_answer {
    int count;
    char text[80000];
    json_t *json;
} command_answer;

static inline const sv_command *command_of(world *w, const char *name)
{
    const char *module;
    const sv_command *c;
    for (size_t i = 0; (c = svi_mods_command(w->mods, i, &module)) != NULL; i++)
        if (strcmp(c->name, name) == 0) return c;
    fail_msg("there is no command %s", name);
    return NULL;
}

static inline void command_came(void *ctx, json_t *take)
{
    command_answer *a = ctx;
    a->count++;
    char *text = json_dumps(take, JSON_COMPACT);
    snprintf(a->text, sizeof a->text, "%s", text);
    free(text);
    json_decref(a->json);
    a->json = take;
}

static inline void command_run(void *ctx, svi_request *request)
{
    svi_mods_run(((world *)ctx)->mods, request);
}

/* Begins the request; `members` are those of its JSON, with ' for ". */
static inline void begin_command(world *w, const char *name, const char *members, command_answer *to)
{
    char text[9000];
    const int n = snprintf(text, sizeof text, "{%s}", members);
    assert_in_range(n, 2, sizeof text - 1);
    for (char *at = text; *at; at++)
        if (*at == '\'') *at = '"';
    json_t *request = json_loads(text, 0, NULL);
    if (!request) fail_msg("no JSON: %s", text);
    svi_request_run(w->server, command_of(w, name), request, command_run, w, command_came, to);
    json_decref(request);
}

/* Runs a module's command to its end; the text of its answer is good until the next. */
static inline const char *run_command(world *w, const char *name, const char *members)
{
    static command_answer a;
    a = (command_answer){.count = 0};
    begin_command(w, name, members, &a);
    turn(w);
    assert_int_equal(a.count, 1);
    json_decref(a.json);
    a.json = NULL;
    return a.text;
}

/* --- reloading --------------------------------------------------------------------- */

/* The config is gone when this returns: nothing that runs may need it. */
static inline sv_status reload(world *w, const char *text)
{
    svi_buf_clear(&w->reports);
    svi_buf_free(&w->log);
    write_config(w, text);
    const svi_mods_config config = {.server = w->server,
                                    .config = w->config,
                                    .engines = w->engines,
                                    .paths = w->paths,
                                    .path_count = w->path_count,
                                    .script_bytes = w->script_bytes,
                                    .script_cpu_us = w->script_cpu_us,
                                    .before = w->mods,
                                    .report = w_report,
                                    .report_ctx = w};
    svi_mods *next = svi_mods_new(&w->acct, &config);
    sv_status status = svi_mods_check(next);
    if (status == SV_OK) status = svi_mods_ready(next);
    if (status == SV_OK)
        svi_mods_replace(&w->mods, &next);
    else
        svi_mods_free(&next);
    assert_null(next);
    svi_config_free(&w->config);
    return status;
}

static inline void reloaded(world *w, const char *text)
{
    if (reload(w, text) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
}

static inline size_t count_of(const svi_buf *buf, const char *part_of)
{
    size_t count = 0;
    const char *at = buf->data, *end = buf->data + buf->len;
    while (at && (at = memmem(at, (size_t)(end - at), part_of, strlen(part_of))) != NULL) {
        at += strlen(part_of);
        count++;
    }
    return count;
}

static inline int64_t live(const world *w)
{
    return atomic_load(&w->acct.live_bytes);
}

/* --- the end ----------------------------------------------------------------------- */

static inline void world_free(world *w)
{
    svi_mods_free(&w->mods);
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        if (w->clients[i].link != NULL) part(w, &w->clients[i]);
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_net_unlisten(svi_server_net(w->server), &w->listener);
    assert_true(svi_server_balances(w->server)); /* also where no ledger is strict */
    svi_server_free(&w->server, w->loop != NULL ? 0 : 1000);
    if (w->loop != NULL) (void)uv_run(w->loop, UV_RUN_DEFAULT); /* what is in the pool ends behind the server */
    svi_link_pairs_free(&w->pairs);
    svi_config_free(&w->config);
    svi_sim_disk_free(&w->disk);
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    svi_buf_free(&w->reports);
    svi_buf_free(&w->log);
    assert_int_equal(rmdir(w->folder), 0);
    assert_int_equal(atomic_load(&w->acct.live_count), 0);
    free(w);
}

#endif
