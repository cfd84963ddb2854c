/* Entity capabilities (XEP-0115, XEP-0390): what the host can do is shown as a hash, and what clients can do
 * is learnt once for each hash that they show (<stave/caps.h>). */
#include "caps.h"

/* A claim whose answer does not come is found out within this. */
#define LOOK_MS 5000

static void look(void *self)
{
    const caps *me = self;
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) {
        const caps_question *q = &me->questions[i];
        if (!q->iq || !q->is_sent || sv->now_ms() - q->since_ms < me->answer_ms) continue;
        sv->begin(me->mod, "host/timer", SV_STR(SV_CAPS_MODULE));
        return;
    }
}

static sv_status start(sv_mod *mod, void *self)
{
    caps *me = self;
    me->mod = mod;
    if (me->node.n == 0 || me->node.n > CAPS_URI_BYTES) {
        sv->log(mod, SV_ERROR, "caps-node-refused", "reason", "caps_node has 1 to 100 bytes", NULL);
        return SV_EINVAL;
    }
    sv_status status = sv->store_open(mod, NULL, SV_CAPS_STORE, SV_CAPS_SCHEMA, &me->infos);
    if (status == SV_OK) status = sv->store_open(mod, NULL, "index", 1, &me->index);
    if (status == SV_OK) status = sv->store_open(mod, NULL, "own", 1, &me->own);
    return status == SV_OK ? sv->every(mod, LOOK_MS, look) : status;
}

static void stop(void *self)
{
    caps_clients_stop(self);
    caps_own_stop(self);
}

static const sv_hook hooks[] = {
    {.on = "session/presence", .call = caps_on_presence, .band = SV_LATE},
    {.on = "session/gone", .call = caps_on_gone},
    {.on = "iq-result/host", .call = caps_on_answer, .flags = SV_HOOK_OPEN},
    {.on = "iq-error/host", .call = caps_on_answer, .flags = SV_HOOK_OPEN},
    {.on = "host/timer", .call = caps_on_timer},
    {.on = "host/ready", .call = caps_on_ready},
    {.on = SV_DISCO_TOLD, .call = caps_on_told},
    {.on = "iq-get/host {" SV_DISCO_INFO "}query",
     .call = caps_on_query,
     .band = SV_EARLY,
     .flags = SV_HOOK_OPEN},
    {0},
};

static const sv_option options[] = {
    SV_OPT_INT(caps, entries, "caps_entries", "1000", "16", "20000",
               "How many hashes of clients are kept with what they mean; those used longest ago "
               "go first."),
    SV_OPT_SIZE(caps, bytes, "caps_bytes", "4M", "64k", "64M", "How many bytes they may be together."),
    SV_OPT_SIZE(caps, info_bytes, "caps_info_bytes", "16k", "1k", "64k",
                "How long what one hash means may be; of a client that tells more nothing is known."),
    SV_OPT_PERIOD(caps, age_ms, "caps_age", "90d", "1d", "3650d",
                  "How long they are kept without being shown by anybody."),
    SV_OPT_PERIOD(caps, answer_ms, "caps_answer_timeout", "30s", "1s", "10m",
                  "How long a client has to tell what its hash means before another one is asked."),
    SV_OPT_INT(caps, questions_per_hour, "caps_questions", "10", "1", "1000",
               "How often in an hour one session is asked; further hashes that it shows stay "
               "unknown if nobody else shows them."),
    {.name = "caps_node",
     .kind = SV_OPTION_STRING,
     .offset = offsetof(caps, node),
     .preset = "urn:stave",
     .max = "uri",
     .manual = "The URI that names the host's software in XEP-0115, of 1 to 100 bytes."},
    {0},
};

SV_MODULE(.name = SV_CAPS_MODULE, .summary = "Entity capabilities (XEP-0115, XEP-0390)",
          .features = NS_CAPS " " NS_CAPS2, .self_size = sizeof(caps), .hooks = hooks,
          .options = options, .start = start, .stop = stop, .after = "disco")
