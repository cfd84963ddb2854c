/* Tests of shared groups: what every module makes of contacts that nobody stored, how they come and go while
 * sessions are on line, what is refused, and what is wrong in a file. */
#include "../../tests/modules/modules_world.h"

#include <sys/stat.h>
#include <unistd.h>
#include "groups.h"

#define WITH_GROUPS ALL_MODULES ", \"groups\""
#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define NURSE "nurse@" HERE

static const char *const verona =
    "groups_list = { \"Verona: " ROMEO "=Romeo, " JULIET "=Juliet\", \"House: " JULIET "\\t=J., " NURSE "\" }";

static void set(world *w, client *c, const char *item)
{
    char text[1024];
    snprintf(text, sizeof text,
             "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>%s</query></iq>", item);
    say(w, c, text);
}

static void get(world *w, client *c, const char *ver)
{
    char text[256];
    snprintf(text, sizeof text,
             "<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='%s'/></iq>", ver);
    say(w, c, text);
}

static void version(const client *c, char to[64])
{
    const char *at = c->in.data, *end = c->in.data + c->in.len, *found = NULL;
    while ((at = memmem(at, (size_t)(end - at), " ver='", 6)) != NULL) found = at += 6;
    assert_non_null(found);
    snprintf(to, 64, "%.*s", (int)((const char *)memchr(found, '\'', (size_t)(end - found)) - found),
             found);
}

/* --- who sees whom ------------------------------------------------------------------------- */

/* Members see each other in the group, with the operator's names, and are subscribed to each other for
 * presence, probes and all that asks who may see it. Who is in no group sees nothing. */
static void members_see_each_other(void **state)
{
    (void)state;
    world *w = stage(WITH_GROUPS, verona);
    account(w, "eve");
    client *romeo = online(w, ROMEO "/orchard");
    say(w, romeo, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    assert_int_equal(SEEN(w, romeo, .id = "g",
                          .holds = "'><item jid='" JULIET "' name='Juliet' "
                                   "subscription='both'><group>Verona</group></item></query>"),
                     1);
    client *juliet = join(w, JULIET "/balcony");
    say(w, juliet, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq><presence id='p'/>");
    assert_int_equal(SEEN(w, juliet, .id = "g", .holds = "<item jid='" ROMEO "' name='Romeo'"), 1);
    assert_int_equal(SEEN(w, juliet, .id = "g", .holds = "<item jid='" NURSE "' subscription='both'>"
                                                         "<group>House</group></item>"),
                     1);
    assert_int_equal(SEEN(w, juliet, .id = "g", .holds = "jid='" JULIET "'"), 0);
    assert_int_equal(SEEN(w, juliet, .name = "presence", .from = ROMEO "/orchard"), 1); /* probed */
    forget(w);
    client *street = online(w, ROMEO "/street"), *eve = online(w, "eve@" HERE "/x");
    assert_int_equal(SEEN(w, juliet, .name = "presence", .from = ROMEO "/street"), 1);
    say(w, eve, "<presence type='probe' to='" ROMEO "'/>");
    assert_int_equal(SEEN(w, eve), 0);
    get(w, eve, "");
    assert_int_equal(SEEN(w, eve, .holds = "<item"), 0);
    forget(w);
    part(w, street);
    assert_int_equal(SEEN(w, juliet, .type = "unavailable", .from = ROMEO "/street"), 1);
    assert_int_equal(SEEN(w, eve), 0);
    assert_int_equal(row_count(w, "roster/items", "romeo") + row_count(w, "roster/items", "juliet"),
                     0);
    leave(w);
}

/* --- what is the user's and what is not ---------------------------------------------------- */

static void what_a_user_may_do(void **state)
{
    (void)state;
    world *w = stage(WITH_GROUPS, verona);
    account(w, "romeo");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    static const char *const ends[] = {"<presence id='s' type='unsubscribe' to='" JULIET "'/>",
                                       "<presence id='s' type='unsubscribed' to='" JULIET "'/>",
                                       "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>"
                                       "<item jid='" JULIET "' subscription='remove'/></query></iq>"};
    forget(w);
    for (size_t i = 0; i < 3; i++) {
        say(w, romeo, ends[i]);
        assert_int_equal(SEEN(w, romeo, .type = "error", .id = "s", .holds = "<not-allowed "), 1);
        assert_int_equal(SEEN(w, romeo) + SEEN(w, juliet), 1);
    }
    forget(w);
    arrives(w, "<presence type='unsubscribe' from='" JULIET "' to='" ROMEO "'/>");
    arrives(w, "<presence type='unsubscribed' from='" JULIET "' to='" ROMEO "'/>");
    assert_int_equal(SEEN(w, romeo) + SEEN(w, juliet), 0);
    assert_int_equal(row_count(w, "roster/items", "romeo") + row_count(w, "roster/items", "juliet"),
                     0);
    say(w, romeo, "<presence type='subscribe' to='" JULIET "'/>"); /* answered at once (A.3.1 [2]) */
    assert_int_equal(SEEN(w, juliet), 0);
    assert_int_equal(SEEN(w, romeo), 0);
    /* a name and more groups are his; the operator's group stays and is not stored */
    set(w, romeo, "<item jid='" JULIET "' name='Jule'><group>Mine</group><group>Verona</group></item>");
    assert_int_equal(SEEN(w, romeo, .type = "set",
                          .holds = "<item jid='" JULIET "' name='Jule' subscription='both'>"
                                   "<group>Mine</group><group>Verona</group></item>"),
                     1);
    char record[64];
    assert_true(read_record(w, "romeo", JULIET, record, sizeof record));
    assert_string_equal(record, "R100\nJule\nMine\n");
    set(w, romeo, "<item jid='" JULIET "'/>");
    assert_int_equal(SEEN(w, romeo, .type = "set",
                          .holds = "<item jid='" JULIET "' name='Juliet' subscription='both'>"
                                   "<group>Verona</group></item>"),
                     1);
    leave(w);
}

/* Shared contacts take no room of the user's own; what he writes of them does. */
static void bounds(void **state)
{
    (void)state;
    world *w = stage(WITH_GROUPS, "groups_list = { \"Verona: " ROMEO ", " NURSE ", " JULIET "\" }\n"
                                  "roster_max_items = 2\nroster_max_shared = 2");
    client *juliet = online(w, JULIET "/balcony");
    get(w, juliet, "");
    assert_int_equal(SEEN(w, juliet, .holds = "jid='" NURSE "'"), 1); /* the first in order, behind herself */
    assert_int_equal(SEEN(w, juliet, .holds = "jid='" ROMEO "'"), 0);
    set(w, juliet, "<item jid='a@b.example'/>");
    assert_int_equal(SEEN(w, juliet, .type = "result"), 1);
    set(w, juliet, "<item jid='" NURSE "' name='Nanny'/>");
    assert_int_equal(SEEN(w, juliet, .type = "result"), 1);
    set(w, juliet, "<item jid='c@b.example'/>");
    assert_int_equal(SEEN(w, juliet, .type = "error", .holds = "<resource-constraint "), 1);
    set(w, juliet, "<item jid='" NURSE "'/>");
    set(w, juliet, "<item jid='c@b.example'/>");
    assert_int_equal(SEEN(w, juliet, .type = "result"), 1);
    leave(w);
}

/* --- everybody ----------------------------------------------------------------------------- */

/* The directory follows the accounts while sessions are on line. */
static void everybody(void **state)
{
    (void)state;
    world *w = stage(WITH_GROUPS, "groups_list = { \"All: *, " NURSE "=The Nurse\" }");
    account(w, "romeo");
    account(w, "nurse");
    client *romeo = online(w, ROMEO "/orchard"), *nurse = online(w, NURSE "/x");
    pass_time(w, 1000000);
    forget(w);
    get(w, romeo, "");
    assert_int_equal(SEEN(w, romeo, .holds = "<item jid='" NURSE "' name='The Nurse'"), 1);
    account(w, "juliet");
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "<item jid='" JULIET "' name='juliet' "
                                                            "subscription='both'><group>All</group>"),
                     1);
    assert_int_equal(SEEN(w, nurse, .type = "set", .holds = "jid='" JULIET "'"), 1);
    client *juliet = online(w, JULIET "/balcony");
    assert_int_equal(SEEN(w, romeo, .name = "presence", .from = JULIET "/balcony"), 1);
    part(w, juliet);
    forget(w);
    int status = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("juliet"), w_status, &status);
    turn(w);
    pass_time(w, 1000000);
    assert_int_equal(status, SV_OK);
    assert_int_equal(SEEN(w, romeo, .type = "set",
                          .holds = "<item jid='" JULIET "' subscription='remove'/>"),
                     1);
    /* as many as are read in several pages */
    char name[16];
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "c%04d", i);
        write_row(w, "accounts", name, "state", "active");
    }
    halt(w, false);
    boot(w, WITH_GROUPS, "groups_list = { \"All: *\" }\nroster_max_shared = 5000");
    pass_time(w, 1000000);
    romeo = online(w, ROMEO "/orchard");
    get(w, romeo, "");
    assert_int_equal(SEEN(w, romeo, .holds = "jid='c0000@" HERE "'"), 1);
    assert_int_equal(SEEN(w, romeo, .holds = "jid='c0599@" HERE "'"), 1);
    leave(w);
}

/* A reload begins the module anew, which reads the names of the accounts again: until it has them, nobody is
 * told that all contacts are gone. */
static void everybody_over_a_reload(void **state)
{
    (void)state;
    world *w = stage(WITH_GROUPS, "groups_list = { \"All: *\" }");
    account(w, "romeo");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    get(w, romeo, "");
    get(w, juliet, "");
    forget(w);
    svi_engine_sim_plan(w->engine)->hold = true;
    reloaded(w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " WITH_GROUPS " }\n"
                "groups_list = { \"All: *\", \"House: " JULIET ", " NURSE "\" }\n");
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo) + SEEN(w, juliet), 0);
    say(w, juliet, "<presence id='p'/>");
    assert_int_equal(SEEN(w, romeo, .id = "p"), 1);
    forget(w);
    svi_engine_sim_plan(w->engine)->hold = false;
    turn(w);
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo), 0);
    assert_int_equal(SEEN(w, juliet, .type = "set", .holds = "jid='" NURSE "'"), 1);
    assert_int_equal(SEEN(w, juliet), 1);
    leave(w);
}

/* --- a file that changes ------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* What is taken out of a file, or put in, is told to sessions on line, with presence in both directions. What the
 * user had himself remains. */
static void a_file_that_changes(void **state)
{
    (void)state;
    char path[] = "/tmp/stave-groups-XXXXXX", config[128], before[64], after[64];
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    write_file(path, "# no group yet\n");
    snprintf(config, sizeof config, "groups_file = \"%s\"\ngroups_check = \"1m\"", path);
    world *w = stage(WITH_GROUPS, config);
    write_row(w, "roster/items", "romeo", JULIET, "R121\nJule\nMine\n"); /* she sees him */
    write_row(w, "roster/items", "juliet", ROMEO, "R122\n\n");
    client *juliet = online(w, JULIET "/balcony"), *romeo = online(w, ROMEO "/orchard");
    client *nurse = online(w, NURSE "/x");
    get(w, romeo, "");
    version(romeo, before);
    forget(w);
    write_file(path, "[Verona]\n" ROMEO "=Romeo\n " JULIET " = Juliet\n\n; the house\n" NURSE "\n");
    pass_time(w, 61 * 1000000);
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo, .type = "set"), 2);
    assert_int_equal(SEEN(w, romeo, .type = "set",
                          .holds = "<item jid='" JULIET "' name='Jule' subscription='both'>"
                                   "<group>Mine</group><group>Verona</group></item>"),
                     1);
    assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "<item jid='" NURSE "' subscription='both'>"),
                     1);
    version(romeo, after);
    assert_string_not_equal(before, after);
    assert_int_equal(SEEN(w, nurse, .type = "", .from = ROMEO "/orchard"), 1);
    assert_int_equal(SEEN(w, romeo, .type = "", .from = NURSE "/x"), 1);
    assert_int_equal(SEEN(w, romeo, .type = "", .from = JULIET "/balcony"), 1); /* new to him ... */
    assert_int_equal(SEEN(w, juliet, .type = "", .from = ROMEO "/orchard"), 0); /* ... not to her */
    get(w, romeo, after);
    assert_int_equal(SEEN(w, romeo), 1);
    assert_int_equal(SEEN(w, romeo, .id = "g", .holds = "<query"), 0);
    get(w, romeo, before);
    assert_int_equal(SEEN(w, romeo, .id = "g", .holds = "<query"), 1);
    forget(w);
    write_file(path, "[Verona]\nno address\n"); /* it is refused, and the groups before stay */
    pass_time(w, 61 * 1000000);
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo) + SEEN(w, juliet), 0);
    assert_int_equal(truncate(path, GROUPS_FILE_MAX + 1), 0); /* the same */
    pass_time(w, 61 * 1000000);
    assert_has(&w->log, "it is larger than 4 MiB");
    assert_int_equal(unlink(path), 0); /* being replaced */
    svi_buf_clear(&w->log);
    pass_time(w, 61 * 1000000);
    assert_has_not(&w->log, "groups-refused");
    assert_int_equal(SEEN(w, romeo) + SEEN(w, juliet), 0);
    write_file(path, "[Verona]\n" NURSE "\n" JULIET "\n");
    pass_time(w, 61 * 1000000);
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo, .type = "set"), 2);
    assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "<item jid='" NURSE "' subscription='remove'/>"),
                     1);
    assert_int_equal(SEEN(w, romeo, .type = "set",
                          .holds = "<item jid='" JULIET "' name='Jule' subscription='from'>"
                                   "<group>Mine</group></item>"),
                     1);
    assert_int_equal(SEEN(w, romeo, .type = "unavailable", .from = NURSE "/x"), 1);
    assert_int_equal(SEEN(w, romeo, .type = "unavailable", .from = JULIET "/balcony"), 1);
    assert_int_equal(SEEN(w, nurse, .type = "unavailable", .from = ROMEO "/orchard"), 1);
    assert_int_equal(SEEN(w, juliet, .type = "unavailable"), 0);
    write_file(path, "[Verona]\n" NURSE "\n" ROMEO "\n");
    pass_time(w, 61 * 1000000);
    pass_time(w, 1000000);
    get(w, romeo, after); /* it knows another share */
    assert_int_equal(SEEN(w, romeo, .id = "g", .holds = "<query"), 1);
    leave(w);
    (void)unlink(path);
}

/* --- what is wrong ------------------------------------------------------------------------- */

static void *plain_alloc(sv_mod *mod, size_t bytes)
{
    (void)mod;
    void *memory = calloc(1, bytes > 0 ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

static void *plain_resize(sv_mod *mod, void *mem, size_t bytes)
{
    (void)mod;
    void *memory = realloc(mem, bytes > 0 ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

static void plain_free(sv_mod *mod, void *pointer)
{
    void *memory;
    (void)mod;
    memcpy(&memory, pointer, sizeof memory);
    free(memory);
    memset(pointer, 0, sizeof memory);
}

/* Reading alone needs no module, only memory. */
static void mistakes(void **state)
{
    (void)state;
    const sv_api memory_alone = {.alloc = plain_alloc, .alloc_resize = plain_resize, .free = plain_free};
    sv = &memory_alone;
    static char many[GROUPS_MAX * 8 + 64];
    size_t n = 0;
    for (unsigned i = 0; i <= GROUPS_MAX; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "[%u]\n", i);
    const struct {
        const char *text;
        int line; /* 0: it is fine */
        const char *says;
    } cases[] = {
        {"", 0, ""},
        {"\r\n# c\n; c\n[ A ]\r\na@b.example\r\n*\n", 0, ""},
        {"[A]\na@b.example = x=y \n", 0, ""},
        {"a@b.example\n", 1, "before the members"},
        {"[A\n", 1, "ends with ']'"},
        {"[]\n", 1, "has no name"},
        {"[A]\n[ A ]\n", 2, "a group \"A\" already"},
        {"[A]\n\nb.example\n", 3, "\"b.example\" is no address"},
        {"[A]\na@b.example/x\n", 2, "is no address"},
        {"[A]\n=x\n", 2, "is no address"},
        {"[A]\n*=x\n", 2, "is no address"},
        {"[A]\na@b.example=x\ty\n", 2, "the display name holds"},
        {"[A\tB]\n", 1, "the group's name holds"},
        {many, GROUPS_MAX + 1, "more than 1000 groups"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shared_groups set_of = {.count = 0};
        groups_fault fault = {.line = 0, .text = ""};
        const bool fine = groups_read_text(&set_of, NULL, sv_str_of(cases[i].text), &fault);
        groups_free(&set_of);
        if (fine != (cases[i].line == 0) || (!fine && (fault.line != cases[i].line ||
                                                       !strstr(fault.text, cases[i].says))))
            fail_msg("case %zu: line %d: %s", i, fault.line, fault.text);
    }
    static const char *const items[] = {"", "A", ":a@b.example", "A: a@b.example,,", "A: b"};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        shared_groups set_of = {.count = 0};
        groups_fault fault = {.line = 1, .text = ""};
        const bool fine = groups_read_item(&set_of, NULL, sv_str_of(items[i]), &fault);
        groups_free(&set_of);
        if (fine || fault.line != 0 || !*fault.text) fail_msg("\"%s\" is taken", items[i]);
    }
}

/* A look at the file that is on its way when the module goes, or when the server ends, is told to nobody. */
static void a_look_outlives_the_module(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        char path[] = "/tmp/stave-groups-XXXXXX", config[300];
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        snprintf(config, sizeof config, "groups_file = \"%s\"", path);
        world *w = stage(WITH_GROUPS, config);
        write_file(path, "no group\n");
        svi_plat_virtual_advance(&w->plat, 61 * 1000000);
        (void)svi_timers_run(svi_server_timers(w->server)); /* the look has begun */
        if (!ends) reloaded(w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " ALL_MODULES " }\n");
        if (!ends) turn(w);
        assert_has_not(&w->log, "groups-refused");
        if (ends)
            world_free(w);
        else
            leave(w);
        (void)unlink(path);
    }
}

/* A file that can't be followed: the module does not start, and says why. */
static void files_that_are_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/stave-groups-XXXXXX", config[300];
    const int fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, GROUPS_FILE_MAX + 1), 0);
    assert_int_equal(close(fd), 0);
    const char *const cases[][2] = {{"groups.ini", "the file's name begins with '/'"},
                                    {"/nowhere/groups.ini", "there is no such file"},
                                    {"/tmp", "it can't be read"},
                                    {path, "it is larger than 4 MiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world *w = stage("\"roster\"", "");
        snprintf(config, sizeof config, "VirtualHost \"" HERE "\"\nmodules_enabled = { " WITH_GROUPS
                 " }\ngroups_file = \"%s\"\n", cases[i][0]);
        assert_int_not_equal(reload(w, config), SV_OK);
        assert_has(&w->log, cases[i][1]);
        assert_has(&w->log, "groups-refused");
        leave(w);
    }
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_see_each_other),
        cmocka_unit_test(what_a_user_may_do),
        cmocka_unit_test(bounds),
        cmocka_unit_test(everybody),
        cmocka_unit_test(everybody_over_a_reload),
        cmocka_unit_test(a_file_that_changes),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(files_that_are_refused),
        cmocka_unit_test(a_look_outlives_the_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
