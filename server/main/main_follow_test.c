/* Followers: who gets which line, what becomes of lines without room, threads that log while followers come and
 * go, and what a watched stanza shows. */
#include "main/main_follow.h"

#include <jansson.h>
#include <poll.h>
#include <pthread.h>

#include "xmpp/xmpp_testing.h"

typedef struct place {
    world *world;
    uv_loop_t loop;
    svi_follows *follows;
    svi_arena *arena;
    unsigned readies;
} place;

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);
    sv_err err = {.text = ""};
    p->world = world_new(NULL);
    use_handlers(p->world, p->world->host);
    p->arena = svi_arena_new(&p->world->acct, 0);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    assert_int_equal(svi_follows_open(&p->loop, p->world->server, &p->follows, &err), SV_OK);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    svi_follows_close(&p->follows);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    svi_arena_free(&p->arena);
    world_free(&p->world);
    free(p);
    return 0;
}

static void count_ready(void *ctx)
{
    place *p = ctx;
    p->readies++;
}

static svi_follower *add(place *p, const svi_follow_filter *filter)
{
    int64_t id = 0;
    sv_err err = {.text = ""};
    assert_int_equal(svi_follows_add(p->follows, filter, &id, &err), SV_OK);
    svi_follower *one = svi_follows_take(p->follows, id);
    assert_non_null(one);
    assert_null(svi_follows_take(p->follows, id));
    svi_follower_begin(one, count_ready, p);
    return one;
}

static sv_jid jid(place *p, const char *text)
{
    sv_jid made;
    assert_int_equal(svi_jid_parse(p->arena, sv_str_of(text), &made), SV_OK);
    return made;
}

/* Takes the next line of those that wait. */
static json_t *next_line(sv_str *rest)
{
    sv_str line;
    json_error_t error;
    assert_true(svi_str_split(rest, '\n', &line));
    json_t *json = json_loadb(line.p, line.n, 0, &error);
    assert_non_null(json);
    return json;
}

/* The events in the lines that wait, in order. */
static const char *events(svi_follower *one)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (sv_str rest = svi_follower_lines(one); rest.n > 0;) {
        json_t *line = next_line(&rest);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ",
                              json_string_value(json_object_get(json_object_get(line, "record"), "event")));
        json_decref(line);
    }
    return text;
}

#define LOG_OF(...) (&(const svi_follow_filter){.kind = SVI_FOLLOW_LOG, __VA_ARGS__})
#define STANZAS_OF(...) (&(const svi_follow_filter){.kind = SVI_FOLLOW_STANZAS, __VA_ARGS__})

static void log_filters(void **state)
{
    place *p = *state;
    svi_follower *all = add(p, LOG_OF(.level = SV_DEBUG)), *info = add(p, LOG_OF(.level = SV_INFO)),
                 *user = add(p, LOG_OF(.level = SV_INFO, .user = jid(p, "romeo@one.example"))),
                 *full = add(p, LOG_OF(.level = SV_INFO, .user = jid(p, "romeo@one.example/a"))),
                 *host = add(p, LOG_OF(.level = SV_INFO, .host = SV_STR("one.example"))),
                 *event = add(p, LOG_OF(.level = SV_INFO, .event = SV_STR("login")));
    SV_LOG(SV_DEBUG, "control-command", LF_TXT("command", "x"));
    SV_LOG(SV_INFO, "login", LF_TXT("host", "one.example"), LF_TXT("user", "romeo"));
    SV_LOG(SV_INFO, "login-failed", LF_TXT("host", "two.example"), LF_TXT("user", "romeo"));
    SV_LOG(SV_INFO, "session-open", LF_TXT("jid", "romeo@one.example/a"));
    SV_LOG(SV_INFO, "session-close", LF_TXT("jid", "romeo@one.example/ab"));
    SV_LOG(SV_INFO, "account-changed", LF_TXT("account", "romeo@one.example.org"));
    svi_exec_now()->host = "one.example";
    SV_LOG(SV_WARN, "handler-slow", LF_INT("ms", 1));
    svi_exec_now()->host = NULL;
    assert_string_equal(events(all), "control-command login login-failed session-open session-close "
                                     "account-changed handler-slow ");
    assert_string_equal(events(info), "login login-failed session-open session-close account-changed "
                                      "handler-slow ");
    assert_string_equal(events(user), "login session-open session-close ");
    assert_string_equal(events(full), "session-open ");
    assert_string_equal(events(host), "login session-open session-close handler-slow ");
    assert_string_equal(events(event), "login ");
    svi_follower *const each[] = {all, info, user, full, host, event};
    for (size_t i = 0; i < 6; i++) {
        svi_follower *one = each[i];
        assert_int_equal(svi_follower_lines(one).n, 0);
        svi_follower_free(&one);
        assert_false(svi_log_wants(SV_DEBUG)); /* the one that asked for it went first */
    }
}

/* A line is a record for programs and the log's own text for people, whatever peers have put into it. */
static void log_line(void **state)
{
    place *p = *state;
    svi_follower *one = add(p, LOG_OF(.level = SV_INFO));
    SV_LOG(SV_INFO, "login-failed", LF_TXT("user", "a\n\"\x1b[31m\xff"), LF_INT("try", 2));
    sv_str rest = svi_follower_lines(one);
    json_t *line = next_line(&rest);
    const json_t *record = json_object_get(line, "record");
    assert_string_equal(json_string_value(json_object_get(record, "user")),
                        "a\n\"\x1b[31m\xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_object_get(record, "try")), 2);
    const char *text = json_string_value(json_object_get(line, "text"));
    assert_non_null(strstr(text, " info  login-failed user=\"a\\n\\\"\\u001b[31m\xef\xbf\xbd\" try=2"));
    json_decref(line);
    svi_follower_free(&one);
}

/* What finds no room is dropped whole; the gap is told where it is, and then it goes on. */
static void gap(void **state)
{
    place *p = *state;
    svi_follower *one = add(p, LOG_OF(.level = SV_INFO)), *quick = add(p, LOG_OF(.level = SV_INFO));
    const size_t sent = 3000;
    size_t got = 0, quick_got = 0;
    for (size_t i = 0; i < sent; i++) {
        SV_LOG(SV_INFO, "login", LF_INT("n", i), LF_TXT("text", "some more text that fills the room"));
        for (sv_str rest = svi_follower_lines(quick); rest.n > 0; quick_got++)
            json_decref(next_line(&rest));
    }
    assert_int_equal(quick_got, sent); /* one that does not read takes nothing from others */
    sv_str rest = svi_follower_lines(one);
    assert_true(rest.n <= SVI_FOLLOW_ROOM_BYTES && rest.n > SVI_FOLLOW_ROOM_BYTES - 512);
    for (; rest.n > 0; got++) {
        json_t *line = next_line(&rest);
        const json_t *dropped = json_object_get(line, "dropped");
        const json_t *n = json_object_get(json_object_get(line, "record"), "n");
        if (dropped) assert_int_equal(json_integer_value(dropped), sent - got);
        if (!dropped) assert_int_equal(json_integer_value(n), got);
        assert_true((dropped != NULL) == (rest.n == 0)); /* it is the last one */
        json_decref(line);
    }
    SV_LOG(SV_INFO, "server-ready", LF_INT("n", 1));
    assert_string_equal(events(one), "server-ready ");
    svi_follower_free(&one);
    svi_follower_free(&quick);
}

/* A shorter line that would find room behind a longer one that did not is behind the gap, too. */
static void gap_is_one(void **state)
{
    place *p = *state;
    static char text[1024];
    memset(text, 'x', sizeof text - 1);
    svi_follower *one = add(p, LOG_OF(.level = SV_INFO));
    for (size_t left = SVI_FOLLOW_ROOM_BYTES; left > 0; left -= left < 1024 ? left : 1024)
        SV_LOG(SV_INFO, "login", LF_TXT("text", text));
    for (size_t n = sizeof text - 1; n-- > 0;) {
        text[n] = '\0';
        SV_LOG(SV_INFO, "server-ready", LF_TXT("text", text));
    }
    size_t lines = 0;
    for (sv_str rest = svi_follower_lines(one); rest.n > 0; lines++) {
        json_t *line = next_line(&rest);
        const char *event = json_string_value(json_object_get(json_object_get(line, "record"), "event"));
        assert_true((event == NULL) == (rest.n == 0)); /* the gap is the last one */
        if (event) assert_string_equal(event, "login");
        json_decref(line);
    }
    assert_true(lines > 10);
    svi_follower_free(&one);
}

static void too_many(void **state)
{
    place *p = *state;
    svi_follower *all[SVI_FOLLOWERS_MAX];
    int64_t id;
    sv_err err = {.text = ""};
    for (size_t i = 0; i < SVI_FOLLOWERS_MAX; i++) all[i] = add(p, i % 2 ? LOG_OF(.level = SV_INFO) : STANZAS_OF());
    assert_int_equal(svi_follows_add(p->follows, LOG_OF(.level = SV_INFO), &id, &err), SV_ELIMIT);
    assert_non_null(strstr(err.text, "16 commands follow log or stanzas already"));
    svi_follower_free(&all[3]);
    all[3] = add(p, LOG_OF(.level = SV_INFO));
    for (size_t i = 0; i < SVI_FOLLOWERS_MAX; i++) svi_follower_free(&all[i]);
    assert_false(svi_log_wants(SV_DEBUG));
}

/* `ready` comes in a turn of the loop, once until something is taken. */
static void ready(void **state)
{
    place *p = *state;
    svi_follower *one = add(p, LOG_OF(.level = SV_INFO));
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    assert_int_equal(p->readies, 0); /* nothing there */
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    assert_int_equal(p->readies, 0);
    (void)uv_run(&p->loop, UV_RUN_ONCE);
    assert_int_equal(p->readies, 1);
    SV_LOG(SV_INFO, "login", LF_INT("n", 2));
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    assert_int_equal(p->readies, 1);
    assert_string_equal(events(one), "login login ");
    SV_LOG(SV_INFO, "login", LF_INT("n", 3));
    (void)uv_run(&p->loop, UV_RUN_ONCE);
    assert_int_equal(p->readies, 2);
    svi_follower_leave(one);
    SV_LOG(SV_INFO, "login", LF_INT("n", 4));
    assert_int_equal(svi_follower_lines(one).n, 0);
    svi_follower_free(&one);
}

/* Followers come and go while two threads log: each sees a part of both, in order. */
typedef struct logging {
    int thread;
    atomic_bool *is_over;
} logging;

static void *log_on(void *ctx)
{
    const logging *l = ctx;
    for (int64_t i = 0; !atomic_load(l->is_over); i++) {
        SV_LOG(SV_DEBUG, "login", LF_INT("thread", l->thread), LF_INT("n", i));
        if (i % 8 == 0) (void)poll(NULL, 0, 1); /* it is about the order, not about the load */
    }
    return NULL;
}

static void threads(void **state)
{
    place *p = *state;
    pthread_t made[2];
    atomic_bool is_over = false;
    logging ctx[] = {{0, &is_over}, {1, &is_over}};
    for (size_t i = 0; i < 2; i++) assert_int_equal(pthread_create(&made[i], NULL, log_on, &ctx[i]), 0);
    for (int round = 0; round < 30; round++) {
        svi_follower *one = add(p, LOG_OF(.level = SV_DEBUG));
        json_int_t next[2] = {-1, -1};
        const unsigned heard = p->readies;
        while (p->readies == heard) (void)uv_run(&p->loop, UV_RUN_ONCE);
        while (next[0] < 0 && next[1] < 0) {
            (void)uv_run(&p->loop, UV_RUN_NOWAIT);
            for (sv_str rest = svi_follower_lines(one); rest.n > 0;) {
                json_t *line = next_line(&rest);
                const json_t *record = json_object_get(line, "record");
                const json_int_t n = json_integer_value(json_object_get(record, "n"));
                const json_int_t thread = json_integer_value(json_object_get(record, "thread"));
                if (record) assert_true(next[thread] < 0 || n == next[thread]);
                if (record) next[thread] = n + 1;
                if (!record) next[0] = next[1] = -1; /* a gap */
                json_decref(line);
            }
        }
        svi_follower_free(&one);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < 2; i++) assert_int_equal(pthread_join(made[i], NULL), 0);
}

/* --- stanzas ------------------------------------------------------------------------------------------ */

/* "in a message, out b message, ..." of the lines that wait. */
static const char *stanzas(svi_follower *one)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (sv_str rest = svi_follower_lines(one); rest.n > 0;) {
        json_t *line = next_line(&rest);
        const char *direction = NULL, *session = NULL, *id = NULL;
        assert_int_equal(json_unpack(line, "{s:{s:s, s:s, s:s}}", "record", "direction", &direction,
                                     "session", &session, "id", &id),
                         0);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s %s %s, ", direction, session, id);
        json_decref(line);
    }
    return text;
}

static void stanza_filters(void **state)
{
    place *p = *state;
    world *w = p->world;
    client *a = join(w, "romeo", "a"), *b = join(w, "romeo", "b"), *c = join(w, "juliet", "c");
    svi_follower *all = add(p, STANZAS_OF()),
                 *bare = add(p, STANZAS_OF(.user = jid(p, "romeo@example.org"))),
                 *full = add(p, STANZAS_OF(.user = jid(p, "romeo@example.org/b"))),
                 *host = add(p, STANZAS_OF(.host = SV_STR("example.net"))),
                 *kind = add(p, STANZAS_OF(.element = SV_STR("iq")));
    tell(a, "<message to='juliet@example.org/c' id='1'/>");
    tell(c, "<message to='romeo@example.org/b' id='2'/>");
    tell(b, "<iq type='get' to='nobody@example.org/x' id='3'><q xmlns='x'/></iq>");
    assert_string_equal(stanzas(all), "in romeo@example.org/a 1, out juliet@example.org/c 1, "
                                      "in juliet@example.org/c 2, out romeo@example.org/b 2, "
                                      "in romeo@example.org/b 3, out romeo@example.org/b 3, ");
    assert_string_equal(stanzas(bare), "in romeo@example.org/a 1, out romeo@example.org/b 2, "
                                       "in romeo@example.org/b 3, out romeo@example.org/b 3, ");
    assert_string_equal(stanzas(full), "out romeo@example.org/b 2, in romeo@example.org/b 3, "
                                       "out romeo@example.org/b 3, ");
    assert_string_equal(stanzas(host), "");
    assert_string_equal(stanzas(kind), "in romeo@example.org/b 3, out romeo@example.org/b 3, ");
    svi_follower *const each[] = {all, bare, full, host, kind};
    for (size_t i = 0; i < 5; i++) {
        svi_follower *one = each[i];
        svi_follower_free(&one);
    }
    BALANCED(w);
}

/* The line of what a client sends. */
static json_t *seen_as(place *p, client *from, svi_follower *one, const char *xml)
{
    tell(from, xml);
    sv_str rest = svi_follower_lines(one);
    json_t *line = next_line(&rest);
    json_t *record = json_incref(json_object_get(line, "record"));
    (void)json_object_set(record, "told", json_object_get(line, "text"));
    json_decref(line);
    (void)p;
    return record;
}

static const char *text_of(const json_t *record, const char *name)
{
    return json_string_value(json_object_get(record, name));
}

/* House rule: names and addresses, never contents, unless somebody asks for them. */
static void contents(void **state)
{
    place *p = *state;
    client *a = join(p->world, "romeo", "a");
    svi_follower *heads = add(p, STANZAS_OF(.element = SV_STR("message")));
    static const char message[] = "<message type='chat' to='juliet@example.org/\xe2\x80\xae' id='1'>"
                                  "<body>what light</body><x xmlns='urn:y'/></message>";
    json_t *record = seen_as(p, a, heads, message);
    const char *told = text_of(record, "told");
    assert_null(text_of(record, "xml"));
    assert_null(strstr(told, "light"));
    assert_non_null(strstr(told, " in   romeo@example.org/a  message type=chat to=juliet@example.org/? "
                                 "id=1 (body x) "));
    char *whole = json_dumps(record, 0);
    assert_null(strstr(whole, "light"));
    assert_non_null(strstr(whole, "{\"name\": \"x\", \"ns\": \"urn:y\"}"));
    free(whole);
    json_decref(record);
    svi_follower_free(&heads);
    svi_follower *xml = add(p, STANZAS_OF(.element = SV_STR("message"), .wants_xml = true));
    record = seen_as(p, a, xml, message);
    assert_non_null(strstr(text_of(record, "xml"), "<body>what light</body>"));
    json_decref(record);
    char bodies[SVI_FOLLOW_XML_BYTES + 2000];
    (void)snprintf(bodies, sizeof bodies, "<message id='2' to='x@example.org/y'><body>%0*d</body></message>",
                   SVI_FOLLOW_XML_BYTES + 1000, 7);
    record = seen_as(p, a, xml, bodies);
    assert_int_equal(strlen(text_of(record, "xml")), SVI_FOLLOW_XML_BYTES);
    assert_true(json_is_true(json_object_get(record, "cut")));
    assert_true(json_integer_value(json_object_get(record, "bytes")) > SVI_FOLLOW_XML_BYTES + 1000);
    json_decref(record);
    svi_follower_free(&xml);
}

/* XEP-0077 3.1 and 3.3, XEP-0078 3.1, XEP-0045 7.2.5, XEP-0004 3.3 (text-private). */
static void passwords(void **state)
{
    place *p = *state;
    client *a = join(p->world, "romeo", "a");
    svi_follower *xml = add(p, STANZAS_OF(.element = SV_STR("message"), .wants_xml = true));
    static const char *const secret[] = {
        "<query xmlns='jabber:iq:register'><password>hush</password></query>",
        "<query xmlns='jabber:iq:auth'><digest>hush</digest></query>",
        "<x xmlns='http://jabber.org/protocol/muc'><password>hush</password></x>",
        "<x xmlns='jabber:x:conference' jid='a@b' password='hush'/>",
        "<x xmlns='jabber:x:data'><field type='text-private' var='pin'><value>hush</value></field></x>",
        "<x xmlns='jabber:x:data'><field var='accountPassword'><value>hush</value></field></x>",
    };
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
        char message[512];
        (void)snprintf(message, sizeof message, "<message to='x@example.org/y' id='1'>%s</message>", secret[i]);
        json_t *record = seen_as(p, a, xml, message);
        char *whole = json_dumps(record, 0);
        assert_null(strstr(whole, "hush"));
        free(whole);
        assert_true(json_is_true(json_object_get(record, "hidden")));
        json_decref(record);
    }
    json_t *record = seen_as(p, a, xml, "<message to='x@example.org/y' id='1'><x xmlns='jabber:x:data'>"
                                        "<field var='colour'><value>red</value></field></x></message>");
    assert_non_null(strstr(text_of(record, "xml"), "<value>red</value>"));
    json_decref(record);
    svi_follower_free(&xml);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(log_filters), T(log_line),       T(gap),      T(gap_is_one), T(too_many),  T(ready),
        T(threads),     T(stanza_filters), T(contents), T(passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
