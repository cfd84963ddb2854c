/* The release of examples/c/visits before the one that is there: its table knows how often an account was here, nothing else. */
#include <stave/module.h>

typedef struct visits {
    sv_mod *mod;
    int64_t odd; /* option: makes records of a size that no release had */
    sv_table *accounts;
    int64_t count;
} visits;

static sv_verdict on_bound(sv_event *ev, void *self)
{
    visits *me = self;
    int64_t *count = sv->table_put(me->accounts, sv->from(ev)->bare);
    if (count) (*count)++;
    me->count++;
    return SV_PASS;
}

static void save(sv_blob *out, void *self)
{
    (void)sv->save_int(out, "count", 1, ((visits *)self)->count);
}

static sv_status start(sv_mod *mod, void *self)
{
    visits *me = self;
    me->mod = mod;
    const sv_table_desc desc = {.size = sizeof desc,
                                .name = "accounts",
                                .version = 1,
                                .record_bytes = sizeof(int64_t) * (me->odd ? 2 : 1),
                                .max_records = 1000};
    me->accounts = sv->table(mod, &desc);
    return me->accounts ? SV_OK : SV_EVERSION;
}

static const sv_hook hooks[] = {{.on = "session/bound", .call = on_bound}, {0}};

static const sv_option options[] = {
    SV_OPT_INT(visits, odd, "visits_accounts", "0", "0", "1000", "Records of another size, if it is not 0."), {0}};

SV_MODULE(.name = "visits", .summary = "Counts how often accounts were here", .self_size = sizeof(visits), .hooks = hooks,
          .options = options, .start = start, .save = save)
