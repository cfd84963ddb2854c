/* The loader on a real server: from modules_enabled to running modules and back to nothing. */
#include <dlfcn.h>
#include <sys/wait.h>

#include "mods/mods_world_test.h"

#define ONE "VirtualHost \"one.example\"\nmodules_enabled = { "
#define ASK_MISC "<iq type='get' id='1' to='one.example'><misc xmlns='urn:stave:probe'/></iq>"

static void a_module_starts_answers_and_ends(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"probe\" }\n");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_string_equal(info.name, "probe");
    assert_string_equal(info.host, "one.example");
    assert_string_equal(info.summary, "Uses the whole table");
    assert_string_equal(info.state, "running");
    assert_true(info.live_bytes > 0 && info.calls == 1); /* of host/ready */
    assert_false(svi_mods_info(w->mods, 1, &info));

    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "limit='5'");
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_int_equal(info.calls, 2);
    assert_int_equal(info.done, 1);
    svi_mods_free(&w->mods);
    assert_has(&w->log, "probe-save");
    assert_has(&w->log, "probe-stop");
    say(w, c, ASK_MISC); /* the hooks are gone */
    assert_has(&c->in, "service-unavailable");
    world_free(w);
}

static void options_reach_self(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, "probe_limit = 3\nprobe_words = { \"x\", \"y\" }\n" ONE "\"probe\" }\n"
             "probe_greeting = \"good day\"\nprobe_loud = true\n");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "limit='3'");
    assert_has(&c->in, "greeting='good day'");
    assert_has(&c->in, "loud='yes'");
    assert_has(&c->in, "<word>x</word><word>y</word>");
    const sv_option *options;
    size_t stride;
    assert_true(svi_mods_options(w->mods, 0, &options, &stride));
    assert_string_equal(options->name, "probe_limit");
    assert_int_equal(stride, sizeof(sv_option));
    assert_false(svi_mods_options(w->mods, 1, &options, &stride));
    world_free(w);
}

static void hosts_have_their_own(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    start(w, ONE "\"probe\" }\nprobe_limit = 1\n"
                 "VirtualHost \"two.example\"\nmodules_enabled = { \"ping\", \"probe\" "
                 "}\nprobe_limit = 2\n");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "limit='1'");
    client *d = join(w, "juliet@two.example/b");
    say(w, d, "<iq type='get' id='1' to='two.example'><misc xmlns='urn:stave:probe'/></iq>");
    assert_has(&d->in, "limit='2'");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 2, &info)); /* config order within a host */
    assert_string_equal(info.name, "probe");
    assert_string_equal(info.host, "two.example");
    assert_int_equal(info.calls, 2);
    world_free(w);
}

/* All that is shipped loads, starts together and works on the real table. */
static void the_shipped_modules_load(void **state)
{
    (void)state;
    static const char *const names[] = {"\"roster\"",  "\"roster\", \"presence\"",
                                        "\"message\"", "\"message\", \"offline\"",
                                        "\"disco\"",   "\"disco\", \"caps\"",
                                        "\"ping\""}; /* each with what it needs */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char config[256];
        snprintf(config, sizeof config, ONE "%s }\n", names[i]);
        world *w = world_new();
        start(w, config);
        world_free(w);
    }
    world *w = world_new();
    start(w, ONE "\"presence\", \"roster\", \"message\", \"offline\", \"caps\", \"disco\", \"ping\" }\n");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<iq type='get' id='p' to='one.example'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_has(&c->in, "type='result'");
    say(w, c,
        "<iq type='get' id='d' to='one.example'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    assert_has(&c->in, "<feature var='urn:xmpp:ping'/>");
    assert_has(&c->in, "<feature var='msgoffline'/>");
    say(w, c, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    assert_has(&c->in, "id='r'");
    assert_has(&c->in, "jabber:iq:roster");
    say(w, c, "<presence/>");
    assert_has(&c->in, "<presence");
    world_free(w);
}

/* What a newer release has more in its declarations does not disturb. */
static void longer_declarations(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"wide\" }\nwide_two = 7\n");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<iq type='get' id='1' to='one.example'><one xmlns='urn:stave:wide'/></iq>");
    assert_has(&c->in, "<number xmlns='urn:stave:wide' is='1'/>");
    say(w, c, "<iq type='get' id='2' to='one.example'><two xmlns='urn:stave:wide'/></iq>");
    assert_has(&c->in, "<number xmlns='urn:stave:wide' is='7'/>");
    world_free(w);
}

static void copy_file(const char *from, const char *to)
{
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    char bytes[65536];
    for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

/* --- refusals --------------------------------------------------------------------------------------------- */

static void what_is_wrong_with_a_module_is_said(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"probe\", \"bad_abi\"",
         "cfg.lua:2: module \"bad_abi\": it is made for module interface 9.0, "
         "this server has 0.1: build it again"},
        {"\"bad_minor\"",
         "made for module interface 0.99, this server has 0.1: upgrade the server"},
        {"\"bad_needs\"",
         "module \"bad_needs\": it needs version 99 of the group \"store\", this server (module interface 0.1) has version 1: "
         "upgrade the server, or take the module's release for 0.1"},
        {"\"bad_group\"",
         "it needs the group \"comands\", this server (module interface 0.1) has none (did you mean \"commands\"?): "
         "upgrade the server, or take the module's release for 0.1"},
        {"\"bad_sizes\"", "impossible sizes (16, 1, 3)"},
        {"\"bad_refuses\"", "it refuses module interface 0.1"},
        {"\"bad_name\"", "it calls itself \"other\""},
        {"\"bad_exports\"", "it exports helper_that_clashes"},
        {"\"bad_constructor\"", "it has a constructor"},
        {"\"bad_thread\"", "it calls pthread_create"},
        {"\"bad_tls\"", "thread-local"},
        {"\"bad_point\"",
         "hook \"mesage/account\": there is no hook point \"mesage/account\"; did you "
         "mean \"message/account\"?"},
        {"\"bad_budget\"", "option \"bad_budget_memory_max\": the server has an option of that name"},
        {"\"bad_option\"", "module \"bad_option\": its option \"bad_option_number\" lies outside of `self` (0 bytes)"},
        {"\"bad_flag\"", "hook \"message/account\" has flags that this server (module interface 0.1) does not know (0x80000000): "
                         "use SV_HOOK_..., or upgrade the server"},
        {"\"bad_guard\"", "hook \"session/gone\": nothing can be refused there"},
        {"\"bad_filter\"", "after the point comes nothing or {namespace}element"},
        {"\"bad_features\"", "stream features are not XML elements with namespaces of their own"},
        {"\"probe\", \"pnig\"", "cfg.lua:2: there is no module \"pnig\"; did you mean \"ping\"?"},
        {"\"far_from_all\"", "there is no module \"far_from_all\" (looked for far_from_all.so and far_from_all.lua in"},
        {"\"../ping\"", "\"../ping\" is no name of a module"},
        {"\"\"", "is no name of a module"},
        {"\"ping\", \"probe\", \"ping\"", "module \"ping\" is listed twice"},
        {"\"ping\", 7", "names of modules as strings"},
        {"\"needs\"", "module \"needs\" needs module \"probe\": add it to modules_enabled"},
        {"\"loop_a\", \"ping\", \"loop_b\"",
         "modules wait for each other: loop_a after loop_b, loop_b after loop_a"},
        {"\"ring_d\", \"ring_a\", \"ring_b\", \"ring_c\", \"ping\"",
         "modules wait for each other: ring_a after ring_b, ring_b after ring_c, ring_c after ring_a\n"},
        {"\"ring_d\", \"ring_c\", \"ring_b\", \"ring_a\"",
         "modules wait for each other: ring_c after ring_a, ring_a after ring_b, ring_b after ring_c\n"},
        {"\"needs_start_too\", \"bad_start\", \"needs_start\", \"ping\"",
         "module \"bad_start\" does not start: denied: it does not like this host; nor do those that need it: needs_start, needs_start_too\n"},
        {"\"needs_tls\", \"bad_tls\"",
         "module \"needs_tls\" is not started: it needs module \"bad_tls\", which can't be loaded\n"},
        {"\"probe\", \"bad_start\"", "cfg.lua:2: module \"bad_start\" does not start: denied: it does not like this host"},
    };
    world *w = world_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_start_fails(w, cases[i][0], cases[i][1]);
    assert_has(&w->log, "probe-stop"); /* it had started before bad_start */
    assert_has_not(&w->log, "probe-save");
    assert_has_not(&w->log, "bad-start-stop"); /* it never had */

    client *c = join(w, "romeo@one.example/a"); /* nothing half changed */
    say(w, c, ASK_MISC);
    assert_has(&c->in, "service-unavailable");
    pass_time(w, 60000000); /* no timer is left */
    world_free(w);
}

static void every_fault_is_reported(void **state)
{
    (void)state;
    world *w = world_new();
    assert_start_fails(w, "\"bad_abi\", \"pnig\", \"bad_tls\"", "bad_abi");
    assert_has(&w->reports, "pnig");
    assert_has(&w->reports, "bad_tls");
    svi_buf_clear(&w->reports);
    make_mods(w, ONE "\"probe\" }\nprobe_limit = 11\n");
    assert_int_not_equal(svi_mods_start(w->mods), SV_OK);
    assert_has(&w->reports, "test.cfg.lua:3:");
    assert_has(&w->reports, "probe_limit");
    svi_mods_free(&w->mods);
    svi_buf_clear(&w->reports);
    make_mods(w, "VirtualHost \"elsewhere.example\"\nmodules_enabled = { \"probe\" }\n");
    assert_int_not_equal(svi_mods_start(w->mods), SV_OK);
    assert_has(&w->reports, "host \"elsewhere.example\" is not served");
    world_free(w);
}

/* All hosts or none: what started on the first is stopped when the second can't. */
static void all_hosts_or_none(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    make_mods(w, ONE "\"probe\" }\nVirtualHost \"two.example\"\nmodules_enabled = { \"probe\", "
                     "\"bad_start\" }\n");
    assert_int_equal(svi_mods_start(w->mods), SV_EDENIED);
    assert_has(&w->reports, "test.cfg.lua:4: module \"bad_start\"");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "service-unavailable");
    const char *first = memmem(w->log.data, w->log.len, "probe-stop", 10);
    assert_non_null(first);
    const size_t rest = w->log.len - (size_t)(first + 1 - w->log.data);
    assert_non_null(memmem(first + 1, rest, "probe-stop", 10));
    world_free(w);
}

static void unreadable_files_are_named(void **state)
{
    (void)state;
    world *w = world_new();
    char path[TESTING_PATH + 16];
    snprintf(path, sizeof path, "%s/ping.so", w->folder);
    w->paths[0] = w->folder;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_start_fails(w, "\"ping\"", "ping.so can't be read");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("ping.so", path), 0); /* to itself */
    assert_start_fails(w, "\"ping\"", "ping.so can't be opened");
    assert_int_equal(remove(path), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("no module at all", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_start_fails(w, "\"ping\"", "module \"ping\": it is no shared object");
    assert_int_equal(remove(path), 0);
    world_free(w);
}

/* Opens the private copy of the module once more, so that the dynamic loader keeps its code and path. */
static void *open_again(const char *name)
{
    for (int fd = 0; fd < 256; fd++) {
        char path[64], target[256];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        const ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0) continue;
        target[n] = '\0';
        if (strstr(target, name) != NULL) return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return NULL;
}

/* Replacing or overwriting the file while the code runs touches nobody; the next loader sees the new one. */
static void files_may_change_underneath(void **state)
{
    (void)state;
    world *w = world_new();
    char from[TESTING_PATH + 16], to[TESTING_PATH + 16];
    snprintf(from, sizeof from, "%s/probe.so", w->mods_path);
    snprintf(to, sizeof to, "%s/probe.so", w->folder);
    copy_file(from, to);
    w->paths[0] = w->folder;
    start(w, ONE "\"probe\" }\n");
    snprintf(from, sizeof from, "%s/bad_name.so", w->mods_path);
    copy_file(from, to); /* in place */
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "limit='5'");
    void *again = open_again("memfd:probe");
    assert_non_null(again);
    svi_mods_free(&w->mods); /* the code stays, its descriptor's number may be used again */
    assert_start_fails(w, "\"probe\"", "it calls itself \"other\"");
    assert_int_equal(dlclose(again), 0);
    assert_int_equal(remove(to), 0);
    world_free(w);
}

static void order_of_starting(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"needs\", \"ping\", \"probe\" }\n");
    const char *log = memmem(w->log.data, w->log.len, "module-loaded", 13);
    assert_non_null(log);
    svi_buf_putc(&w->log, '\0');
    const char *ping = strstr(w->log.data, "module=ping"),
               *probe = strstr(w->log.data, "module=probe");
    const char *needs = strstr(w->log.data, "needs-start");
    assert_true(ping != NULL && probe != NULL && needs != NULL);
    assert_true(ping < probe && probe < needs); /* `after`, else the order of the config */
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_string_equal(info.name, "needs"); /* hooks and features keep the order of the config */
    assert_string_equal(info.needs, "probe");
    assert_true(svi_mods_info(w->mods, 1, &info));
    assert_string_equal(info.needs, "");
    world_free(w);
}

/* A wish decides the order if it can be had, and hinders nobody if not. */
static void wishes_are_no_needs(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"wishes\", \"needs\", \"probe\" }\n");
    svi_buf_putc(&w->log, '\0');
    const char *needs = strstr(w->log.data, "needs-start"), *wishes = strstr(w->log.data, "wishes-start");
    assert_true(needs != NULL && wishes != NULL && needs < wishes);
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_string_equal(info.needs, "?needs ?none");
    svi_mods_free(&w->mods);
    svi_buf_clear(&w->log);
    start(w, ONE "\"wishes\" }\n");
    assert_has(&w->log, "wishes-start");
    world_free(w);
}

/* A module that others need stays where it is. */
static void what_is_needed_is_not_taken_away(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"needs\", \"probe\", \"wishes\" }\n");
    client *c = join(w, "romeo@one.example/a");
    assert_int_equal(reload(w, ONE "\"needs\", \"wishes\" }\n"), SV_EINVAL);
    assert_has(&w->reports, "cfg.lua:2: module \"probe\" can't be taken away: module \"needs\" needs it; take "
                            "that away, too, or leave it in modules_enabled\n");
    assert_has_not(&w->log, "probe-stop");
    say(w, c, ASK_MISC); /* all go on */
    assert_has(&c->in, "limit='5'");
    reloaded(w, ONE "\"probe\", \"wishes\" }\n"); /* a wish holds nobody */
    reloaded(w, ONE "\"wishes\" }\n");
    world_free(w);
}

static void checking_starts_nothing(void **state)
{
    (void)state;
    world *w = world_new();
    make_mods(w, ONE "\"needs\", \"probe\" }\n");
    assert_int_equal(svi_mods_check(w->mods), SV_OK);
    assert_has_not(&w->log, "needs-start");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_string_equal(info.state, "checked");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "service-unavailable");
    svi_mods_free(&w->mods);
    assert_has_not(&w->log, "probe-stop");
    make_mods(w, ONE "\"bad_point\" }\n");
    assert_int_equal(svi_mods_check(w->mods), SV_EINVAL);
    world_free(w);
}

/* --- faults at run time -------------------------------------------------------------------------------------- */

/* A handler that says DONE and disposes of nothing: logged with module and hook, and made good. */
static void a_leak_is_blamed(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"leak\" }\n");
    svi_ledger *ledger = svi_server_ledger(w->server);
    svi_ledger_set_strict(ledger, false);
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<message id='m' to='one.example'/>");
    assert_has(&w->log, "handler-fault");
    assert_has(&w->log, "module=leak");
    assert_has(&w->log, "in=message/host");
    assert_true(svi_ledger_balances(ledger));
    world_free(w);
}

/* With a strict ledger the worker ends and says who it was. */
static void die_of(const char *module, int to)
{
    char config[256];
    snprintf(config, sizeof config, ONE "\"%s\" }\n", module);
    dup2(to, 2);
    world *w = world_new();
    start(w, config);
    svi_ledger_set_strict(svi_server_ledger(w->server), true);
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<message id='m' to='one.example'/>");
    _exit(0);
}

static void assert_ends_worker(const char *module)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) die_of(module, ends[1]);
    close(ends[1]);
    char text[4096], blamed[128];
    size_t n = 0;
    for (ssize_t got;
         n < sizeof text - 1 && (got = read(ends[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    snprintf(blamed, sizeof blamed, "module %s hook message/host host one.example", module);
    if (strstr(text, blamed) == NULL) fail_msg("\"%s\" does not say \"%s\"", text, blamed);
}

static void leaks_and_double_disposals_end_a_strict_worker(void **state)
{
    (void)state;
    assert_ends_worker("leak");
    assert_ends_worker("twice");
}

/* --- again and again ----------------------------------------------------------------------------------------- */

static size_t open_files(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0) count++;
    return count;
}

static void generations_leave_nothing(void **state)
{
    (void)state;
    world *w = world_new();
    client *c = join(w, "romeo@one.example/a");
    start(w, ONE "\"probe\", \"needs\" }\n");
    svi_mods_free(&w->mods);
    svi_config_free(&w->config);
    svi_buf_free(&w->log);
    const size_t files = open_files();
    int64_t memory = 0; /* behind the first generations, when all caches are warm */
    for (int i = 0; i < 20; i++) {
        start(w, ONE "\"probe\", \"needs\" }\n");
        say(w, c, ASK_MISC);
        assert_has(&c->in, "rounds='0'"); /* a new self, new statics */
        pass_time(w, 1000000);
        pass_time(w, 1000000);
        say(w, c, ASK_MISC);
        assert_has(&c->in, "rounds='2'");
        svi_mods_free(&w->mods);
        svi_config_free(&w->config);
        svi_buf_free(&w->log);
        if (i == 4) memory = atomic_load(&w->acct.live_count);
    }
#ifdef SVI_DEBUG
    assert_int_equal(open_files(), files);
#else
    assert_int_equal(open_files(), files + 40); /* code stays mapped, its file stays open */
#endif
    assert_in_range(atomic_load(&w->acct.live_count), 1, memory);
    world_free(w);
}

/* What a reload does: code stays mapped and its copy open, so each look at unchanged files would cost both once more. */
static void unchanged_files_are_not_loaded_again(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"probe\", \"needs\" }\n");
    size_t files = open_files();
    for (int i = 0; i < 3; i++) {
        svi_mods *look = svi_mods_new(
            &w->acct, &(svi_mods_config){.server = w->server,
                                         .config = w->config,
                                         .paths = w->paths,
                                         .path_count = 2,
                                         .before = w->mods,
                                         .report = w_report,
                                         .report_ctx = w});
        assert_int_equal(svi_mods_check(look), SV_OK);
        assert_int_equal(open_files(), files);
        svi_mods_free(&look);
        assert_int_equal(open_files(), files);
    }
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK_MISC);
    assert_has(&c->in, "limit='5'");
    world_free(w);
}

/* Several servers in one process, as the stage has them: each its own code, state and clock. */
static void servers_do_not_share(void **state)
{
    (void)state;
    world *v = world_new(), *w = world_new();
    start(v, ONE "\"probe\" }\nprobe_limit = 1\n");
    start(w, ONE "\"probe\" }\nprobe_limit = 2\n");
    client *c = join(v, "romeo@one.example/a"), *d = join(w, "romeo@one.example/a");
    pass_time(w, 3000000);
    say(v, c, ASK_MISC);
    assert_has(&c->in, "now='1767225600'");
    assert_has(&c->in, "rounds='0' limit='1'");
    say(w, d, ASK_MISC);
    assert_has(&d->in, "now='1767225603'");
    assert_has(&d->in, "limit='2'");
    world_free(v);
    say(w, d, ASK_MISC);
    assert_has(&d->in, "now='1767225603'");
    world_free(w);
}

/* A store that does not answer keeps an event waiting: the modules go, the event ends when the server does. */
static void ends_while_events_wait(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"probe\" }\n");
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, "<iq type='get' id='g' to='one.example'><list xmlns='urn:stave:probe'/></iq>");
    assert_has_not(&c->in, "id='g'");
    svi_mods_free(&w->mods);
    assert_has(&w->log, "probe-save");
    assert_has_not(&w->log, "probe-stop"); /* still needed */
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 10);
    turn(w);
    assert_has(&c->in, "id='g'"); /* it finished with the code it began with */
    assert_has(&w->log, "probe-stop");
    world_free(w);
}

/* A handler that waits for nothing: its event ends by its deadline, long after the loader; whom to blame is still known. */
static void ends_while_a_handler_hangs(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"probe\" }\n");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<message id='hang' to='one.example'/>");
    say(w, c, "<message id='next' to='one.example'/>"); /* waits in the same lane */
    svi_mods_free(&w->mods);
    assert_has_not(&w->log, "probe-stop");
    pass_time(w, 61000000);
    assert_has(&w->log, "event-timeout");
    assert_has(&w->log, "by=probe in=message/host");
    assert_has(&c->in, "id='hang'");
    assert_has(&c->in, "id='next'"); /* asked nobody any more */
    assert_has(&w->log, "probe-stop");
    world_free(w);
}

static void server_ends_while_events_wait(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE "\"probe\" }\n");
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, c, "<iq type='get' id='g' to='one.example'><list xmlns='urn:stave:probe'/></iq>");
    say(w, c, "<iq type='get' id='h' to='one.example'><get xmlns='urn:stave:probe' key='k'/></iq>");
    say(w, c, "<message type='chat' id='drop' to='one.example'/>");
    world_free(w); /* the sanitizer watches */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_starts_answers_and_ends),
        cmocka_unit_test(options_reach_self),
        cmocka_unit_test(hosts_have_their_own),
        cmocka_unit_test(the_shipped_modules_load),
        cmocka_unit_test(longer_declarations),
        cmocka_unit_test(what_is_wrong_with_a_module_is_said),
        cmocka_unit_test(every_fault_is_reported),
        cmocka_unit_test(all_hosts_or_none),
        cmocka_unit_test(unreadable_files_are_named),
        cmocka_unit_test(files_may_change_underneath),
        cmocka_unit_test(order_of_starting),
        cmocka_unit_test(wishes_are_no_needs),
        cmocka_unit_test(what_is_needed_is_not_taken_away),
        cmocka_unit_test(checking_starts_nothing),
        cmocka_unit_test(a_leak_is_blamed),
        cmocka_unit_test(leaks_and_double_disposals_end_a_strict_worker),
        cmocka_unit_test(generations_leave_nothing),
        cmocka_unit_test(unchanged_files_are_not_loaded_again),
        cmocka_unit_test(servers_do_not_share),
        cmocka_unit_test(ends_while_events_wait),
        cmocka_unit_test(ends_while_a_handler_hangs),
        cmocka_unit_test(server_ends_while_events_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
