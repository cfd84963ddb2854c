/* The two queues of a counted session: see xmpp_tally.h. */
#include "xmpp/xmpp_tally.h"
#include <stddef.h>

#include "base/base_assert.h"

#define TALLY_MAGIC 0x54414c59u
#define RING_MIN 16u

/* A stanza that came. */
typedef struct came {
    uint64_t mark;
    uint32_t holds; /* 0: it is done */
    bool is_noted;
    bool is_written; /* in a unit that is not known to be committed */
} came;

/* One that had come before a resumption and was not counted then. */
typedef struct former {
    struct former *next;
    uint64_t serial;
    uint64_t again; /* the serial of the same one, come again; 0: it has not */
    came as;        /* mark 0: it is not known again */
} former;

struct svi_tally {
    uint32_t magic;
    svi_acct *acct;
    bool needs_notes;

    came *ring; /* those with serials from `base` to before `base + count` */
    size_t size, count, first;
    uint64_t base;
    uint32_t h;
    former *formers, **formers_end;
    size_t former_count;
    size_t repeats; /* so many more that come may be former ones */

    svi_tally_out *out, **out_end, *next;
    uint64_t added, handed, acked;
    bool is_recovered;
    uint64_t noted; /* after a start, until the client was heard: the last number of then */
    svi_tally_sum sum;
};

svi_tally *svi_tally_new(svi_acct *acct, bool needs_notes)
{
    svi_tally *tally = svi_alloc(acct, sizeof *tally);
    tally->magic = TALLY_MAGIC;
    tally->acct = acct;
    tally->needs_notes = needs_notes;
    tally->base = 1;
    tally->formers_end = &tally->formers;
    tally->out_end = &tally->out;
    return tally;
}

void svi_tally_begin_at(svi_tally *tally, uint32_t h, uint64_t sent)
{
    SV_CHECK(tally, TALLY_MAGIC);
    SV_ASSERT(tally->base == 1 && tally->count == 0 && tally->added == 0);
    tally->h = h;
    tally->added = tally->handed = tally->acked = sent;
}

static void former_free(svi_tally *tally, former **at)
{
    former *gone = *at;
    *at = gone->next;
    if (*at == NULL) tally->formers_end = at;
    tally->former_count--;
    svi_free(gone);
}

void svi_tally_free(svi_tally **tally)
{
    svi_tally *t = *tally;
    *tally = NULL;
    if (t == NULL) return;
    SV_CHECK(t, TALLY_MAGIC);
    SV_ASSERT(t->out == NULL);
    while (t->formers != NULL) former_free(t, &t->formers);
    svi_free(t->ring);
    t->magic = 0;
    svi_free(t);
}

/* --- in -------------------------------------------------------------------------------------- */

/* FNV-1a, with the end of each text in it. */
static uint64_t mix(uint64_t hash, sv_str text)
{
    for (size_t i = 0; i <= text.n; i++) {
        hash ^= i < text.n ? (unsigned char)text.p[i] : 0x1ffu;
        hash *= UINT64_C(0x100000001b3);
    }
    return hash;
}

uint64_t svi_tally_mark(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str id = svi_node_attr(root, SV_STR("id"));
    if (id.n == 0) return 0;
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), svi_node_name(root));
    hash = mix(hash, svi_node_attr(root, SV_STR("type")));
    hash = mix(hash, svi_node_attr(root, SV_STR("to")));
    hash = mix(hash, id);
    return hash != 0 ? hash : 1;
}

static came *at(const svi_tally *tally, uint64_t serial)
{
    SV_ASSERT(serial >= tally->base && serial - tally->base < tally->count);
    return &tally->ring[(tally->first + (size_t)(serial - tally->base)) % tally->size];
}

static void grow(svi_tally *tally)
{
    const size_t size = tally->size > 0 ? tally->size * 2 : RING_MIN;
    came *ring = svi_alloc(tally->acct, size * sizeof *ring);
    for (size_t i = 0; i < tally->count; i++) ring[i] = *at(tally, tally->base + i);
    svi_free(tally->ring);
    tally->ring = ring;
    tally->size = size;
    tally->first = 0;
}

static bool advance(svi_tally *tally)
{
    const uint32_t before = tally->h;
    while (tally->count > 0) {
        const came *head = &tally->ring[tally->first];
        if (head->holds > 0 || (tally->needs_notes && !head->is_noted)) break;
        tally->first = (tally->first + 1) % tally->size;
        tally->base++;
        tally->count--;
        tally->h++;
    }
    return tally->h != before;
}

/* The one that this is, come again; NULL if it is new. */
static former **find_again(svi_tally *tally, uint64_t mark)
{
    former **link = &tally->formers;
    while (*link != NULL && ((*link)->as.mark != mark || (*link)->again != 0)) link = &(*link)->next;
    return *link != NULL ? link : NULL;
}

/* No more are expected again: those that are done are of no use. */
static void forget_formers(svi_tally *tally)
{
    for (former **link = &tally->formers; *link != NULL;) {
        (*link)->as.mark = 0;
        if ((*link)->as.holds == 0 && (*link)->again == 0)
            former_free(tally, link);
        else
            link = &(*link)->next;
    }
}

uint64_t svi_tally_in(svi_tally *tally, uint64_t mark, bool *is_repeat_out)
{
    SV_CHECK(tally, TALLY_MAGIC);
    if (tally->count == tally->size) grow(tally);
    const uint64_t serial = tally->base + tally->count++;
    came *new = at(tally, serial);
    *new = (came){.mark = mark, .holds = 1};
    former **link = mark != 0 && tally->repeats > 0 ? find_again(tally, mark) : NULL;
    *is_repeat_out = link != NULL;
    if (link != NULL && (*link)->as.holds > 0) {
        (*link)->again = serial;
    } else if (link != NULL) {
        const bool is_noted = (*link)->as.is_noted;
        former_free(tally, link);
        (void)svi_tally_let_go(tally, serial, is_noted);
    }
    if (tally->repeats > 0 && --tally->repeats == 0) forget_formers(tally);
    return serial;
}

static former **find_former(svi_tally *tally, uint64_t serial)
{
    former **link = &tally->formers;
    while (*link != NULL && (*link)->serial != serial) link = &(*link)->next;
    SV_ASSERT(*link != NULL);
    return link;
}

void svi_tally_hold(svi_tally *tally, uint64_t serial)
{
    SV_CHECK(tally, TALLY_MAGIC);
    if (serial == 0) return;
    came *held = serial >= tally->base ? at(tally, serial) : &(*find_former(tally, serial))->as;
    SV_ASSERT(held->holds > 0);
    held->holds++;
}

static bool let_go_former(svi_tally *tally, uint64_t serial, bool is_noted)
{
    former **link = find_former(tally, serial);
    former *f = *link;
    SV_ASSERT(f->as.holds > 0);
    f->as.is_noted |= is_noted;
    if (--f->as.holds > 0) return false;
    const uint64_t again = f->again;
    const bool was_noted = f->as.is_noted;
    if (again != 0 || f->as.mark == 0) former_free(tally, link);
    return again != 0 && svi_tally_let_go(tally, again, was_noted);
}

bool svi_tally_let_go(svi_tally *tally, uint64_t serial, bool is_noted)
{
    SV_CHECK(tally, TALLY_MAGIC);
    if (serial == 0) return false;
    if (serial < tally->base) return let_go_former(tally, serial, is_noted);
    came *held = at(tally, serial);
    SV_ASSERT(held->holds > 0);
    held->is_noted |= is_noted;
    return --held->holds == 0 && advance(tally);
}

bool svi_tally_is_full(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->count + tally->former_count >= SVI_TALLY_IN_MAX;
}

uint32_t svi_tally_h(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->h;
}

uint32_t svi_tally_received(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->h + (uint32_t)tally->count;
}

uint64_t svi_tally_newest(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->base + tally->count - 1;
}

uint64_t svi_tally_handled(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->base - 1;
}

uint64_t svi_tally_done(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    uint64_t serial = tally->base;
    while (serial < tally->base + tally->count && (at(tally, serial)->holds == 0 || at(tally, serial)->is_written))
        serial++;
    return serial - 1;
}

void svi_tally_written(svi_tally *tally, uint64_t serial)
{
    SV_CHECK(tally, TALLY_MAGIC);
    at(tally, serial)->is_written = true;
}

bool svi_tally_note(svi_tally *tally, uint64_t serial)
{
    SV_CHECK(tally, TALLY_MAGIC);
    for (uint64_t i = tally->base; i <= serial; i++) {
        SV_ASSERT(at(tally, i)->holds == 0 || at(tally, i)->is_written);
        at(tally, i)->is_noted = true;
    }
    return advance(tally);
}

bool svi_tally_is_last(const svi_tally *tally, uint64_t serial, uint64_t *mark_out)
{
    SV_CHECK(tally, TALLY_MAGIC);
    if (serial < tally->base) return false; /* it came again meanwhile, and is noted as that one */
    *mark_out = at(tally, serial)->mark;
    return at(tally, serial)->holds == 1;
}

void svi_tally_each_done(const svi_tally *tally, void (*each)(void *ctx, uint64_t serial, uint64_t mark), void *ctx)
{
    SV_CHECK(tally, TALLY_MAGIC);
    for (const former *f = tally->formers; f != NULL; f = f->next)
        if (f->as.holds == 0 && f->as.mark != 0) each(ctx, f->serial, f->as.mark);
    for (uint64_t i = tally->base; i < tally->base + tally->count; i++)
        if ((at(tally, i)->holds == 0 || at(tally, i)->is_written) && at(tally, i)->mark != 0) each(ctx, i, at(tally, i)->mark);
}

uint64_t svi_tally_since(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->formers != NULL ? tally->formers->serial : tally->base;
}

void svi_tally_repeat(svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    for (; tally->count > 0; tally->count--, tally->base++) {
        const came *old = at(tally, tally->base);
        tally->first = (tally->first + 1) % tally->size;
        if (old->holds == 0 && old->mark == 0) continue;
        former *f = svi_alloc(tally->acct, sizeof *f);
        *f = (former){.serial = tally->base, .as = *old};
        *tally->formers_end = f;
        tally->formers_end = &f->next;
        tally->former_count++;
    }
    tally->repeats = tally->is_recovered ? SVI_TALLY_IN_MAX : tally->former_count;
}

/* --- out ------------------------------------------------------------------------------------- */

static void set_copy(svi_tally *tally, svi_tally_out *out, const svi_tally_copy *copy)
{
    out->stanza = svi_stanza_ref(copy->stanza);
    out->to = copy->to.p != NULL ? svi_str_dup(tally->acct, copy->to) : SV_STR_NONE;
    out->entry = copy->entry;
    out->since_us = copy->since_us;
    out->ticket = copy->ticket;
    out->noted_bytes = copy->noted_bytes;
    out->bytes = sizeof *out + svi_stanza_held_bytes(copy->stanza);
    tally->sum.bytes += out->bytes;
    if (copy->place == NULL) return;
    out->place = (svi_tally_place){.map = copy->place->map,
                                   .owner = svi_str_dup(tally->acct, copy->place->owner),
                                   .key = svi_str_dup(tally->acct, copy->place->key)};
    tally->sum.stored_bytes += out->bytes;
    tally->sum.stored_count++;
}

/* It is no more among those that wait. */
static void subtract(svi_tally *tally, const svi_tally_out *out)
{
    SV_ASSERT(tally->sum.bytes >= out->bytes);
    tally->sum.bytes -= out->bytes;
    if (out->place.map == NULL) return;
    tally->sum.stored_bytes -= out->bytes;
    tally->sum.stored_count--;
}

static void clear_copy(svi_tally_out *out)
{
    svi_stanza_unref((sv_stanza **)(uintptr_t)&out->stanza);
    svi_str_free(&out->to);
    svi_str_free(&out->place.owner);
    svi_str_free(&out->place.key);
    out->place.map = NULL;
}

uint64_t svi_tally_add(svi_tally *tally, const svi_tally_copy *copy)
{
    SV_CHECK(tally, TALLY_MAGIC);
    svi_tally_out *out = svi_alloc(tally->acct, sizeof *out);
    set_copy(tally, out, copy);
    out->number = ++tally->added;
    *tally->out_end = out;
    tally->out_end = &out->next;
    if (tally->next == NULL) tally->next = out;
    tally->sum.count++;
    return out->number;
}

svi_tally_out *svi_tally_next(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->next;
}

void svi_tally_handed(svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    SV_ASSERT(tally->next != NULL);
    tally->next->was_handed = true;
    if (tally->next->number > tally->handed) tally->handed = tally->next->number;
    tally->next = tally->next->next;
}

void svi_tally_rewind(svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    tally->next = tally->out;
}

const svi_tally_out *svi_tally_first(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->out;
}

svi_tally_sum svi_tally_waiting(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->sum;
}

uint64_t svi_tally_replace(svi_tally *tally, svi_tally_out *out, const svi_tally_copy *copy)
{
    SV_CHECK(tally, TALLY_MAGIC);
    SV_ASSERT(!out->was_handed && out->number > tally->handed);
    const uint64_t entry = out->entry;
    subtract(tally, out);
    clear_copy(out);
    set_copy(tally, out, copy);
    return entry;
}

void svi_tally_restamp(svi_tally *tally, svi_tally_out *out, const sv_stanza *stanza)
{
    SV_CHECK(tally, TALLY_MAGIC);
    const size_t before = out->bytes;
    sv_stanza *old = (sv_stanza *)(uintptr_t)out->stanza;
    out->stanza = svi_stanza_ref(stanza);
    out->bytes = sizeof *out + svi_stanza_held_bytes(stanza);
    tally->sum.bytes += out->bytes - before;
    if (out->place.map != NULL) tally->sum.stored_bytes += out->bytes - before;
    svi_stanza_unref(&old);
}

static bool is_iq(const sv_node *root, sv_str one, sv_str other)
{
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    return svi_node_is(root, SV_STR("iq"), SV_STR(SVI_NS_CLIENT)) &&
           (sv_str_eq(type, one) || sv_str_eq(type, other));
}

void svi_tally_answer(svi_tally *tally, const sv_stanza *stanza)
{
    SV_CHECK(tally, TALLY_MAGIC);
    const sv_node *answer = svi_stanza_root(stanza);
    if (tally->out == NULL || !is_iq(answer, SV_STR("result"), SV_STR("error"))) return;
    const sv_str id = svi_node_attr(answer, SV_STR("id")), to = svi_node_attr(answer, SV_STR("to"));
    for (svi_tally_out *out = tally->out; out != NULL; out = out->next) {
        const sv_node *root = svi_stanza_root(out->stanza);
        if (out->was_handed && is_iq(root, SV_STR("get"), SV_STR("set")) &&
            sv_str_eq(svi_node_attr(root, SV_STR("id")), id) &&
            sv_str_eq(svi_node_attr(root, SV_STR("from")), to))
            out->is_answered = true;
    }
}

/* Takes the first `count` off. */
static svi_tally_out *take(svi_tally *tally, uint64_t count)
{
    svi_tally_out *taken = count > 0 ? tally->out : NULL, **end = &tally->out;
    for (uint64_t i = 0; i < count; i++) {
        SV_ASSERT(*end != NULL);
        subtract(tally, *end);
        if (tally->next == *end) tally->next = (*end)->next;
        end = &(*end)->next;
    }
    if (count == 0) return NULL;
    tally->out = *end;
    *end = NULL;
    if (tally->out == NULL) tally->out_end = &tally->out;
    tally->sum.count -= (size_t)count;
    return taken;
}

sv_status svi_tally_ack(svi_tally *tally, uint32_t h, svi_tally_out **acked_out)
{
    SV_CHECK(tally, TALLY_MAGIC);
    *acked_out = NULL;
    const uint32_t more = h - (uint32_t)tally->acked, less = (uint32_t)tally->acked - h;
    if (more > tally->handed - tally->acked)
        return less <= INT32_MAX && less <= tally->acked ? SV_ENOTFOUND : SV_EINVAL;
    tally->acked += more;
    *acked_out = take(tally, more);
    return SV_OK;
}

svi_tally_out *svi_tally_take(svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return take(tally, tally->sum.count);
}

void svi_tally_out_free(svi_tally_out **out)
{
    svi_tally_out *gone = *out;
    *out = gone->next;
    clear_copy(gone);
    svi_free(gone);
}

uint32_t svi_tally_sent(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return (uint32_t)tally->handed;
}

uint32_t svi_tally_acked(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return (uint32_t)tally->acked;
}

uint32_t svi_tally_added(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return (uint32_t)tally->added;
}

uint64_t svi_tally_acked_number(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->acked;
}

uint64_t svi_tally_added_number(const svi_tally *tally)
{
    SV_CHECK(tally, TALLY_MAGIC);
    return tally->added;
}

/* --- after a start --------------------------------------------------------------------------- */

void svi_tally_recover(svi_tally *tally, const svi_tally_known *known)
{
    SV_CHECK(tally, TALLY_MAGIC);
    SV_ASSERT(tally->base == 1 && tally->count == 0 && tally->added == 0 && known->noted >= known->acked);
    tally->h = known->h;
    tally->base = known->serial + 1;
    tally->acked = known->acked;
    tally->added = tally->handed = tally->noted = known->noted;
    tally->is_recovered = true; /* of what was under way nothing is known, so many may come again */
}

void svi_tally_former(svi_tally *tally, uint64_t serial, uint64_t mark)
{
    SV_CHECK(tally, TALLY_MAGIC);
    former *f = svi_alloc(tally->acct, sizeof *f);
    *f = (former){.serial = serial, .as = {.mark = mark, .is_noted = true}};
    *tally->formers_end = f;
    tally->formers_end = &f->next;
    tally->former_count++;
    if (serial >= tally->base) tally->base = serial + 1; /* what comes gets another one */
}

void svi_tally_restore(svi_tally *tally, const svi_tally_copy *copy, uint64_t number)
{
    SV_CHECK(tally, TALLY_MAGIC);
    SV_ASSERT(number > tally->acked && number <= tally->noted && tally->added == tally->noted);
    (void)svi_tally_add(tally, copy);
    tally->added--;
    _Static_assert(offsetof(svi_tally_out, next) == 0, "the end of the list points to the last one");
    svi_tally_out *last = (svi_tally_out *)tally->out_end;
    last->number = number;
    last->was_handed = true; /* maybe */
}

svi_tally_out *svi_tally_drop(svi_tally *tally, const svi_tally_place *place)
{
    SV_CHECK(tally, TALLY_MAGIC);
    svi_tally_out *dropped = NULL;
    for (svi_tally_out **link = &tally->out; *link != NULL;) {
        svi_tally_out *out = *link;
        if (out->place.map != place->map || !sv_str_eq(out->place.owner, place->owner) ||
            !sv_str_eq(out->place.key, place->key)) {
            link = &out->next;
            continue;
        }
        *link = out->next;
        if (*link == NULL) tally->out_end = link;
        subtract(tally, out);
        tally->sum.count--;
        out->next = dropped;
        dropped = out;
    }
    svi_tally_rewind(tally);
    return dropped;
}

sv_status svi_tally_settle(svi_tally *tally, uint32_t h, svi_tally_out **acked_out)
{
    SV_CHECK(tally, TALLY_MAGIC);
    *acked_out = NULL;
    const uint32_t more = h - (uint32_t)tally->acked;
    if (more > INT32_MAX) return SV_ENOTFOUND;
    const uint64_t up_to = tally->acked + more;
    uint64_t count = 0;
    for (const svi_tally_out *out = tally->out; out != NULL && out->number <= tally->noted && out->number <= up_to;
         out = out->next)
        count++;
    *acked_out = take(tally, count);
    tally->acked = tally->handed = tally->added = up_to;
    tally->noted = 0;
    for (svi_tally_out *out = tally->out; out != NULL; out = out->next) {
        out->number = ++tally->added; /* from the client's h on */
        out->was_handed = false;
    }
    svi_tally_rewind(tally);
    return SV_OK;
}
