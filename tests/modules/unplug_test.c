/* The server without any single module of those that are shipped: it starts, people talk as far as what is left allows, and
 * it tells of itself exactly what is there. What each module brings is taken from its own description. */
#include <dirent.h>

#include "mods/mods_describe.h"
#include "modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define NS_INFO "http://jabber.org/protocol/disco#info"

enum { MODULES_MAX = 64, FEATURES_MAX = 128, TEXT = 256 };

typedef struct module {
    char name[64];
    json_t *what; /* svi_mods_describe */
    bool is_there;
} module;

typedef struct modules {
    module items[MODULES_MAX];
    size_t count, last; /* which stands last in modules_enabled */
} modules;

typedef struct features {
    char items[FEATURES_MAX][TEXT];
    size_t count;
} features;

/* --- what is shipped ------------------------------------------------------------------------------------ */

static int is_object(const struct dirent *entry)
{
    return svi_str_ends(sv_str_of(entry->d_name), SV_STR(".so"));
}

static modules *shipped(svi_acct *acct)
{
    char folder[TESTING_PATH];
    struct dirent **found;
    modules *all = calloc(1, sizeof *all);
    assert_non_null(all);
    testing_path("modules", folder);
    const int count = scandir(folder, &found, is_object, alphasort);
    assert_in_range(count, 9, MODULES_MAX);
    for (int i = 0; i < count; i++) {
        char path[TESTING_PATH * 2];
        module *m = &all->items[all->count++];
        snprintf(path, sizeof path, "%s/%s", folder, found[i]->d_name);
        snprintf(m->name, sizeof m->name, "%.*s", (int)strlen(found[i]->d_name) - 3, found[i]->d_name);
        m->what = svi_mods_describe(acct, path);
        m->is_there = true;
        if (!json_is_true(json_object_get(m->what, "ok"))) fail_msg("%s is refused", path);
        free(found[i]);
    }
    free(found);
    return all;
}

static void forget_modules(modules *all)
{
    for (size_t i = 0; i < all->count; i++) json_decref(all->items[i].what);
    free(all);
}

static const json_t *list_of(const module *m, const char *what)
{
    return json_object_get(m->what, what);
}

static bool lists(const json_t *list, const char *word)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(item), word) == 0) return true;
    }
    return false;
}

/* The names of those that are there, as modules_enabled has them. */
static const char *names_of(const modules *all, char *to, size_t size)
{
    size_t n = 0;
    to[0] = '\0';
    for (size_t i = 0; i < all->count; i++) {
        const module *m = &all->items[(all->last + 1 + i) % all->count];
        if (m->is_there) n += (size_t)snprintf(to + n, size - n, "%s\"%s\"", n > 0 ? ", " : "", m->name);
    }
    return to;
}

/* Takes out what needs `name`, and what needs that; a start without it must name each that needs it by itself. */
static void unplug(modules *all, const char *name)
{
    char text[1024], why[256];
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->items[i].name, name) == 0) all->items[i].is_there = false;
    for (size_t i = 0; i < all->count; i++) {
        module *m = &all->items[i];
        if (!m->is_there || !lists(list_of(m, "needs"), name)) continue;
        world *w = world_new();
        snprintf(why, sizeof why, "module \"%s\" needs module \"%s\": add it to modules_enabled", m->name, name);
        assert_start_fails(w, names_of(all, text, sizeof text), why);
        world_free(w);
        unplug(all, m->name);
    }
}

/* --- what is told --------------------------------------------------------------------------------------- */

static void add(features *to, const char *feature)
{
    for (size_t i = 0; i < to->count; i++)
        if (strcmp(to->items[i], feature) == 0) return;
    assert_true(to->count < FEATURES_MAX);
    snprintf(to->items[to->count++], TEXT, "%s", feature);
}

static bool holds(const features *f, const char *feature)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->items[i], feature) == 0) return true;
    return false;
}

/* What the modules that are there declare. */
static void declared(const modules *all, const char *of, features *to)
{
    to->count = 0;
    for (size_t i = 0; i < all->count; i++) {
        size_t k;
        json_t *item;
        if (!all->items[i].is_there) continue;
        json_array_foreach(list_of(&all->items[i], of), k, item) add(to, json_string_value(item));
    }
}

/* What disco#info says; `to` NULL is the own account. */
static void told(world *w, client *c, const char *to, features *f)
{
    char text[512];
    f->count = 0;
    snprintf(text, sizeof text, "<iq type='get' id='q'%s%s%s><query xmlns='" NS_INFO "'/></iq>",
             to ? " to='" : "", to ? to : "", to ? "'" : "");
    say(w, c, text);
    assert_int_equal(SEEN(w, c, .id = "q", .type = "result"), 1);
    svi_buf_putc(&c->in, '\0');
    for (const char *at = c->in.data; (at = strstr(at, "<feature var='")) != NULL;) {
        char feature[TEXT];
        at += strlen("<feature var='");
        snprintf(feature, sizeof feature, "%.*s", (int)strcspn(at, "'"), at);
        assert_false(holds(f, feature)); /* XEP-0030 3.1: once */
        add(f, feature);
    }
}

static void assert_same(const features *got, const features *wanted, const char *who, const char *without)
{
    for (size_t i = 0; i < got->count; i++)
        if (!holds(wanted, got->items[i]))
            fail_msg("without %s, %s tells of %s, which nobody has", without, who, got->items[i]);
    for (size_t i = 0; i < wanted->count; i++)
        if (!holds(got, wanted->items[i]))
            fail_msg("without %s, %s does not tell of %s", without, who, wanted->items[i]);
}

static bool is_there(const modules *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->items[i].name, name) == 0) return all->items[i].is_there;
    fail_msg("no module %s is shipped", name);
    return false;
}

static void disco_tells_the_truth(world *w, client *c, const modules *all, const char *without)
{
    features got, wanted;
    if (!is_there(all, "disco")) {
        say(w, c, "<iq type='get' id='q' to='" HERE "'><query xmlns='" NS_INFO "'/></iq>");
        assert_int_equal(SEEN(w, c, .id = "q", .type = "error", .holds = "<service-unavailable "), 1);
        return;
    }
    told(w, c, HERE, &got);
    declared(all, "features", &wanted);
    assert_same(&got, &wanted, "the host", without);
    told(w, c, NULL, &got);
    declared(all, "account-features", &wanted);
    assert_same(&got, &wanted, "the account", without);
}

/* Those of the description are there with their module and gone with it; caps makes its own. */
static void streams_tell_the_truth(world *w, const modules *all, const char *without)
{
    const sv_str shown = svi_host_features(svi_host_find(w->server, SV_STR(HERE)));
    for (size_t i = 0; i < all->count; i++) {
        const module *m = &all->items[i];
        const char *xml = json_string_value(list_of(m, "stream-features"));
        if (strcmp(m->name, "caps") == 0) xml = "<c xmlns='http://jabber.org/protocol/caps'";
        if (xml == NULL) continue;
        const bool is_told = shown.n > 0 && memmem(shown.p, shown.n, xml, strlen(xml)) != NULL;
        if (is_told != m->is_there)
            fail_msg("without %s, the stream feature %s is%s told", without, xml, is_told ? "" : " not");
    }
}

/* --- what is answered ----------------------------------------------------------------------------------- */

static bool has_hook(const modules *all, const char *on)
{
    for (size_t i = 0; i < all->count; i++) {
        size_t k;
        json_t *hook;
        if (!all->items[i].is_there) continue;
        json_array_foreach(list_of(&all->items[i], "hooks"), k, hook)
        {
            if (strcmp(json_string_value(json_object_get(hook, "on")), on) == 0) return true;
        }
    }
    return false;
}

/* A request as the hook wants it: "iq-get/host {namespace}element", at the host or the own account; false if it is of
 * another kind. */
static bool request_for(const char *on, char *to, size_t size)
{
    char type[4], scope[16], ns[128], name[64];
    if (sscanf(on, "iq-%3[a-z]/%15[a-z] {%127[^}]}%63s", type, scope, ns, name) != 4) return false;
    const bool is_host = strcmp(scope, "host") == 0;
    if (!is_host && strcmp(scope, "self") != 0) return false;
    snprintf(to, size, "<iq type='%s' id='q'%s><%s xmlns='%s'/></iq>", type, is_host ? " to='" HERE "'" : "", name, ns);
    return true;
}

/* Each request that a module answers is answered by it, or by nobody when it is not there. */
static size_t requests(world *w, client *c, const modules *all, const char *without)
{
    size_t refused = 0;
    for (size_t i = 0; i < all->count; i++) {
        size_t k;
        json_t *hook;
        json_array_foreach(list_of(&all->items[i], "hooks"), k, hook)
        {
            char text[512];
            const char *on = json_string_value(json_object_get(hook, "on"));
            if (!request_for(on, text, sizeof text)) continue;
            say(w, c, text);
            assert_int_equal(SEEN(w, c, .id = "q"), 1);
            const bool is_nobodys = SEEN(w, c, .id = "q", .type = "error", .holds = "<service-unavailable ") == 1;
            if (is_nobodys == has_hook(all, on))
                fail_msg("without %s, %s is%s answered: %.*s", without, on, is_nobodys ? " not" : "", (int)c->in.len,
                         c->in.data);
            refused += is_nobodys;
        }
    }
    return refused;
}

/* People talk, subscribe, leave and come back, whatever becomes of it: an address with a resource is always reached. */
static void people_talk(world *w, client *romeo, const modules *all)
{
    client *juliet = online(w, JULIET "/balcony");
    say(w, romeo,
        "<presence/><message to='" JULIET "/balcony' type='chat' id='full'><body>x</body></message>"
        "<message to='" JULIET "' type='chat' id='bare'><body>x</body></message>"
        "<presence type='subscribe' to='" JULIET "'/>");
    assert_int_equal(SEEN(w, juliet, .name = "message", .id = "full"), 1);
    assert_int_equal(SEEN(w, romeo, .id = "full"), 0);
    const bool is_kept = is_there(all, "offline"), shows = is_there(all, "presence");
    const bool reaches = is_there(all, "message") && shows; /* else nobody is available */
    assert_int_equal(SEEN(w, juliet, .name = "message", .id = "bare"), reaches);
    const bool is_stored = is_kept || is_there(all, "archive");
    assert_int_equal(SEEN(w, romeo, .name = "message", .id = "bare", .type = "error"), !reaches && !is_stored);
    assert_int_equal(SEEN(w, juliet, .type = "subscribe"), shows);
    say(w, juliet, "<presence type='subscribed' to='" ROMEO "'/><presence type='subscribe' to='" ROMEO "'/>");
    part(w, juliet);
    say(w, romeo, "<message to='" JULIET "' type='chat' id='later'><body>x</body></message>");
    assert_int_equal(SEEN(w, romeo, .id = "later", .type = "error"), !is_stored);
    juliet = join(w, JULIET "/balcony");
    say(w, juliet, "<presence/>");
    assert_int_equal(SEEN(w, juliet, .id = "later"), is_kept && shows);
}

/* --- the tests -------------------------------------------------------------------------------------------- */

static size_t run_without(const modules *all, const char *without)
{
    char text[1024];
    world *w = stage(names_of(all, text, sizeof text), "");
    account(w, "romeo");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    disco_tells_the_truth(w, romeo, all, without);
    streams_tell_the_truth(w, all, without);
    const size_t refused = requests(w, romeo, all, without);
    people_talk(w, romeo, all);
    leave(w);
    return refused;
}

static void nothing_is_unplugged(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    modules *all = shipped(&acct);
    assert_int_equal(run_without(all, "nothing"), 0);
    forget_modules(all);
}

static void any_single_module_is_unplugged(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    modules *all = shipped(&acct);
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < all->count; k++) all->items[k].is_there = true;
        unplug(all, all->items[i].name);
        (void)run_without(all, all->items[i].name);
    }
    forget_modules(all);
}

static void all_are_unplugged(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    modules *all = shipped(&acct);
    for (size_t i = 0; i < all->count; i++) all->items[i].is_there = false;
    assert_true(run_without(all, "all") > 5);
    forget_modules(all);
}

/* The same by reloads, while somebody is on line: what is told follows at once. */
static void they_are_unplugged_in_use(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    char text[1024], config[2048];
    modules *all = shipped(&acct);
    world *w = stage(names_of(all, text, sizeof text), "");
    account(w, "romeo");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard");
    for (size_t i = 0; i < 2 * all->count; i++) {
        for (size_t k = 0; k < all->count; k++) all->items[k].is_there = true;
        all->last = i / 2; /* the end is where a missing one is seen least */
        const bool is_whole = i % 2 == 0;
        if (!is_whole) unplug(all, all->items[i / 2].name);
        snprintf(config, sizeof config, "VirtualHost \"" HERE "\"\nmodules_enabled = { %s }\n",
                 names_of(all, text, sizeof text));
        reloaded(w, config);
        turn(w);
        const char *without = is_whole ? "nothing" : all->items[i / 2].name;
        disco_tells_the_truth(w, romeo, all, without);
        streams_tell_the_truth(w, all, without);
        (void)requests(w, romeo, all, without);
    }
    leave(w);
    forget_modules(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_unplugged),
        cmocka_unit_test(any_single_module_is_unplugged),
        cmocka_unit_test(all_are_unplugged),
        cmocka_unit_test(they_are_unplugged_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
