/* Tests of @NAME@: its own functions, and what a server with it does. */
#include "@NAME@.h"

#include <stave/stage.h>

static void counts_characters(sv_stage *stage)
{
    (void)stage;
    sv_check(count_chars(SV_STR("")) == 0);
    sv_check(count_chars(SV_STR("na\xc3\xafve")) == 5);
}

static void a_note_outlives_a_reload(sv_stage *stage)
{
    sv_stage_config(stage, "@OPTION@_length = 5");
    sv_stage_run(stage, "client romeo romeo@localhost/orchard\n"
                        "romeo connects\n"
                        "romeo sends <iq type='set' id='1'><note xmlns='urn:example:@NAME@'>na\xc3\xafve</note></iq>\n"
                        "romeo receives <iq type='result' id='1'/>\n");
    sv_stage_reload(stage);
    sv_stage_run(stage, "romeo sends <iq type='get' id='2'><note xmlns='urn:example:@NAME@'/></iq>\n"
                        "romeo receives <iq type='result' id='2'><note xmlns='urn:example:@NAME@'>na\xc3\xafve</note></iq>\n");
}

/* While the disk fails, nobody is told that there is no note. */
static void says_that_it_failed(sv_stage *stage)
{
    sv_stage_run(stage, "client romeo romeo@localhost/orchard\n"
                        "romeo connects\n");
    sv_stage_harm(stage, "store-fails", 1);
    sv_stage_run(stage, "romeo sends <iq type='get' id='1'><note xmlns='urn:example:@NAME@'/></iq>\n"
                        "romeo receives <iq type='error' id='1'><error>"
                        "<internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n");
    sv_check(sv_stage_harmed(stage));
}

SV_STAGE_TESTS({"counts characters, not bytes", counts_characters},
               {"a note outlives a reload", a_note_outlives_a_reload},
               {"a read that fails is no missing note", says_that_it_failed})
