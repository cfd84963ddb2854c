/* Tests of entity capabilities of clients: who is asked, what is believed, what is kept and how long; and of
 * what the host shows. */
#include "../../tests/modules/modules_world.h"
#include "caps_examples_test.h"

#include <openssl/evp.h>

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define WITH_CAPS "\"disco\", \"roster\", \"presence\", \"caps\", \"asks_caps\""
#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define MUC "http://jabber.org/protocol/muc"
/* SHA-256 of XEP-0390's octets of a client/pc with the feature "a": of language "en", and without one */
#define INHERITED_SHA_256 "FLW9SYK484kgqhJC4yMFBYOByY5bOGOFPVwG52WYers="
#define PLAIN_SHA_256 "RrbFUG5ceZshJwhC2Fx8OXFruyJgS5Dak8pypUBAS4o="
#define DAY_US (24 * 3600 * INT64_C(1000000))

static const char empty[] = "<query xmlns='" NS_INFO "'/>";

/* --- what clients do ----------------------------------------------------------------------- */

static void show_old(world *w, client *c, const char *function, const char *ver)
{
    char text[512];
    snprintf(text, sizeof text,
             "<presence><c xmlns='http://jabber.org/protocol/caps' hash='%s' node='urn:client' "
             "ver='%s'/></presence>",
             function, ver);
    say(w, c, text);
}

static void show_new(world *w, client *c, const char *function, const char *digest)
{
    char text[512];
    snprintf(text, sizeof text,
             "<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='%s'>%s</hash>"
             "</c></presence>",
             function, digest);
    say(w, c, text);
}

/* The id of the one question that the client got since it spoke last; "" if it was asked nothing. */
static const char *asked_id(const client *c, char id[64])
{
    const char *at = c->in.len > 0 ? memmem(c->in.data, c->in.len, "caps-", 5) : NULL;
    snprintf(id, 64, "%.*s", at != NULL ? 37 : 0, at != NULL ? at : "");
    return id;
}

static void assert_asked(world *w, const client *c, const char *node)
{
    char holds[512];
    snprintf(holds, sizeof holds, "<query xmlns='" NS_INFO "' node='%s'/>", node);
    if (SEEN(w, c, .name = "iq", .type = "get", .from = HERE, .holds = holds) != 1)
        fail_msg("not asked for %s: %.*s", node, (int)c->in.len, c->in.len ? c->in.data : "");
}

static void assert_not_asked(world *w, const client *c)
{
    assert_int_equal(SEEN(w, c, .name = "iq", .type = "get"), 0);
}

static void answer_id(world *w, client *c, const char *id, const char *type, const char *query)
{
    char text[8192];
    snprintf(text, sizeof text, "<iq type='%s' id='%s' to='" HERE "'>%s%s</iq>", type, id, query,
             strcmp(type, "error") == 0 ? "<error type='cancel'/>" : "");
    say(w, c, text);
}

/* Answers the question that it got. */
static void answers(world *w, client *c, const char *query)
{
    char id[64];
    assert_int_equal(strlen(asked_id(c, id)), 37);
    answer_id(w, c, id, "result", query);
}

/* What another module finds out about a session's client. */
static void assert_client(world *w, const char *jid, const char *feature, const char *wanted)
{
    char text[512];
    client *c = join(w, "nurse@" HERE "/ask");
    snprintf(text, sizeof text,
             "<iq type='get' id='h' to='" HERE "'><has xmlns='urn:stave:asks' jid='%s' var='%s'/></iq>",
             jid, feature);
    say(w, c, text);
    assert_has(&c->in, wanted);
    part(w, c);
}

static bool is_kept(world *w, const char *key)
{
    char record[4096];
    return read_row(w, "caps/infos", key, "info", record, sizeof record);
}

/* --- hashes -------------------------------------------------------------------------------- */

/* The examples of both documents: the hash that they give is the one that proves the answer. */
static void examples(void **state)
{
    static const struct {
        const char *function, *digest, *query, *key, *node;
        bool is_new;
    } cases[] = {
        {"sha-1", EXODUS_VER, exodus, "/115:sha-1:" EXODUS_VER, "urn:client#" EXODUS_VER, false},
        {"sha-1", PSI_VER, psi, "/115:sha-1:" PSI_VER, "urn:client#" PSI_VER, false},
        {"sha-256", BOMBUS_SHA_256, bombus, "/390:sha-256:" BOMBUS_SHA_256,
         "urn:xmpp:caps#sha-256." BOMBUS_SHA_256, true},
        {"sha3-256", BOMBUS_SHA3_256, bombus, "/390:sha3-256:" BOMBUS_SHA3_256,
         "urn:xmpp:caps#sha3-256." BOMBUS_SHA3_256, true},
        {"sha-256", TKABBER_SHA_256, tkabber, "/390:sha-256:" TKABBER_SHA_256,
         "urn:xmpp:caps#sha-256." TKABBER_SHA_256, true},
        {"sha3-256", TKABBER_SHA3_256, tkabber, "/390:sha3-256:" TKABBER_SHA3_256,
         "urn:xmpp:caps#sha3-256." TKABBER_SHA3_256, true},
    };
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (cases[i].is_new ? show_new : show_old)(w, c, cases[i].function, cases[i].digest);
        assert_asked(w, c, cases[i].node);
        assert_false(is_kept(w, cases[i].key));
        answers(w, c, cases[i].query);
        if (!is_kept(w, cases[i].key)) fail_msg("%s is not proved", cases[i].key);
    }
    assert_client(w, ROMEO "/a", "urn:xmpp:avatar:metadata+notify",
                  "record='yes' own='no' has='yes' count='42' told='6'");
    leave(w);
}

/* XEP-0390 4.1: what a language is inherited from counts; what others compute without that, too. */
static void inherited_languages(void **state)
{
    static const char *const digests[] = {INHERITED_SHA_256, PLAIN_SHA_256};
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    for (size_t i = 0; i < 2; i++) {
        char id[64], text[512];
        show_new(w, c, "sha-256", digests[i]);
        snprintf(text, sizeof text,
                 "<iq type='result' id='%s' to='" HERE "' xml:lang='en'><query xmlns='" NS_INFO "'>"
                 "<identity category='client' type='pc'/><feature var='a'/></query></iq>",
                 asked_id(c, id));
        say(w, c, text);
        snprintf(text, sizeof text, "/390:sha-256:%s", digests[i]);
        if (!is_kept(w, text)) fail_msg("%s is not proved", text);
    }
    leave(w);
}

/* Whoever shows both is asked for what proves more (XEP-0390 7.2). */
static void the_newer_one(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    say(w, c,
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:client' ver='x'/>"
        "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='md5'>x</hash>"
        "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>" BOMBUS_SHA_256 "</hash></c></presence>");
    assert_asked(w, c, "urn:xmpp:caps#sha-256." BOMBUS_SHA_256);
    leave(w);
}

/* XEP-0115 4, 5.4 rule 1: what proves nothing is not asked for. */
static void no_claims(void **state)
{
    static const char *const presences[] = {
        "<presence/>",
        "<presence><c xmlns='http://jabber.org/protocol/caps' node='n' ver='1.0' ext='a'/></presence>",
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n'/></presence>",
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='v'/></presence>",
        "<presence><c xmlns='urn:xmpp:caps'/></presence>",
        "<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='x'/></c></presence>",
        "<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:x' algo='sha-1'>y</hash></c></presence>",
    };
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    for (size_t i = 0; i < sizeof presences / sizeof presences[0]; i++) {
        say(w, c, presences[i]);
        assert_not_asked(w, c);
    }
    char long_ver[400];
    memset(long_ver, 'v', sizeof long_ver - 1);
    long_ver[sizeof long_ver - 1] = 0;
    show_old(w, c, "sha-1", long_ver); /* no function makes such */
    assert_not_asked(w, c);
    assert_client(w, ROMEO "/a", MUC, "record='no'");
    leave(w);
}

static void sha_1(world *w, const char *text, char to[64])
{
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    svi_buf buf;
    assert_int_equal(EVP_Digest(text, strlen(text), raw, &n, EVP_sha1(), NULL), 1);
    svi_buf_init(&buf, &w->acct);
    svi_base64_put(&buf, (sv_str){(const char *)raw, n});
    snprintf(to, 64, "%.*s", (int)buf.len, buf.data);
    svi_buf_free(&buf);
}

/* --- liars --------------------------------------------------------------------------------- */

/* Threats U7, XEP-0115 9.3: an answer that does not fit, one that could be read in two ways, one that is
 * ill-formed (5.4 rules 3.3 to 3.5) and one that is not of the form (XEP-0390 4.1) are of the session that
 * gave them, and of no other; the next one who shows the hash is asked. */
static void liars_poison_nothing(void **state)
{
#define ID "<identity category='client' type='pc' name='Exodus 0.9.1'/>"
#define CAPS "<feature var='http://jabber.org/protocol/caps'/>"
#define ITEMS "<feature var='http://jabber.org/protocol/disco#items'/>"
#define INFO "<feature var='http://jabber.org/protocol/disco#info'/>"
#define QUERY(x) "<query xmlns='" NS_INFO "'>" x "</query>"
#define FORM(x) "<x xmlns='jabber:x:data' type='result'>" x "</x>"
#define HIDDEN(x) "<field var='FORM_TYPE' type='hidden'><value>" x "</value></field>"
    static const struct {
        const char *query;
        bool muc; /* what it says of itself */
    } lies[] = {
        {QUERY(ID CAPS INFO ITEMS), false},
        {QUERY(ID CAPS INFO ITEMS "<feature var='" MUC "'/><feature var='urn:x'/>"), true},
        /* the same S in other ways */
        {QUERY("<identity category='client' type='pc' name='Exodus 0.9.1&lt;http://jabber.org/"
               "protocol/caps'/>" INFO ITEMS "<feature var='" MUC "'/>"), true},
        {QUERY(ID CAPS INFO "<feature var='http://jabber.org/protocol/disco#items&lt;" MUC "'/>"),
         false},
        {QUERY("<feature var='client/pc//Exodus 0.9.1'/>" CAPS INFO ITEMS "<feature var='" MUC "'/>"),
         true},
        {QUERY(ID CAPS INFO ITEMS FORM(HIDDEN(MUC))), false},
        {QUERY(ID CAPS INFO FORM(HIDDEN("http://jabber.org/protocol/disco#items")
                                 "<field var='" MUC "'/>")), false},
        {QUERY(ID "<identity category='http:' type='' xml:lang='jabber.org' name='protocol/caps'/>"
               INFO ITEMS "<feature var='" MUC "'/>"), true},
        {QUERY(ID ID CAPS INFO ITEMS "<feature var='" MUC "'/>"), true},
        {QUERY(ID CAPS CAPS INFO ITEMS "<feature var='" MUC "'/>"), true},
        {empty, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        world *w = stage(WITH_CAPS, "");
        client *liar = join(w, ROMEO "/liar"), *honest = join(w, JULIET "/a");
        show_old(w, liar, "sha-1", EXODUS_VER);
        show_old(w, honest, "sha-1", EXODUS_VER);
        assert_not_asked(w, honest);
        answers(w, liar, lies[i].query);
        if (is_kept(w, "/115:sha-1:" EXODUS_VER)) fail_msg("believed: %s", lies[i].query);
        assert_asked(w, honest, "urn:client#" EXODUS_VER);
        assert_client(w, ROMEO "/liar", MUC,
                      lies[i].muc ? "record='yes' own='yes' has='yes'"
                                  : "record='yes' own='yes' has='no'");
        assert_client(w, JULIET "/a", MUC, "record='no'");
        answers(w, honest, exodus);
        assert_true(is_kept(w, "/115:sha-1:" EXODUS_VER));
        assert_client(w, JULIET "/a", MUC, "record='yes' own='no' has='yes' count='4'");
        leave(w);
    }
}

/* The hash of S is right, and yet: ill-formed (5.4 rules 3.3 to 3.5), or S of another info as well. */
static void right_hashes_that_prove_nothing(void **state)
{
#define PC "<identity category='client' type='pc'/>"
#define SOFT "urn:xmpp:dataforms:softwareinfo"
#define OS "<field var='os'><value>Mac</value></field>"
    static const struct {
        const char *s, *query;
        bool proves;
    } cases[] = {
        {"client/pc//<f<", QUERY(PC "<feature var='f'/>"), true},
        {"client/pc//<client/pc//<f<", QUERY(PC PC "<feature var='f'/>"), false},
        {"client/pc//<f<f<", QUERY(PC "<feature var='f'/><feature var='f'/>"), false},
        {"client/pc//<f<" SOFT "<os<Mac<", QUERY(PC "<feature var='f'/>" FORM(HIDDEN(SOFT) OS)), true},
        {"client/pc//<f<" SOFT "<os<Mac<" SOFT "<os<Mac<",
         QUERY(PC "<feature var='f'/>" FORM(HIDDEN(SOFT) OS) FORM(HIDDEN(SOFT) OS)), false},
        {"client/pc//<f<" SOFT "<os<Mac<",
         QUERY(PC "<feature var='f'/>" FORM("<field var='FORM_TYPE' type='hidden'><value>" SOFT
                                            "</value><value>zzz</value></field>" OS)), false},
        /* a form without a name is passed over (rule 3.6) */
        {"client/pc//<f<", QUERY(PC "<feature var='f'/>" FORM(OS)), false},
        /* a feature with slashes as an identity, and the other way round */
        {"client/pc//<urn:a/b/c/d<f<", QUERY(PC "<identity category='urn:a' type='b' xml:lang='c' name='d'/>"
                                             "<feature var='f'/>"), false},
        {"client/pc//<f<urn:a/b/c/d<", QUERY(PC "<feature var='f'/><feature var='urn:a/b/c/d'/>"), true},
        {"client/pc//<z/b/c/d<", QUERY(PC "<feature var='z/b/c/d'/>"), false},
        {"f<", QUERY("<feature var='f'/>"), false},
        /* fields as values, and a feature of the form's name */
        {"client/pc//<" SOFT "<os<software<", QUERY(PC FORM(HIDDEN(SOFT) "<field var='os'>"
                                                          "<value>software</value></field>")), false},
        {"client/pc//<" SOFT "<", QUERY(PC "<feature var='" SOFT "'/>"), false},
        {"client/pc//<f<" SOFT "<other<Mac<", QUERY(PC "<feature var='f'/>" FORM(HIDDEN(SOFT)
                                                    "<field var='other'><value>Mac</value></field>")), false},
        {"client/pc//<f<" SOFT "<os<a<b<", QUERY(PC "<feature var='f'/>" FORM(HIDDEN(SOFT)
                                                    "<field var='os'><value>a&lt;b</value></field>")), false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char ver[64], key[128];
        world *w = stage(WITH_CAPS, "");
        client *c = join(w, ROMEO "/a");
        sha_1(w, cases[i].s, ver);
        snprintf(key, sizeof key, "/115:sha-1:%s", ver);
        show_old(w, c, "sha-1", ver);
        answers(w, c, cases[i].query);
        if (is_kept(w, key) != cases[i].proves) fail_msg("%s: %s", cases[i].s, cases[i].query);
        assert_client(w, ROMEO "/a", "none",
                      cases[i].proves ? "record='yes' own='no'" : "record='yes' own='yes'");
        leave(w);
    }
}

static void liars_of_the_newer_form(void **state)
{
#define BODY "<identity category='client' type='pc'/><feature var='a'/>"
    static const char *const lies[] = {
        QUERY(BODY "<feature var='b'/>"),
        QUERY(BODY "<other xmlns='urn:x'/>"),                    /* rule 1 */
        QUERY(BODY "<other/>"),
        QUERY(BODY FORM(HIDDEN("t") "<reported/>")),             /* rule 2 */
        QUERY(BODY FORM("<field var='x'><value>y</value></field>")), /* rule 3 */
        QUERY(BODY FORM("<field var='FORM_TYPE'><value>t</value></field>")),
        QUERY(BODY FORM("<field var='FORM_TYPE' type='hidden'><value>s</value><value>t</value></field>")),
    };
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        world *w = stage(WITH_CAPS, "");
        client *c = join(w, ROMEO "/a");
        show_new(w, c, "sha-256", PLAIN_SHA_256);
        answers(w, c, lies[i]);
        if (is_kept(w, "/390:sha-256:" PLAIN_SHA_256)) fail_msg("believed: %s", lies[i]);
        assert_client(w, ROMEO "/a", "a", "record='yes' own='yes' has='yes'");
        leave(w);
    }
}

/* XEP-0115 5.4 rule 2: by a function that nobody can check. */
static void unknown_functions(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a"), *d = join(w, JULIET "/a");
    show_old(w, c, "whirlpool", "abc");
    answers(w, c, exodus);
    assert_client(w, ROMEO "/a", MUC, "own='yes' has='yes'");
    show_old(w, d, "whirlpool", "abc");
    assert_asked(w, d, "urn:client#abc");
    assert_client(w, JULIET "/a", MUC, "record='no'");
    show_old(w, c, "sha-1", EXODUS_VER); /* what it shows now is another thing */
    assert_client(w, ROMEO "/a", MUC, "record='no'");
    leave(w);
}

/* XEP-0115 8.4, XEP-0390 6.2: not each presence must have hashes; the last ones hold. */
static void presence_without_hashes(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    show_old(w, c, "sha-1", EXODUS_VER);
    answers(w, c, exodus);
    say(w, c, "<presence><show>away</show></presence>");
    assert_not_asked(w, c);
    assert_client(w, ROMEO "/a", MUC, "own='no' has='yes'");
    leave(w);
}

/* Only who was asked can answer, and only what was asked. */
static void answers_of_others(void **state)
{
    char id[64];
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a"), *d = join(w, ROMEO "/b");
    show_old(w, c, "sha-1", EXODUS_VER);
    assert_int_equal(strlen(asked_id(c, id)), 37);
    answer_id(w, d, id, "result", exodus);
    assert_false(is_kept(w, "/115:sha-1:" EXODUS_VER));
    answer_id(w, c, "caps-0123456789abcdef0123456789abcdef", "result", exodus);
    assert_false(is_kept(w, "/115:sha-1:" EXODUS_VER));
    answer_id(w, c, id, "result", exodus);
    assert_true(is_kept(w, "/115:sha-1:" EXODUS_VER));
    answer_id(w, c, id, "result", empty); /* a second answer is nobody's */
    assert_client(w, ROMEO "/a", MUC, "own='no' has='yes'");
    leave(w);
}

/* --- one question -------------------------------------------------------------------------- */

/* The hash is asked of one; an error, silence and the end of the session let the next be asked. */
static void one_after_the_other(void **state)
{
    char id[64];
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *a = join(w, ROMEO "/a"), *b = join(w, ROMEO "/b"), *c = join(w, JULIET "/c"),
           *d = join(w, JULIET "/d"), *e = join(w, ROMEO "/e");
    client *const all[] = {a, b, c, d, e};
    for (size_t i = 0; i < 5; i++) show_old(w, all[i], "sha-1", EXODUS_VER);
    assert_asked(w, a, "urn:client#" EXODUS_VER);
    for (size_t i = 1; i < 5; i++) assert_not_asked(w, all[i]);
    answer_id(w, a, asked_id(a, id), "error", empty);
    assert_not_asked(w, b); /* another account comes first */
    assert_asked(w, c, "urn:client#" EXODUS_VER);
    pass_time(w, 29 * 1000000);
    assert_not_asked(w, b);
    pass_time(w, 6 * 1000000);
    assert_asked(w, b, "urn:client#" EXODUS_VER);
    part(w, b);
    assert_asked(w, d, "urn:client#" EXODUS_VER);
    assert_not_asked(w, e);
    answers(w, d, exodus);
    assert_not_asked(w, e);
    assert_client(w, ROMEO "/a", MUC, "own='no' has='yes' count='4' told='2'"); /* d and e waited */
    assert_client(w, ROMEO "/e", MUC, "has='yes'");
    asked_id(c, id);
    answer_id(w, c, id, "result", empty); /* too late */
    assert_client(w, JULIET "/c", MUC, "own='no' has='yes'");
    leave(w);
}

/* The same hash again: nobody is asked, and nothing written but once a day. */
static void known_hashes(void **state)
{
    char before[64], after[64];
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    show_old(w, c, "sha-1", EXODUS_VER);
    answers(w, c, exodus);
    client *d = join(w, JULIET "/a");
    const uint64_t written = svi_store_submitted(svi_server_store(w->server));
    show_old(w, d, "sha-1", EXODUS_VER);
    assert_not_asked(w, d);
    show_old(w, c, "sha-1", EXODUS_VER);
    assert_not_asked(w, c);
    assert_client(w, JULIET "/a", MUC, "own='no' has='yes' count='4' told='2'");
    assert_true(svi_store_submitted(svi_server_store(w->server)) == written);
    assert_true(read_row(w, "caps/index", "/", "/115:sha-1:" EXODUS_VER, before, sizeof before));
    pass_time(w, DAY_US);
    say(w, d, "<presence type='unavailable'/>");
    assert_client(w, JULIET "/a", MUC, "record='no'");
    show_old(w, d, "sha-1", EXODUS_VER);
    assert_not_asked(w, d);
    assert_true(read_row(w, "caps/index", "/", "/115:sha-1:" EXODUS_VER, after, sizeof after));
    assert_string_not_equal(before, after);
    say(w, d, "<presence><show>away</show></presence>"); /* XEP-0115 8.4: shows nothing new */
    assert_client(w, JULIET "/a", MUC, "has='yes'");
    leave(w);
}

/* What was proved outlives the server, also a killed one. */
static void over_restarts(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a");
    show_old(w, c, "sha-1", EXODUS_VER);
    answers(w, c, exodus);
    for (int killed = 0; killed < 2; killed++) {
        halt(w, killed);
        boot(w, WITH_CAPS, "");
        c = join(w, JULIET "/a");
        show_old(w, c, "sha-1", EXODUS_VER);
        assert_not_asked(w, c);
        assert_client(w, JULIET "/a", MUC, "own='no' has='yes' count='4'");
    }
    leave(w);
}

/* --- bounds -------------------------------------------------------------------------------- */

/* An info with one feature "f<number>", and its `ver`. */
static void numbered(world *w, int number, char *query, size_t size, char ver[64])
{
    char s[64];
    snprintf(query, size,
             "<query xmlns='" NS_INFO "'><identity category='client' type='pc'/><feature var='f%d'/>"
             "</query>",
             number);
    snprintf(s, sizeof s, "client/pc//<f%d<", number);
    sha_1(w, s, ver);
}

static void learn(world *w, client *c, int number)
{
    char query[256], ver[64];
    numbered(w, number, query, sizeof query, ver);
    show_old(w, c, "sha-1", ver);
    char id[64];
    if (*asked_id(c, id)) answers(w, c, query);
}

static bool knows(world *w, int number)
{
    char query[256], ver[64], key[128];
    numbered(w, number, query, sizeof query, ver);
    snprintf(key, sizeof key, "/115:sha-1:%s", ver);
    return is_kept(w, key);
}

/* Those go that nobody shows and that were used longest ago. */
static void bound_of_number_and_age(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "caps_entries = 16\ncaps_questions = 1000\ncaps_age = \"30d\"");
    client *shows_0 = join(w, JULIET "/a"), *c = join(w, ROMEO "/a");
    learn(w, shows_0, 0);
    for (int i = 1; i < 16; i++) {
        pass_time(w, DAY_US);
        learn(w, c, i);
    }
    assert_int_equal(row_count(w, "caps/index", "/"), 16);
    for (int i = 16; i < 19; i++) {
        pass_time(w, DAY_US);
        learn(w, c, i);
        assert_int_equal(row_count(w, "caps/index", "/"), 16);
        assert_true(knows(w, 0));
        assert_true(knows(w, i));
        assert_false(knows(w, i - 15));
        assert_true(knows(w, i - 14));
    }
    pass_time(w, 40 * DAY_US); /* too old, but for the one that is shown */
    learn(w, c, 100);
    assert_true(knows(w, 0));
    assert_true(knows(w, 100));
    assert_int_equal(row_count(w, "caps/index", "/"), 2);
    leave(w);
}

static void bound_of_bytes(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "caps_bytes = \"64k\"\ncaps_questions = 1000\ncaps_entries = 20000");
    client *c = join(w, ROMEO "/a");
    for (int i = 0; i < 700; i++) {
        if (i % 100 == 0) pass_time(w, DAY_US);
        learn(w, c, i);
    }
    assert_in_range(row_count(w, "caps/index", "/"), 400, 650); /* some 120 bytes each */
    assert_true(knows(w, 699));
    assert_false(knows(w, 0));
    leave(w);
}

/* What is too long is not kept, neither for all nor for one. */
static void bound_of_an_info(void **state)
{
    char query[4096], feature[1100];
    (void)state;
    world *w = stage(WITH_CAPS, "caps_info_bytes = \"1k\"");
    client *c = join(w, ROMEO "/a");
    memset(feature, 'x', sizeof feature - 1);
    feature[sizeof feature - 1] = 0;
    snprintf(query, sizeof query,
             "<query xmlns='" NS_INFO "'><identity category='client' type='pc'/><feature var='%s'/></query>",
             feature);
    show_old(w, c, "sha-1", EXODUS_VER);
    answers(w, c, query);
    assert_client(w, ROMEO "/a", "x", "record='no' own='no'");
    assert_int_equal(row_count(w, "caps/index", "/"), 0);
    leave(w);
}

/* XEP-0390 8.2: who shows ever new hashes is not asked for all. */
static void bound_of_questions(void **state)
{
    char ver[64];
    int count = 0;
    (void)state;
    world *w = stage(WITH_CAPS, "caps_questions = 3");
    client *c = join(w, ROMEO "/a");
    for (int i = 0; i < 10; i++) {
        char id[64];
        snprintf(ver, sizeof ver, "ver-%d", i);
        show_old(w, c, "sha-1", ver);
        count += *asked_id(c, id) != 0;
    }
    assert_int_equal(count, 3);
    pass_time(w, INT64_C(3600) * 1000000);
    show_old(w, c, "sha-1", "another");
    assert_asked(w, c, "urn:client#another");
    leave(w);
}

/* Without room on the disk nothing is kept; the session has what it told. */
static void store_shortage(void **state)
{
    (void)state;
    world *w = stage(WITH_CAPS, "");
    client *c = join(w, ROMEO "/a"), *d = join(w, ROMEO "/b");
    svi_engine_sim_plan(w->engine)->full = true;
    pass_time(w, 5000000);
    show_old(w, c, "sha-1", EXODUS_VER);
    answers(w, c, exodus);
    assert_false(is_kept(w, "/115:sha-1:" EXODUS_VER));
    assert_client(w, ROMEO "/a", MUC, "own='yes' has='yes'");
    svi_engine_sim_plan(w->engine)->full = false;
    pass_time(w, 5000000);
    show_old(w, d, "sha-1", EXODUS_VER);
    answers(w, d, exodus);
    assert_true(is_kept(w, "/115:sha-1:" EXODUS_VER));
    leave(w);
}

/* --- the host ------------------------------------------------------------------------------ */

/* A node that the host shows among the stream features: XEP-0115 6.3, XEP-0390 5.2. */
static void shown_node(world *w, bool is_new, char *to, size_t size)
{
    char text[2048];
    const sv_str xml = svi_host_features(svi_host_find(w->server, SV_STR(HERE)));
    snprintf(text, sizeof text, "%.*s", (int)xml.n, xml.p);
    const char *at = strstr(text, is_new ? "algo='sha-256'>" : " ver='");
    assert_non_null(at);
    at += is_new ? strlen("algo='sha-256'>") : strlen(" ver='");
    snprintf(to, size, "%s%.*s", is_new ? "urn:xmpp:caps#sha-256." : "urn:stave#",
             (int)strcspn(at, "<'"), at);
}

static bool answers_node(world *w, client *c, const char *node, const char *holds)
{
    char text[512];
    snprintf(text, sizeof text,
             "<iq type='get' id='n' to='" HERE "'><query xmlns='" NS_INFO "' node='%s'/></iq>", node);
    say(w, c, text);
    if (SEEN(w, c, .id = "n", .type = "error", .holds = "<item-not-found ") == 1) return false;
    assert_has(&c->in, holds);
    snprintf(text, sizeof text, "<query xmlns='" NS_INFO "' node='%s'>", node);
    assert_has(&c->in, text);
    return true;
}

/* What the host shows changes with what it can do; the last three are answered for, over restarts. */
static void the_host(void **state)
{
    static const char *const modules[] = {
        "\"disco\", \"caps\"",           "\"disco\", \"caps\", \"ping\"",
        "\"disco\", \"caps\", \"offers\"", "\"ping\", \"disco\", \"caps\", \"offers\"",
    };
    static const char *const holds[] = {"urn:xmpp:caps", "urn:xmpp:ping", "urn:stave:offers",
                                        "urn:stave:offers"};
    char nodes[4][2][200];
    (void)state;
    world *w = stage(modules[0], "");
    for (size_t i = 0; i < 4; i++) {
        if (i > 0) {
            halt(w, false);
            boot(w, modules[i], "");
        }
        client *c = join(w, ROMEO "/a");
        shown_node(w, false, nodes[i][0], sizeof nodes[i][0]);
        shown_node(w, true, nodes[i][1], sizeof nodes[i][1]);
        for (size_t k = 0; k <= i; k++)
            for (size_t of = 0; of < 2; of++) {
                if (answers_node(w, c, nodes[k][of], holds[k]) != (k + 3 > i))
                    fail_msg("%s of %zu at %zu", nodes[k][of], k, i);
                if (k < i) assert_string_not_equal(nodes[k][of], nodes[i][of]);
            }
        assert_false(answers_node(w, c, "urn:stave#none", ""));
        halt(w, false); /* the same again adds nothing */
        boot(w, modules[i], "");
    }
    assert_int_equal(row_count(w, "caps/own", "/"), 3);
    /* a module changes what it offers while the server runs */
    client *c = join(w, ROMEO "/a");
    char changed[200];
    say(w, c, "<iq type='set' to='" HERE "' id='m'><more xmlns='urn:stave:offers'/></iq>");
    shown_node(w, false, changed, sizeof changed);
    assert_string_not_equal(changed, nodes[3][0]);
    assert_true(answers_node(w, c, changed, "urn:stave:offers#more"));
    assert_true(answers_node(w, c, nodes[3][0], "urn:stave:offers"));
    assert_has_not(&c->in, "urn:stave:offers#more");
    leave(w);
}

/* What the host shows is what a client computes of its answer: it is asked as the host asks clients. */
static void the_host_proves_itself(void **state)
{
    char node[200], query[4096];
    (void)state;
    world *w = stage(WITH_CAPS ", \"contact\"", "contact_admin = \"mailto:admin@one.example\"");
    client *c = join(w, ROMEO "/a");
    shown_node(w, true, node, sizeof node);
    say(w, c, "<iq type='get' id='n' to='" HERE "'><query xmlns='" NS_INFO "'/></iq>");
    svi_buf_putc(&c->in, 0);
    const char *at = strstr(c->in.data, "<query"), *end = strstr(c->in.data, "</query>");
    assert_true(at != NULL && end != NULL);
    snprintf(query, sizeof query, "%.*s</query>", (int)(end - at), at);
    show_new(w, c, "sha-256", strchr(node, '.') + 1);
    answers(w, c, query);
    char key[256];
    snprintf(key, sizeof key, "/390:sha-256:%s", strchr(node, '.') + 1);
    assert_true(is_kept(w, key));
    leave(w);
}

/* The config's order decides nothing. */
static void in_another_order(void **state)
{
    char node[200];
    (void)state;
    world *w = stage("\"caps\", \"asks_caps\", \"presence\", \"roster\", \"disco\"", "");
    client *c = join(w, ROMEO "/a");
    shown_node(w, false, node, sizeof node);
    assert_true(answers_node(w, c, node, "<feature var='urn:xmpp:caps'/>"));
    show_old(w, c, "sha-1", EXODUS_VER);
    answers(w, c, exodus);
    assert_client(w, ROMEO "/a", MUC, "own='no' has='yes' count='4' told='1'");
    leave(w);
}

static void wrong_nodes(void **state)
{
    (void)state;
    char text[256];
    world *w = stage("\"disco\"", "");
    svi_mods_free(&w->mods);
    snprintf(text, sizeof text, "\"disco\", \"caps\" }\ncaps_node = \"urn:%0120d\"\nignored = { ", 1);
    assert_start_fails(w, text, "module \"caps\" does not start");
    assert_has(&w->log, "caps-node-refused");
    assert_start_fails(w, "\"disco\", \"caps\" }\ncaps_node = \"no uri\"\nignored = { ", "caps_node");
    assert_start_fails(w, "\"caps\"", "disco");
    halt(w, false);
    boot(w, "\"disco\"", "");
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(inherited_languages),
        cmocka_unit_test(the_newer_one),
        cmocka_unit_test(no_claims),
        cmocka_unit_test(liars_poison_nothing),
        cmocka_unit_test(right_hashes_that_prove_nothing),
        cmocka_unit_test(liars_of_the_newer_form),
        cmocka_unit_test(unknown_functions),
        cmocka_unit_test(presence_without_hashes),
        cmocka_unit_test(answers_of_others),
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(over_restarts),
        cmocka_unit_test(bound_of_number_and_age),
        cmocka_unit_test(bound_of_bytes),
        cmocka_unit_test(bound_of_an_info),
        cmocka_unit_test(bound_of_questions),
        cmocka_unit_test(store_shortage),
        cmocka_unit_test(the_host),
        cmocka_unit_test(the_host_proves_itself),
        cmocka_unit_test(in_another_order),
        cmocka_unit_test(wrong_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
