/* The matcher: what a pattern asks for and what it leaves open, captures, text that is made up. */
#include "flow.h"

#include "base/base_testing.h"
#include <string.h>

static svi_acct test_acct = {.name =
                                 "flow-match"}; /* lint: allow global (the tests' one account) */

typedef struct fixture {
    flow_vars vars;
    char why[600];
} fixture;

static int set_up(void **state)
{
    fixture *f = svi_alloc(&test_acct, sizeof *f);
    f->vars.arena = svi_arena_new(&test_acct, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    svi_arena_free(&f->vars.arena);
    svi_free(f);
    return 0;
}

static sv_stanza *parse(const char *xml)
{
    sv_stanza *stanza = NULL;
    sv_err err = {.text = ""};
    if (svi_stanza_parse(&test_acct, NULL, sv_str_of(xml), SV_STR(SVI_NS_CLIENT), &stanza, &err) !=
        SV_OK)
        fail_msg("%s: %s", xml, err.text);
    return stanza;
}

static bool matches(fixture *f, const char *want, const char *got)
{
    sv_stanza *pattern = parse(want), *stanza = parse(got);
    f->why[0] = 0;
    const bool ok = flow_match(svi_stanza_root(pattern), svi_stanza_root(stanza), &f->vars, f->why,
                               sizeof f->why);
    assert_true(ok || f->why[0]); /* a failure says why */
    svi_stanza_unref(&pattern);
    svi_stanza_unref(&stanza);
    return ok;
}

static void asks_for_a_part(void **state)
{
    fixture *f = *state;
    const char *got =
        "<message id='1' to='a@b' type='chat'><body>hi</body><x xmlns='u' a='1'/></message>";
    assert_true(matches(f, "<message/>", got));
    assert_true(matches(f, "<message id='1'/>", got));
    assert_true(matches(f, "<message><x xmlns='u'/><body/></message>", got));
    assert_true(matches(f, "<message><body>\n  hi </body></message>", got)); /* indented patterns */
    assert_false(matches(f, "<iq/>", got));
    assert_false(matches(f, "<message xmlns='jabber:server'/>", got));
    assert_false(matches(f, "<message id='2'/>", got));
    assert_false(matches(f, "<message from='a@b'/>", got));
    assert_false(matches(f, "<message><body>ho</body></message>", got));
    assert_false(matches(f, "<message><x/></message>", got)); /* another namespace */
    assert_false(matches(f, "<message><x xmlns='u' a='2'/></message>", got));
    assert_non_null(strstr(f->why, "expected '2', got '1'"));
}

static void attributes(void **state)
{
    fixture *f = *state;
    assert_true(matches(f, "<m a='{any}' b='{none}'/>", "<m a='1'/>"));
    assert_false(matches(f, "<m a='{any}'/>", "<m a=''/>"));
    assert_false(matches(f, "<m a='{any}'/>", "<m/>"));
    assert_false(matches(f, "<m b='{none}'/>", "<m b=''/>"));
    assert_true(matches(f, "<m xml:lang='de'/>", "<m xml:lang='de' lang='en'/>"));
    assert_false(matches(f, "<m xml:lang='de'/>", "<m lang='de'/>"));
    assert_false(matches(f, "<m a=''/>", "<m/>")); /* empty is not absent */
    assert_true(matches(f, "<m a='{b'/>", "<m a='{b'/>"));
}

static void each_child_is_wanted_once(void **state)
{
    fixture *f = *state;
    assert_false(matches(f, "<m><a/><a/></m>", "<m><a/></m>"));
    assert_true(matches(f, "<m><a/><a/></m>", "<m><a n='1'/><b/><a n='2'/></m>"));
    assert_true(matches(f, "<m><a n='2'/><a n='1'/></m>", "<m><a n='1'/><a n='2'/></m>"));
    assert_false(matches(f, "<m><a n='2'/><a n='2'/></m>", "<m><a n='1'/><a n='2'/></m>"));
}

static void exact(void **state)
{
    fixture *f = *state;
    assert_true(matches(f, "<m a='1' flow-exact='1'><b/></m>", "<m a='1'><b c='1'/></m>"));
    assert_false(matches(f, "<m flow-exact='1'><b/></m>", "<m a='1'><b/></m>"));
    assert_false(matches(f, "<m flow-exact='1'><b/></m>", "<m><b/><c/></m>"));
    assert_false(matches(f, "<m flow-exact='1'/>", "<m>text</m>"));
    assert_true(matches(f, "<m flow-exact='1' a='{none}'/>", "<m/>"));
}

static void absent(void **state)
{
    fixture *f = *state;
    assert_true(matches(f, "<m><b flow-absent='1'/></m>", "<m><c/></m>"));
    assert_false(matches(f, "<m><b flow-absent='1'/></m>", "<m><c/><b/></m>"));
    assert_true(matches(f, "<m><b n='1' flow-absent='1'/></m>", "<m><b n='2'/></m>"));
    /* also what another child of the pattern has found already */
    assert_false(matches(f, "<m><b/><b n='1' flow-absent='1'/></m>", "<m><b n='1'/></m>"));
    assert_true(matches(f, "<m flow-exact='1'><b flow-absent='1'/></m>", "<m/>"));
}

static void captures(void **state)
{
    fixture *f = *state;
    assert_true(matches(f, "<m id='{save ID}'><b>{save TEXT}</b></m>", "<m id='x7'><b>y</b></m>"));
    assert_true(matches(f, "<m a='{ID}-{TEXT}'/>", "<m a='x7-y'/>"));
    assert_false(matches(f, "<m a='{ID}'/>", "<m a='y'/>"));
    assert_false(matches(f, "<m id='{save ID}'/>", "<m id=''/>"));
    /* a failed match keeps nothing, new or changed */
    assert_false(matches(f, "<m id='{save ID}' n='{save NEW}'><c/></m>", "<m id='z' n='n'/>"));
    assert_true(matches(f, "<m a='{ID}' b='{NEW}'/>", "<m a='x7' b='{NEW}'/>"));
    /* a child that did not fit after all, neither */
    assert_true(
        matches(f, "<m><a id='{save A}' n='2'/></m>", "<m><a id='1' n='1'/><a id='2' n='2'/></m>"));
    assert_true(matches(f, "<m a='{A}'/>", "<m a='2'/>"));
    /* within one stanza */
    assert_true(matches(f, "<m a='{save S}' b='{S}'/>", "<m a='s' b='s'/>"));
    assert_false(matches(f, "<m a='{save S}' b='{S}'/>", "<m a='s' b='t'/>"));
}

static void expands(void **state)
{
    fixture *f = *state;
    flow_vars_set(&f->vars, SV_STR("romeo.user"), SV_STR("romeo.1"));
    const struct {
        const char *text, *result;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"{romeo.user}@x {romeo.user}", "romeo.1@x romeo.1"},
        {"{unknown} { } {} {", "{unknown} { } {} {"},
        {"a}b", "a}b"},
        {"<{repeat 3 ab}>", "<ababab>"},
        {"{repeat 0 ab}", ""},
        {"{repeat 2  }", "  "},
        {"{repeat x ab}{repeat -1 ab}{repeat}", "{repeat x ab}{repeat -1 ab}{repeat}"},
        {"{base64 n,,n={romeo.user},r=abcdef}", "biwsbj1yb21lby4xLHI9YWJjZGVm"},
        {"{base64 {repeat 3 a}}", "YWFh"},
        {"{outer {romeo.user}}", "{outer romeo.1}"},
        {"{outer {romeo.user}", "{outer romeo.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sv_str got = flow_vars_expand(&f->vars, sv_str_of(cases[i].text));
        if (!sv_str_eq(got, sv_str_of(cases[i].result)))
            fail_msg("'%s' became '%.*s'", cases[i].text, (int)got.n, got.n ? got.p : "");
    }
    assert_int_equal(flow_vars_expand(&f->vars, SV_STR("{repeat 300000 abc}")).n, 900000);
}

static void patterns_expand_too(void **state)
{
    fixture *f = *state;
    assert_true(matches(f, "<m><b>{repeat 4 x}</b></m>", "<m><b>xxxx</b></m>"));
    assert_false(matches(f, "<m><b>{repeat 4 x}</b></m>", "<m><b>xxxxx</b></m>"));
}

/* What doesn't fit into the caller's room is cut, not written behind it. */
static void reasons_fit(void **state)
{
    fixture *f = *state;
    sv_stanza *pattern = parse("<m><b><c a='1'/></b></m>"),
              *stanza = parse("<m><b><c a='2222222222'/></b></m>");
    char why[24];
    memset(why, '!', sizeof why);
    assert_false(flow_match(svi_stanza_root(pattern), svi_stanza_root(stanza), &f->vars, why, 16));
    assert_int_equal(strlen(why), 15);
    assert_int_equal(why[16], '!');
    svi_stanza_unref(&pattern);
    svi_stanza_unref(&stanza);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(asks_for_a_part),
        CASE(attributes),
        CASE(each_child_is_wanted_once),
        CASE(exact),
        CASE(absent),
        CASE(captures),
        CASE(expands),
        CASE(patterns_expand_too),
        CASE(reasons_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
