/* Tests of visits: what goes over to the next generation, and what does not outlive the server. */
#include <stave/stage.h>

#define SHOWS(visits, longest) "operator runs visits show romeo@localhost\n    <row visits='" visits "' longest='" longest "'/>\n"

static void one_generation_after_the_other(sv_stage *stage)
{
    sv_stage_run(stage, "client romeo romeo@localhost/orchard\nclient juliet juliet@localhost/balcony\nromeo connects\n");
    for (int i = 0; i < 5; i++) {
        sv_stage_pass_ms(stage, 1000);
        sv_stage_reload(stage);
        sv_stage_run(stage, SHOWS("1", "0"));
    }
    sv_stage_run(stage, "romeo leaves\njuliet connects\njuliet receives nothing\n" SHOWS("1", "5000"));
    sv_stage_reload(stage);
    sv_stage_run(stage, "operator runs visits total --host localhost\n    <row visits='2' accounts='2' last='juliet@localhost'/>\n");
}

static void forgotten(sv_stage *stage)
{
    sv_stage_run(stage, "client romeo romeo@localhost/orchard\nromeo connects\n" SHOWS("1", "0"));
    sv_stage_kill(stage);
    sv_stage_run(stage, "operator can't run visits show romeo@localhost\n    it was not here\n");
}

/* The warning comes once. */
static void no_room(sv_stage *stage)
{
    sv_stage_config(stage, "visits_accounts = 1");
    sv_stage_run(stage, "client romeo romeo@localhost/orchard\nclient juliet juliet@localhost/balcony\nromeo connects\n");
    sv_check(!sv_stage_log_has(stage, "visits-full"));
    sv_stage_run(stage, "juliet connects\njuliet leaves\nromeo receives nothing\n");
    sv_check(sv_stage_log_has(stage, "visits-full see=visits_accounts"));
    sv_stage_run(stage, "operator can't run visits show juliet@localhost\n    it was not here\n");
}

SV_STAGE_TESTS({"one generation after the other", one_generation_after_the_other}, {"forgotten", forgotten}, {"no room", no_room})
