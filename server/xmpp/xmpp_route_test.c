/* The way of stanzas: addressing, defaults, IQ rules, forged senders, error loops. */
#include "base/base_log.h"
#include "xmpp/xmpp_testing.h"

static void thread_of_a_message(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    assert_non_null(romeo->session);
    tell(romeo, "<message to='juliet@example.org/balcony' type='chat'><body>hi</body></message>");
    HAS(juliet, "<body>hi</body>");
    HAS(juliet, "from='romeo@example.org/orchard'");
    HAS(juliet, "to='juliet@example.org/balcony'");
    tell(romeo, "<iq type='get' id='1'><query xmlns='x:y'/></iq>");
    HAS(romeo, "type='error'");
    HAS(romeo, "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
    BALANCED(w);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_of_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
