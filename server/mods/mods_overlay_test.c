/* Tests of rows that are added to those stored: seen by every call that reads, made once for equal sources,
 * told when they change, gone with module and server. */
#include "mods/mods_world_test.h"

#define EXTRA "VirtualHost \"one.example\"\nmodules_enabled = { \"extra\" }\n"

static void ask(world *w, client *c, const char *kind, const char *what)
{
    char text[600];
    snprintf(text, sizeof text, "<iq type='%s' id='q' to='one.example'>%s</iq>", kind, what);
    say(w, c, text);
}

static void add(world *w, client *c, const char *rows)
{
    char text[400];
    snprintf(text, sizeof text, "<add xmlns='urn:stave:extra'>%s</add>", rows);
    ask(w, c, "set", text);
    assert_has(&c->in, "type='result'");
}

static void put(world *w, client *c, const char *key, const char *value)
{
    char text[400];
    snprintf(text, sizeof text, "<put xmlns='urn:stave:extra' key='%s'>%s</put>", key, value);
    ask(w, c, "set", text);
    assert_has(&c->in, "type='result'");
}

static void list(world *w, client *c)
{
    ask(w, c, "get", "<list xmlns='urn:stave:extra'/>");
    assert_has(&c->in, "type='result'");
    assert_null(memmem(c->in.data, c->in.len, "same='0'", 8));
}

/* Rows stored and added, in one order; single values; the own address is not added. */
static void seen_together(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, EXTRA);
    client *c = join(w, "romeo@one.example/a");
    put(w, c, "b", "two");
    put(w, c, "d", "four");
    list(w, c);
    assert_has(&c->in, "count='2' mark='0'");
    add(w, c, "c=3 a=1 b=2 a=9 romeo@one.example=self zz=26");
    list(w, c);
    assert_has(&c->in, "><row key='a' same='1' added='1'>1</row>"
                       "<row key='b' same='1' stored='two' added='2'>two+2</row>"
                       "<row key='c' same='1' added='3'>3</row>"
                       "<row key='d' same='1' stored='four'>four</row>"
                       "<row key='zz' same='1' added='26'>26</row></list>");
    assert_has(&c->in, "count='5'");
    ask(w, c, "get", "<get xmlns='urn:stave:extra' key='a'/>");
    assert_has(&c->in, ">1<");
    ask(w, c, "get", "<get xmlns='urn:stave:extra' key='b'/>");
    assert_has(&c->in, ">two+2<");
    ask(w, c, "get", "<get xmlns='urn:stave:extra' key='d'/>");
    assert_has(&c->in, ">four<");
    static const char *const none[] = {"e", "romeo@one.example", "loop"};
    for (size_t i = 0; i < 3; i++) {
        char text[200];
        snprintf(text, sizeof text, "<get xmlns='urn:stave:extra' key='%s'/>", none[i]);
        ask(w, c, "get", text);
        assert_has(&c->in, "item-not-found");
    }
    client *other = join(w, "juliet@one.example/b");
    list(w, other);
    assert_has(&other->in, "key='romeo@one.example'");
    assert_has(&other->in, "made='1'"); /* for both of them */
    svi_buf_clear(&c->in);
    world_free(w);
}

static void put_difference(svi_buf *buf, const char *key, const char *before, const char *after,
                           int left)
{
    svi_buf_clear(buf);
    svi_buf_printf(buf, "<difference xmlns='urn:stave:extra' key='%s'", key);
    if (before) svi_buf_printf(buf, " before='%s'", before);
    if (after) svi_buf_printf(buf, " after='%s'", after);
    svi_buf_printf(buf, " left='%d'/>%c", left, '\0');
}

/* Each account on line is told once what became different to it, also when several changes came at once. */
static void changes_are_told(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, EXTRA);
    client *c = join(w, "romeo@one.example/a"), *other = join(w, "juliet@one.example/b");
    put(w, c, "a", "one");
    add(w, c, "a=1 b=2 c=3");
    list(w, c);
    list(w, other);
    pass_time(w, 1000000);
    svi_buf_clear(&c->in);
    svi_buf_clear(&other->in);
    add(w, c, "x=1");
    add(w, c, "a=2 b=2 romeo@one.example=r");
    pass_time(w, 1000000);
    svi_buf wanted;
    svi_buf_init(&wanted, &w->acct);
    put_difference(&wanted, "a", "one+1", "one+2", 1);
    assert_has(&c->in, wanted.data);
    put_difference(&wanted, "c", "3", NULL, 0);
    assert_has(&c->in, wanted.data);
    assert_null(memmem(c->in.data, c->in.len, "key='b'", 7));
    assert_null(memmem(c->in.data, c->in.len, "key='x'", 7));
    assert_null(memmem(c->in.data, c->in.len, "key='romeo", 10));
    put_difference(&wanted, "romeo@one.example", NULL, "r", 0);
    assert_has(&other->in, wanted.data);
    svi_buf_clear(&c->in);
    svi_buf_clear(&other->in);
    add(w, c, "a=2 romeo@one.example=r b=2"); /* another text of the same rows */
    pass_time(w, 1000000);
    assert_null(memmem(c->in.data, c->in.len, "<difference", 11));
    assert_int_equal(other->in.len, 0);
    part(w, other);
    add(w, c, "");
    pass_time(w, 1000000);
    put_difference(&wanted, "a", "one+2", "one", 1);
    assert_has(&c->in, wanted.data);
    svi_buf_free(&wanted);
    world_free(w); /* with a change that nobody was told of */
}

/* The mark tells contents, and is the same in every process. */
static void marks(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, EXTRA);
    client *c = join(w, "romeo@one.example/a");
    add(w, c, "a=1 b=2");
    list(w, c);
    assert_has(&c->in, "mark='174370305'");
    add(w, c, "b=2 a=1");
    list(w, c);
    assert_has(&c->in, "mark='174370305'");
    add(w, c, "a=1 b=3");
    list(w, c);
    assert_null(memmem(c->in.data, c->in.len, "mark='174370305'", 16));
    world_free(w);
}

/* Names of accounts come in pages, in order; a page that is on its way when the module goes, too. */
static void accounts(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, EXTRA);
    static const char *const names[] = {"romeo", "juliet", "nurse", "tybalt", "benvolio"};
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    svi_map *map = svi_host_accounts(svi_host_find(w->server, SV_STR("one.example")));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(svi_unit_put(unit, map, sv_str_of(names[i]), SV_STR("state"), SV_STR("x")),
                         SV_OK);
    (void)svi_unit_submit(&unit);
    turn(w);
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, "get", "<accounts xmlns='urn:stave:extra'/>");
    for (int i = 0; i < 10; i++) turn(w);
    ask(w, c, "get", "<accounts xmlns='urn:stave:extra'/>");
    assert_has(&c->in, "pages='3'>benvolio juliet nurse romeo tybalt <");
    world_free(w);

    w = world_new();
    start(w, EXTRA);
    c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    ask(w, c, "get", "<accounts xmlns='urn:stave:extra'/>");
    svi_mods_free(&w->mods);
    svi_engine_sim_plan(w->engine)->hold = false;
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seen_together),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(marks),
        cmocka_unit_test(accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
