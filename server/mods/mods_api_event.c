/* Module table: the event's addresses, verdicts that need a word more than xmpp_event.h has, occasions, memory of the event. */
#include "mods/mods_api.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/base_log.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_jid.h"

/* --- what the event is about ------------------------------------------------------------------------ */

sv_str svi_api_type(const sv_event *ev)
{
    return svi_xevent_of(ev)->type;
}

const sv_jid *svi_api_from(const sv_event *ev)
{
    return &svi_xevent_of(ev)->from;
}

const sv_jid *svi_api_to(const sv_event *ev)
{
    return &svi_xevent_of(ev)->to;
}

sv_str svi_api_subject(const sv_event *ev)
{
    return svi_xevent_of(ev)->subject;
}

bool svi_api_account_exists(const sv_event *ev)
{
    return svi_xevent_of(ev)->account_exists;
}

/* --- addresses -------------------------------------------------------------------------------------- */

bool svi_api_jid_parse(sv_event *ev, sv_str text, sv_jid *jid_out)
{
    return svi_jid_parse(svi_event_arena(ev), text, jid_out) == SV_OK;
}

bool svi_api_is_local(sv_event *ev, const sv_jid *jid)
{
    SV_ASSERT(jid != NULL);
    return svi_host_find(svi_xevent_of(ev)->server, jid->domain) != NULL;
}

bool svi_api_is_guest(sv_event *ev, const sv_jid *jid)
{
    svi_host *host = svi_host_find(svi_xevent_of(ev)->server, jid->domain);
    return host != NULL && svi_guest_is(host, jid->node);
}

bool svi_api_is_admin(sv_event *ev, const sv_jid *jid)
{
    SV_ASSERT(jid != NULL);
    return svi_host_is_admin(svi_xevent_of(ev)->host, jid->bare);
}

/* --- verdicts and occasions ------------------------------------------------------------------------- */

/* A test wants to know where a module's code refuses. Scripts tell that themselves. */
static void tell_refusal(const sv_event *ev, sv_cond cond, const void *address)
{
    const svi_handler *handler = svi_event_handler(ev);
    const sv_mod *mod = handler != NULL ? handler->generation : NULL;
    const svi_mods_probe *probe = mod != NULL ? svi_mod_probe(mod) : NULL;
    Dl_info where;
    if (probe == NULL || probe->refuses == NULL || mod->file->script != NULL || !dladdr(address, &where)) return;
    const svi_mods_site site = {.address = address, .file = mod->file->name,
                                .place = (uintptr_t)address - (uintptr_t)where.dli_fbase};
    probe->refuses(probe->ctx, mod->file->name, cond, &site);
}

sv_verdict svi_api_refuse(sv_event *ev, sv_cond cond)
{
    tell_refusal(ev, cond, __builtin_return_address(0));
    return svi_x_refuse(ev, cond, SV_STR_NONE);
}

sv_verdict svi_api_refuse_text(sv_event *ev, sv_cond cond, sv_str text)
{
    tell_refusal(ev, cond, __builtin_return_address(0));
    return svi_x_refuse(ev, cond, text);
}

sv_verdict svi_api_refuse_with(sv_event *ev, sv_cond cond, sv_str type, const sv_draft *specific)
{
    tell_refusal(ev, cond, __builtin_return_address(0));
    return svi_x_refuse_with(ev, cond, type, specific);
}

sv_verdict svi_api_drop(sv_event *ev, const char *rule)
{
    tell_refusal(ev, (sv_cond)0, __builtin_return_address(0));
    return svi_x_drop(ev, rule);
}

/* A name nobody can have hooked is no reason to end a worker. */
static svi_point point_of(const char *on)
{
    const svi_point point = svi_point_find(sv_str_of(on));
    if (point == SVI_POINT_NONE)
        SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", "occasions are fired by their names"),
               LF_TXT("point", on), LF_TXT("in", svi_exec_now()->hook));
    return point;
}

/* About the account, not the sender. */
void svi_api_fire(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    const svi_point point = point_of(on);
    if (point != SVI_POINT_NONE)
        svi_occasion(svi_xevent_of(ev)->host, point, account, NULL, NULL, subject, ev);
}

sv_str svi_api_gather(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    const svi_point point = point_of(on);
    if (point == SVI_POINT_NONE) return SV_STR_NONE;
    return svi_occasion_gather(svi_xevent_of(ev)->host, point, account, subject, ev);
}

sv_str svi_api_gather_at(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    const svi_point point = point_of(on);
    svi_host *host = svi_host_find(svi_xevent_of(ev)->server, account->domain);
    if (point == SVI_POINT_NONE || host == NULL) return SV_STR_NONE;
    return svi_occasion_gather(host, point, account, subject, ev);
}

void svi_api_begin(sv_mod *mod, const char *on, sv_str subject)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const svi_point point = point_of(on);
    const svi_group *group = mod->group;
    if (point == SVI_POINT_NONE || !mod->is_live) return;
    svi_occasion(group->host, point, NULL, NULL, NULL, subject, NULL);
}

void svi_api_fire_after(sv_event *ev, const char *on, const sv_jid *account, sv_str subject)
{
    const svi_point point = point_of(on);
    if (point != SVI_POINT_NONE) svi_x_fire_after(ev, point, account, subject);
}

/* --- what was written before others wait -------------------------------------------------------------- */

/* In the event's arena. */
typedef struct again {
    sv_mod *mod; /* the code stays until the event ends */
    sv_again_fn run;
    void *ctx;
} again;

static void again_over(void *ctx)
{
    svi_mod_end(&((again *)ctx)->mod);
}

static void look_again(sv_event *ev, void *ctx)
{
    const again *a = ctx;
    svi_xevent *x = svi_xevent_of(ev);
    svi_host *const host = x->host; /* by now the recipient's, perhaps */
    const sv_event *const saved = a->mod->acting;
    x->host = a->mod->group->host;
    a->mod->acting = ev;
    a->run(ev, a->ctx, a->mod->self);
    a->mod->acting = saved;
    x->host = host;
}

void svi_api_after_wait(sv_mod *mod, sv_event *ev, sv_again_fn run, void *ctx)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(run != NULL);
    if (!svi_event_may_wait(ev)) {
        SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", "after_wait is for events that may wait"),
               LF_TXT("module", mod->file->name), LF_TXT("in", svi_exec_now()->hook));
        return;
    }
    const svi_handler *handler = svi_event_handler(ev);
    const bool is_own = handler != NULL && handler->generation == mod;
    again *a = svi_arena_get(svi_event_arena(ev), sizeof *a);
    *a = (again){.mod = svi_mod_begin(mod), .run = run, .ctx = ctx};
    svi_event_at_end(ev, again_over, a);
    svi_event_after_wait(ev, is_own ? handler->stats : svi_costs_line(mod->costs, "callback"), look_again, a);
}

/* --- digests ---------------------------------------------------------------------------------------- */

sv_str svi_api_digest(sv_event *ev, sv_str function, sv_str bytes)
{
    static const struct {
        const char *name, *openssl;
    } functions[] = {{"sha-1", "SHA1"},        {"sha-256", "SHA256"},     {"sha-384", "SHA384"},
                     {"sha-512", "SHA512"},    {"sha3-256", "SHA3-256"},  {"sha3-512", "SHA3-512"},
                     {"blake2b-512", "BLAKE2B512"}};
    const EVP_MD *md = NULL;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0] && md == NULL; i++)
        if (sv_str_eq(function, sv_str_of(functions[i].name)))
            md = EVP_get_digestbyname(functions[i].openssl);
    if (md == NULL) return SV_STR_NONE;
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    SV_ASSERT(EVP_Digest(bytes.n > 0 ? bytes.p : "", bytes.n, raw, &n, md, NULL) == 1);
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(svi_xevent_of(ev)->server));
    svi_base64_put(&buf, (sv_str){(const char *)raw, n});
    const sv_str text = svi_arena_str(svi_event_arena(ev), svi_buf_str(&buf));
    svi_buf_free(&buf);
    return text;
}

/* --- memory ----------------------------------------------------------------------------------------- */

void *svi_api_scratch(sv_event *ev, size_t bytes)
{
    return svi_arena_get(svi_event_arena(ev), bytes);
}

sv_str svi_api_format(sv_event *ev, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    SV_ASSERT(n >= 0);
    const size_t size = (size_t)n;
    svi_arena *arena = svi_event_arena(ev);
    if (size < sizeof small) return svi_arena_str(arena, (sv_str){small, size});
    char *large = svi_arena_get(arena, size + 1);
    va_start(args, format);
    (void)vsnprintf(large, size + 1, format, args);
    va_end(args);
    return (sv_str){large, size};
}

sv_str svi_api_random_hex(sv_event *ev, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    SV_ASSERT(bytes <= 4096);
    char *text = svi_arena_get(svi_event_arena(ev), 2 * bytes + 1);
    uint8_t *raw = (uint8_t *)text + bytes; /* read from the back half while the front is written */
    const svi_plat *plat = svi_server_plat(svi_xevent_of(ev)->server);
    plat->random(plat->ctx, raw, bytes);
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t byte = raw[i];
        text[2 * i] = digits[byte >> 4];
        text[2 * i + 1] = digits[byte & 15];
    }
    return (sv_str){text, 2 * bytes};
}

sv_str svi_api_stamp(sv_event *ev, int64_t ms)
{
    char text[32];
    return svi_arena_str(svi_event_arena(ev), svi_plat_stamp_ms(ms, text));
}
