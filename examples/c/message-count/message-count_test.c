/* Tests of message-count: what a script can't see, and what a kill takes. */
#include <stave/stage.h>

/* Romeo writes to juliet, who is not on line. */
#define BEGIN "client romeo romeo@localhost/orchard\nclient juliet juliet@localhost/balcony\nromeo connects\n"
#define SAYS "romeo sends <message to='juliet@localhost' type='chat'><body>x</body></message>\nromeo receives nothing\n"
#define SHOWS(sent) "operator runs message-count show romeo@localhost\n    <row sent='" sent "' received='0'/>\n"

static void figures(sv_stage *stage)
{
    sv_stage_run(stage, BEGIN SAYS SAYS);
    sv_check(sv_stage_metric(stage, "message_count_sent") == 2);
    sv_check(sv_stage_metric(stage, "message_count_received") == 2);
    sv_check(sv_stage_metric(stage, "message_count_unsaved") == 2);
    sv_stage_reload(stage);
    sv_check(sv_stage_metric(stage, "message_count_unsaved") == 2);
    sv_stage_pass_ms(stage, 10000);
    sv_check(sv_stage_metric(stage, "message_count_unsaved") == 0);
    sv_check(sv_stage_metric(stage, "message_count_sent") == 2);
}

static void no_room(sv_stage *stage)
{
    sv_stage_config(stage, "message_count_accounts = 1");
    sv_stage_run(stage, BEGIN SAYS);
    sv_check(sv_stage_metric(stage, "message_count_uncounted") == 1);
    sv_check(sv_stage_metric(stage, "message_count_received") == 1);
}

/* What was counted behind the last turn of the timer is lost, and nothing else. */
static void killed(sv_stage *stage)
{
    sv_stage_run(stage, BEGIN SAYS);
    sv_stage_pass_ms(stage, 10000);
    sv_stage_run(stage, SAYS SHOWS("2"));
    sv_stage_kill(stage);
    sv_stage_run(stage, SHOWS("1"));
}

SV_STAGE_TESTS({"figures", figures}, {"no room", no_room}, {"killed", killed})
