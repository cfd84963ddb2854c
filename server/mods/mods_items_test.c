/* Items of a host: who may set and read them, when they go, who hears of it. */
#include "mods/mods_world_test.h"

#define ONE "VirtualHost \"one.example\"\nmodules_enabled = { "
#define BOTH ONE "\"items\", \"items_too\" }\n"

/* Sets as one of the modules; a NULL value takes the item away. The status. */
static int set(world *w, client *c, const char *module, const char *name, const char *value)
{
    char text[400];
    snprintf(text, sizeof text, "<iq type='set' id='s' to='one.example'><set xmlns='urn:stave:%s' name='%s'%s%s%s/></iq>",
             module, name, value ? " value='" : "", value ? value : "", value ? "'" : "");
    say(w, c, text);
    svi_buf_putc(&c->in, '\0');
    const char *status = strstr(c->in.data, "status='");
    assert_non_null(status);
    return (int)strtol(status + 8, NULL, 10);
}

/* What one of the modules reads must be this; NULL: nothing. */
static void assert_item(world *w, client *c, const char *module, const char *name, const char *value)
{
    char text[300], wanted[200];
    snprintf(text, sizeof text, "<iq type='get' id='g' to='one.example'><item xmlns='urn:stave:%s' name='%s'/></iq>",
             module, name);
    say(w, c, text);
    assert_has(&c->in, "type='result'");
    snprintf(wanted, sizeof wanted, "value='%s'", value ? value : "");
    if (value)
        assert_has(&c->in, wanted);
    else
        assert_has_not(&c->in, "value=");
}

static size_t told(const world *w, const char *name, const char *value)
{
    char text[200];
    snprintf(text, sizeof text, "item-changed name=%s value=%s", name, value);
    return count_of(&w->log, text);
}

static void an_item_is_its_modules(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, BOTH);
    client *c = join(w, "romeo@one.example/a");
    assert_item(w, c, "items_too", "a/b", NULL);
    assert_int_equal(set(w, c, "items", "a/b", "one"), SV_OK);
    assert_item(w, c, "items_too", "a/b", "one");
    assert_item(w, c, "items", "a/b", "one");
    assert_int_equal(told(w, "a/b", "one"), 2); /* both were told */
    assert_int_equal(set(w, c, "items_too", "a/b", "mine"), SV_EDENIED);
    assert_int_equal(set(w, c, "items_too", "a/b", NULL), SV_EDENIED);
    assert_item(w, c, "items", "a/b", "one");
    assert_int_equal(set(w, c, "items", "a/b", "one"), SV_OK); /* the same: nothing to tell */
    assert_int_equal(told(w, "a/b", "one"), 2);
    assert_int_equal(set(w, c, "items", "a/b", ""), SV_OK); /* empty is not none */
    assert_item(w, c, "items_too", "a/b", "");
    assert_int_equal(set(w, c, "items", "a/b", NULL), SV_OK);
    assert_item(w, c, "items_too", "a/b", NULL);
    assert_int_equal(told(w, "a/b", "(none)"), 2);
    assert_int_equal(set(w, c, "items_too", "a/b", "mine"), SV_OK); /* nobody's any more */
    assert_item(w, c, "items", "a/b", "mine");
    world_free(w);
}

static void bounds(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, BOTH);
    client *c = join(w, "romeo@one.example/a");
    char name[66];
    memset(name, 'n', sizeof name);
    name[65] = '\0';
    static const char *const bad[] = {"", "a b", "A", "a{b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(set(w, c, "items", bad[i], "x"), SV_EINVAL);
    assert_int_equal(set(w, c, "items", name, "x"), SV_EINVAL);
    assert_int_equal(set(w, c, "items", name + 1, "x"), SV_OK);
    char *text = malloc(17000);
    assert_non_null(text);
    for (int more = 0; more < 2; more++) {
        int n = snprintf(text, 200, "<iq type='set' id='s' to='one.example'><set xmlns='urn:stave:items' name='v' value='");
        memset(text + n, 'v', 16384 + (size_t)more);
        snprintf(text + n + 16384 + more, 20, "'/></iq>");
        say(w, c, text);
        snprintf(text, 100, "status='%d'", more ? SV_ELIMIT : SV_OK);
        assert_has(&c->in, text);
    }
    free(text);
    say(w, c, "<iq type='set' id='f' to='one.example'><fill xmlns='urn:stave:items'/></iq>");
    assert_has(&c->in, "count='62'"); /* and two that were there */
    assert_has(&c->in, "status='-4'");
    assert_int_equal(set(w, c, "items", "one-more", "x"), SV_ELIMIT);
    assert_int_equal(set(w, c, "items", "fill/0", "y"), SV_OK);
    assert_int_equal(set(w, c, "items_too", "one-more", "x"), SV_OK); /* a bound for each */
    world_free(w);
}

/* A reload: what a module sets in `start` is there at once, what the generation before had set later is gone, and all that
 * differs is told once. */
static void items_go_with_their_generation(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, BOTH "items_first = \"1\"\n");
    turn(w);
    assert_int_equal(told(w, "items/first", "1"), 2);
    client *c = join(w, "romeo@one.example/a");
    assert_item(w, c, "items_too", "items/first", "1");
    assert_int_equal(set(w, c, "items", "later", "x"), SV_OK);
    reloaded(w, BOTH "items_first = \"1\"\nitems_too_first = \"2\"\n");
    turn(w);
    assert_int_equal(told(w, "items/first", "1"), 0); /* as before */
    assert_int_equal(told(w, "items_too/first", "2"), 2);
    assert_int_equal(told(w, "later", "(none)"), 2);
    assert_item(w, c, "items_too", "items/first", "1");
    assert_item(w, c, "items_too", "later", NULL);
    reloaded(w, ONE "\"items_too\" }\nitems_too_first = \"3\"\n");
    turn(w);
    assert_int_equal(told(w, "items/first", "(none)"), 1);
    assert_int_equal(told(w, "items_too/first", "3"), 1);
    assert_item(w, c, "items_too", "items/first", NULL);
    assert_item(w, c, "items_too", "items_too/first", "3");
    svi_mods_free(&w->mods);
    assert_int_equal(told(w, "items_too/first", "(none)"), 0); /* nobody is left who would hear it */
    world_free(w);
}

/* A change that is not told yet when the server ends, and one when the module goes. */
static void ends_before_it_is_told(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, BOTH "items_first = \"1\"\n");
    reloaded(w, BOTH "items_first = \"2\"\n");
    reloaded(w, ONE "\"items_too\" }\n");
    turn(w);
    assert_int_equal(count_of(&w->log, "item-changed"), 1);
    assert_int_equal(told(w, "items/first", "(none)"), 1);
    reloaded(w, BOTH "items_first = \"2\"\n");
    world_free(w);
}

/* Hosts have their own. */
static void hosts_do_not_share(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    start(w, "items_first = \"1\"\n" ONE "\"items\" }\nVirtualHost \"two.example\"\nmodules_enabled = { \"items_too\" }\n");
    client *c = join(w, "romeo@one.example/a");
    assert_item(w, c, "items", "items/first", "1");
    say(w, c, "<iq type='get' id='g' to='two.example'><item xmlns='urn:stave:items_too' name='items/first'/></iq>");
    assert_has(&c->in, "type='result'");
    assert_has_not(&c->in, "value=");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_is_its_modules),         cmocka_unit_test(bounds),
        cmocka_unit_test(items_go_with_their_generation), cmocka_unit_test(ends_before_it_is_told),
        cmocka_unit_test(hosts_do_not_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
