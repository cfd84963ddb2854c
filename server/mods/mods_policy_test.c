/* What the shipped modules' hooks do in quarantine: the table of doc/operating.md. */
#include "mods/mods_world_test.h"

#define ALL                                                                                        \
    "VirtualHost \"one.example\"\nmodules_enabled = { \"roster\", \"presence\", \"message\", "     \
    "\"offline\", \"carbons\", \"csi\", \"blocking\", \"caps\", \"disco\", \"groups\", \"ping\" }\n"

static void row(svi_buf *out, const svi_handler *h)
{
    const char *policy = h->band == SV_MONITOR ? "monitor" : svi_policy_name(h->policy);
    svi_buf_printf(out, "%s %s %s\n", h->module, h->text, policy);
}

/* All handlers but those that just bounce, or are skipped since there is no stanza. */
static const char expected[] =
    "message message/out {http://jabber.org/protocol/chatstates}active open\n"
    "message message/out {http://jabber.org/protocol/chatstates}inactive open\n"
    "message message/out {http://jabber.org/protocol/chatstates}composing open\n"
    "message message/out {http://jabber.org/protocol/chatstates}paused open\n"
    "message message/out {http://jabber.org/protocol/chatstates}gone open\n"
    "message message/out {urn:xmpp:hints}no-store open\n"
    "blocking message/out closed\n"
    "carbons message/out open\n"
    "message message/self {http://jabber.org/protocol/chatstates}active open\n"
    "message message/self {http://jabber.org/protocol/chatstates}inactive open\n"
    "message message/self {http://jabber.org/protocol/chatstates}composing open\n"
    "message message/self {http://jabber.org/protocol/chatstates}paused open\n"
    "message message/self {http://jabber.org/protocol/chatstates}gone open\n"
    "message message/self {urn:xmpp:hints}no-store open\n"
    "carbons message/self open\n"
    "offline message/self closed\n"
    "message message/account {http://jabber.org/protocol/chatstates}active open\n"
    "message message/account {http://jabber.org/protocol/chatstates}inactive open\n"
    "message message/account {http://jabber.org/protocol/chatstates}composing open\n"
    "message message/account {http://jabber.org/protocol/chatstates}paused open\n"
    "message message/account {http://jabber.org/protocol/chatstates}gone open\n"
    "message message/account {urn:xmpp:hints}no-store open\n"
    "blocking message/account closed\n"
    "carbons message/account open\n"
    "offline message/account closed\n"
    "message message/resource {http://jabber.org/protocol/chatstates}active open\n"
    "message message/resource {http://jabber.org/protocol/chatstates}inactive open\n"
    "message message/resource {http://jabber.org/protocol/chatstates}composing open\n"
    "message message/resource {http://jabber.org/protocol/chatstates}paused open\n"
    "message message/resource {http://jabber.org/protocol/chatstates}gone open\n"
    "message message/resource {urn:xmpp:hints}no-store open\n"
    "blocking message/resource closed\n"
    "carbons message/resource open\n"
    "message message/resource {urn:xmpp:jingle-message:0}propose open\n"
    "message message/resource {urn:xmpp:jingle-message:0}ringing open\n"
    "message message/resource {urn:xmpp:jingle-message:0}retract open\n"
    "message message/resource {urn:xmpp:jingle-message:0}proceed open\n"
    "message message/resource {urn:xmpp:jingle-message:0}reject open\n"
    "message message/resource {urn:xmpp:jingle-message:0}finish open\n"
    "message message/resource {urn:xmpp:jingle-message:0}accept open\n"
    "blocking presence/out closed\n"
    "blocking presence/out closed\n"
    "roster presence/out closed\n"
    "presence presence/out closed\n"
    "blocking presence/self closed\n"
    "blocking presence/account closed\n"
    "presence presence/account closed\n"
    "blocking presence/resource closed\n"
    "presence presence/resource closed\n"
    "blocking iq-get/out closed\n"
    "blocking iq-get/account closed\n"
    "blocking iq-get/resource closed\n"
    "presence iq-get/resource closed\n"
    "caps iq-get/host {http://jabber.org/protocol/disco#info}query open\n"
    "blocking iq-set/out closed\n"
    "blocking iq-set/self {urn:xmpp:blocking}block closed\n"
    "blocking iq-set/self {urn:xmpp:blocking}unblock closed\n"
    "roster iq-set/self {jabber:iq:roster}query closed\n"
    "blocking iq-set/self {urn:xmpp:blocking}block closed\n"
    "blocking iq-set/self {urn:xmpp:blocking}unblock closed\n"
    "blocking iq-set/account closed\n"
    "blocking iq-set/resource closed\n"
    "presence iq-set/resource closed\n"
    "blocking iq-result/out closed\n"
    "blocking iq-result/account closed\n"
    "blocking iq-result/resource closed\n"
    "caps iq-result/host open\n"
    "ping iq-result/host open\n"
    "blocking iq-error/out closed\n"
    "blocking iq-error/account closed\n"
    "blocking iq-error/resource closed\n"
    "caps iq-error/host open\n"
    "ping iq-error/host open\n"
    "blocking session/bound closed\n"
    "csi session/bound open\n"
    "message session/unsent {http://jabber.org/protocol/chatstates}active open\n"
    "message session/unsent {http://jabber.org/protocol/chatstates}inactive open\n"
    "message session/unsent {http://jabber.org/protocol/chatstates}composing open\n"
    "message session/unsent {http://jabber.org/protocol/chatstates}paused open\n"
    "message session/unsent {http://jabber.org/protocol/chatstates}gone open\n"
    "message session/unsent {urn:xmpp:hints}no-store open\n"
    "carbons session/unsent {urn:xmpp:carbons:2}sent closed\n"
    "carbons session/unsent {urn:xmpp:carbons:2}received closed\n"
    "blocking session/unsent closed\n"
    "offline session/unsent closed\n"
    "blocking stanza/made closed\n"
    "presence account/removing closed\n"
    "csi session/back open\n"
    "carbons message/returned open\n"
    "csi session/sending open\n";

static void policies(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ALL);
    const svi_hooks *hooks = svi_host_hooks(svi_host_find(w->server, SV_STR("one.example")));
    svi_buf out;
    svi_buf_init(&out, &w->acct);
    for (svi_point point = 1; point < SVI_POINT_COUNT; point++) {
        size_t count;
        const svi_handler *handlers = svi_hooks_at(hooks, point, &count);
        for (size_t i = 0; i < count; i++) {
            const svi_handler *h = &handlers[i];
            assert_non_null(h->ward);
            if (h->stores) assert_int_equal(h->policy, SVI_POLICY_CLOSED);
            if (h->policy != SVI_POLICY_BOUNCE) row(&out, h);
        }
    }
    assert_string_equal(out.data, expected);
    svi_buf_free(&out);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(policies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
