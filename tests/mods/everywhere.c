/* Stands at every hook point and writes to the log what the event is there; so a test sees that each is reached, and that
 * api/stave.lua tells the truth of it. With `everywhere_waits` it says LATER at each, and goes on when a read comes back. */
#include <stave/module.h>

typedef struct everywhere {
    sv_mod *mod;
    sv_store *store;
    bool waits;
} everywhere;

static void read_back(sv_event *ev, sv_status status, sv_str value, void *self)
{
    (void)status;
    (void)value;
    (void)self;
    sv->pass(ev);
}

static const char *text_of(sv_event *ev, sv_str text)
{
    return sv->format(ev, "%.*s", (int)text.n, text.p ? text.p : "").p;
}

static sv_verdict note(sv_event *ev, const everywhere *me, const char *at)
{
    const sv_jid *from = sv->from(ev), *to = sv->to(ev);
    sv->log(me->mod, SV_INFO, "everywhere", "at", at, "from", text_of(ev, from->full), "to", text_of(ev, to->full), "stanza",
            sv->stanza(ev) ? "yes" : "no", "session", sv->session(ev) ? "yes" : "no", "subject", text_of(ev, sv->subject(ev)), NULL);
    if (!me->waits) return SV_PASS;
    sv->get(ev, me->store, SV_STR("/"), SV_STR("k"), read_back);
    return SV_LATER;
}

/* A handler does not know at which point it stands: one for each. */
#define AT(id, name)                                                                               \
    static sv_verdict at_##id(sv_event *ev, void *self)                                            \
    {                                                                                              \
        return note(ev, self, name);                                                               \
    }
AT(stanza_inbound, "stanza/inbound")
AT(message_out, "message/out")
AT(message_self, "message/self")
AT(message_account, "message/account")
AT(message_resource, "message/resource")
AT(message_host, "message/host")
AT(message_remote, "message/remote")
AT(presence_out, "presence/out")
AT(presence_self, "presence/self")
AT(presence_account, "presence/account")
AT(presence_resource, "presence/resource")
AT(presence_host, "presence/host")
AT(presence_remote, "presence/remote")
AT(iq_get_out, "iq-get/out")
AT(iq_get_self, "iq-get/self")
AT(iq_get_account, "iq-get/account")
AT(iq_get_resource, "iq-get/resource")
AT(iq_get_host, "iq-get/host")
AT(iq_get_remote, "iq-get/remote")
AT(iq_set_out, "iq-set/out")
AT(iq_set_self, "iq-set/self")
AT(iq_set_account, "iq-set/account")
AT(iq_set_resource, "iq-set/resource")
AT(iq_set_host, "iq-set/host")
AT(iq_set_remote, "iq-set/remote")
AT(iq_result_out, "iq-result/out")
AT(iq_result_self, "iq-result/self")
AT(iq_result_account, "iq-result/account")
AT(iq_result_resource, "iq-result/resource")
AT(iq_result_host, "iq-result/host")
AT(iq_result_remote, "iq-result/remote")
AT(iq_error_out, "iq-error/out")
AT(iq_error_self, "iq-error/self")
AT(iq_error_account, "iq-error/account")
AT(iq_error_resource, "iq-error/resource")
AT(iq_error_host, "iq-error/host")
AT(iq_error_remote, "iq-error/remote")
AT(session_bound, "session/bound")
AT(session_presence, "session/presence")
AT(session_gone, "session/gone")
AT(session_unsent, "session/unsent")
AT(account_added, "account/added")
AT(account_removed, "account/removed")
AT(roster_changed, "roster/changed")
AT(session_written, "session/written")
AT(session_silent, "session/silent")
AT(host_ready, "host/ready")
AT(stanza_made, "stanza/made")
AT(message_nobody, "message/nobody")
AT(presence_nobody, "presence/nobody")
AT(store_sweep, "store/sweep")
AT(host_timer, "host/timer")
AT(disco_host, "disco/host")
AT(disco_account, "disco/account")
AT(disco_host_items, "disco/host-items")
AT(disco_account_items, "disco/account-items")
AT(disco_changed, "disco/changed")
AT(disco_told, "disco/told")
AT(presence_ending, "presence/ending")
AT(caps_known, "caps/known")
AT(roster_shared, "roster/shared")
AT(roster_reshared, "roster/reshared")
AT(account_disabled, "account/disabled")
AT(account_enabled, "account/enabled")
AT(account_removing, "account/removing")
AT(archive_read, "archive/read")
AT(offline_turn, "offline/turn")
AT(host_item, "host/item")
AT(message_returned, "message/returned")
AT(session_sending, "session/sending")
AT(stream_element, "stream/element")
AT(session_away, "session/away")
AT(session_back, "session/back")
AT(session_handled, "session/handled")
AT(session_unacked, "session/unacked")

static sv_verdict at_command(sv_event *ev, void *self)
{
    const everywhere *me = self;
    sv->fire(ev, "disco/changed", NULL, SV_STR_NONE);
    sv_session *session = sv->session_next(ev, sv->from(ev), NULL);
    const sv_hold bounds = {sizeof bounds, 10, 10000, 1000};
    if (session) (void)sv->session_hold(session, &bounds);
    const sv_verdict verdict = note(ev, me, "command/run");
    return verdict == SV_LATER ? verdict : sv->answer(ev);
}

static void tick(void *self)
{
    const everywhere *me = self;
    sv->begin(me->mod, "host/timer", SV_STR("everywhere"));
    (void)sv->host_set_item(me->mod, "everywhere", sv->host_item(me->mod, "everywhere").p ? SV_STR_NONE : SV_STR("yes"));
}

static sv_status start(sv_mod *mod, void *self)
{
    everywhere *me = self;
    me->mod = mod;
    const sv_status status = sv->every(mod, 60000, tick);
    return status != SV_OK ? status : sv->store_open(mod, NULL, "nothing", 1, &me->store);
}

#define HOOK(id, name) {.on = name, .call = at_##id, .band = SV_FIRST}
static const sv_hook hooks[] = {
    HOOK(stanza_inbound, "stanza/inbound"),
    HOOK(message_out, "message/out"),
    HOOK(message_self, "message/self"),
    HOOK(message_account, "message/account"),
    HOOK(message_resource, "message/resource"),
    HOOK(message_host, "message/host"),
    HOOK(message_remote, "message/remote"),
    HOOK(presence_out, "presence/out"),
    HOOK(presence_self, "presence/self"),
    HOOK(presence_account, "presence/account"),
    HOOK(presence_resource, "presence/resource"),
    HOOK(presence_host, "presence/host"),
    HOOK(presence_remote, "presence/remote"),
    HOOK(iq_get_out, "iq-get/out"),
    HOOK(iq_get_self, "iq-get/self"),
    HOOK(iq_get_account, "iq-get/account"),
    HOOK(iq_get_resource, "iq-get/resource"),
    HOOK(iq_get_host, "iq-get/host"),
    HOOK(iq_get_remote, "iq-get/remote"),
    HOOK(iq_set_out, "iq-set/out"),
    HOOK(iq_set_self, "iq-set/self"),
    HOOK(iq_set_account, "iq-set/account"),
    HOOK(iq_set_resource, "iq-set/resource"),
    HOOK(iq_set_host, "iq-set/host"),
    HOOK(iq_set_remote, "iq-set/remote"),
    HOOK(iq_result_out, "iq-result/out"),
    HOOK(iq_result_self, "iq-result/self"),
    HOOK(iq_result_account, "iq-result/account"),
    HOOK(iq_result_resource, "iq-result/resource"),
    HOOK(iq_result_host, "iq-result/host"),
    HOOK(iq_result_remote, "iq-result/remote"),
    HOOK(iq_error_out, "iq-error/out"),
    HOOK(iq_error_self, "iq-error/self"),
    HOOK(iq_error_account, "iq-error/account"),
    HOOK(iq_error_resource, "iq-error/resource"),
    HOOK(iq_error_host, "iq-error/host"),
    HOOK(iq_error_remote, "iq-error/remote"),
    HOOK(session_bound, "session/bound"),
    HOOK(session_presence, "session/presence"),
    HOOK(session_gone, "session/gone"),
    HOOK(session_unsent, "session/unsent"),
    HOOK(account_added, "account/added"),
    HOOK(account_removed, "account/removed"),
    HOOK(roster_changed, "roster/changed"),
    HOOK(session_written, "session/written"),
    HOOK(session_silent, "session/silent"),
    HOOK(host_ready, "host/ready"),
    HOOK(stanza_made, "stanza/made"),
    HOOK(message_nobody, "message/nobody"),
    HOOK(presence_nobody, "presence/nobody"),
    HOOK(store_sweep, "store/sweep"),
    HOOK(host_timer, "host/timer"),
    HOOK(message_returned, "message/returned"),
    HOOK(session_sending, "session/sending"),
    HOOK(host_item, "host/item"),
    HOOK(disco_host, "disco/host"),
    HOOK(disco_account, "disco/account"),
    HOOK(disco_host_items, "disco/host-items"),
    HOOK(disco_account_items, "disco/account-items"),
    HOOK(disco_changed, "disco/changed"),
    HOOK(disco_told, "disco/told"),
    HOOK(presence_ending, "presence/ending"),
    HOOK(caps_known, "caps/known"),
    HOOK(roster_shared, "roster/shared"),
    HOOK(roster_reshared, "roster/reshared"),
    HOOK(account_disabled, "account/disabled"),
    HOOK(account_enabled, "account/enabled"),
    HOOK(account_removing, "account/removing"),
    HOOK(archive_read, "archive/read"),
    HOOK(offline_turn, "offline/turn"),
    HOOK(stream_element, "stream/element"),
    HOOK(session_away, "session/away"),
    HOOK(session_back, "session/back"),
    HOOK(session_handled, "session/handled"),
    HOOK(session_unacked, "session/unacked"),
    {0},
};

static const sv_option options[] = {
    SV_OPT_BOOL(everywhere, waits, "everywhere_waits", "false", "Says LATER at each point."),
    {0},
};

static const sv_arg args[] = {{.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED, .manual = "any"}, {0}};
static const sv_command commands[] = {
    {.name = "everywhere", .summary = "is noted as well", .args = args, .run = at_command},
    {0},
};

SV_MODULE(.name = "everywhere", .summary = "Stands at every hook point", .self_size = sizeof(everywhere), .hooks = hooks,
          .options = options, .commands = commands, .start = start)
