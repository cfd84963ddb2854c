/* What the clients of a simulation must see: presence by subscription, rosters, answers. */
#include "sim.h"

#include <stave/roster.h>
#include <stdio.h>
#include <string.h>

#define NS_ROSTER "jabber:iq:roster"
#define SHOWN (SV_ROSTER_LISTED | SV_ROSTER_FROM | SV_ROSTER_TO | SV_ROSTER_PENDING_OUT)

static client *device_of(sim *t, unsigned account, unsigned device)
{
    return &t->clients[account * DEVICES + device];
}

static sv_str attr(const sv_node *node, const char *name)
{
    return svi_node_attr(node, sv_str_of(name));
}

static bool is_type(const sv_node *root, const char *type)
{
    return sv_str_eq(attr(root, "type"), sv_str_of(type));
}

/* uNNN@domain or uNNN@domain/rN; *device_out is -1 for a bare address. */
static bool read_address(sv_str jid, unsigned *account_out, int *device_out)
{
    int64_t account, device = -1;
    char name[16];
    const size_t at = svi_str_find(jid, '@'), slash = svi_str_find(jid, '/');
    if (at != 4 || jid.p[0] != 'u' || svi_str_int(svi_str_sub(jid, 1, 3), 0, ACCOUNTS - 1, &account) != SV_OK)
        return false;
    if (slash < jid.n && svi_str_int(svi_str_sub(jid, slash + 2, jid.n), 0, DEVICES - 1, &device) != SV_OK)
        return false;
    *account_out = (unsigned)account;
    *device_out = (int)device;
    return sv_str_eq(svi_str_sub(jid, at + 1, slash - at - 1), sv_str_of(domain_of((unsigned)account))) &&
           sv_str_eq(svi_str_sub(jid, 0, 4), sv_str_of(name_of((unsigned)account, name)));
}

/* --- questions ------------------------------------------------------------------------------------ */

question *ask(client *c, int to_account)
{
    sim *t = c->t;
    for (size_t i = 0; i < QUESTIONS; i++) {
        question *q = &c->questions[i];
        if (q->number) continue;
        *q = (question){.number = ++t->question_count,
                        .to_account = to_account,
                        .ends = to_account >= 0 ? t->accounts[to_account].ends : 0,
                        .mark = t->message_count};
        return q;
    }
    return NULL;
}

static question *asked(client *c, int64_t number)
{
    for (size_t i = 0; i < QUESTIONS; i++)
        if (c->questions[i].number == (uint32_t)number) return &c->questions[i];
    return NULL;
}

/* --- rosters ---------------------------------------------------------------------------------------- */

static void read_item(client *c, const sv_node *item)
{
    unsigned account;
    int device;
    if (!read_address(attr(item, "jid"), &account, &device)) {
        complain(c->t, "an item of a roster that nobody put there");
        return;
    }
    const int slot = slot_of(c->account, account);
    SV_ASSERT(slot >= 0 && (unsigned)slot < NEIGHBOURS);
    const sv_str sub = attr(item, "subscription");
    unsigned flags = SV_ROSTER_LISTED;
    if (sv_str_eq(sub, SV_STR("remove"))) flags = 0;
    if (sv_str_eq(sub, SV_STR("from")) || sv_str_eq(sub, SV_STR("both"))) flags |= SV_ROSTER_FROM;
    if (sv_str_eq(sub, SV_STR("to")) || sv_str_eq(sub, SV_STR("both"))) flags |= SV_ROSTER_TO;
    if (sv_str_eq(attr(item, "ask"), SV_STR("subscribe"))) flags |= SV_ROSTER_PENDING_OUT;
    c->roster[slot] = (uint8_t)flags;
}

static void read_roster(client *c, const sv_node *root)
{
    const sv_node *query = svi_node_find(root, SV_STR("query"), SV_STR(NS_ROSTER));
    if (!query) return;
    for (const sv_node *item = svi_node_first(query); item; item = svi_node_next(query, item))
        read_item(c, item);
}

/* --- IQs --------------------------------------------------------------------------------------------- */

static bool waits_to_clear(const client *c)
{
    for (size_t i = 0; i < QUESTIONS; i++)
        if (c->questions[i].number && c->questions[i].clears) return true;
    return false;
}

/* What came before the answer is no longer so; or, if it came behind the question, may be so. */
static void clear_seen(client *c)
{
    for (unsigned s = 0; s < SLOTS; s++)
        for (unsigned d = 0; d < DEVICES; d++) {
            c->unsure[s][d] = c->told[s][d];
            c->seen[s][d] = false;
        }
    if (!waits_to_clear(c)) memset(c->told, 0, sizeof c->told);
}

static void got_answer(client *c, const sv_node *root)
{
    const sv_str id = attr(root, "id");
    int64_t number = 0;
    const bool is_number = id.n > 1 && svi_str_int(svi_str_sub(id, 1, id.n), 1, UINT32_MAX, &number) == SV_OK;
    question *q = is_number ? asked(c, number) : NULL;
    if (!q && is_number && number <= c->first_question) return;
    if (!q) {
        complain(c->t, "u%03u/r%u got a second answer, or one to nothing: %.*s", c->account, c->device, (int)id.n,
                 id.n ? id.p : "");
        return;
    }
    met(c->t, HELD_ANSWER);
    if (q->message) model_is_kept(c->t, q);
    model_confirm(c, q->mark);
    if (q->value) value_answered(q, is_type(root, "result"), c->t);
    if (q->is_roster && is_type(root, "result")) {
        memset(c->roster, 0, sizeof c->roster);
        read_roster(c, root);
        c->interested = true;
    }
    q->number = 0;
    if (q->clears) clear_seen(c);
}

static void got_iq(client *c, const sv_node *root)
{
    if (is_type(root, "result") || is_type(root, "error")) {
        got_answer(c, root);
        return;
    }
    const sv_str id = attr(root, "id"), from = attr(root, "from");
    const bool is_push = svi_node_find(root, SV_STR("query"), SV_STR(NS_ROSTER)) != NULL;
    if (is_push) read_roster(c, root);
    if (c->drains) return;
    if (from.n && !is_push)
        say(c, "<iq type='result' id='%.*s' to='%.*s'/>", (int)id.n, id.p, (int)from.n, from.p);
    else
        say(c, "<iq type='result' id='%.*s'/>", (int)id.n, id.p);
}

/* --- presence ---------------------------------------------------------------------------------------- */

/* What people do when they are asked: each time something else. */
static void react(client *c, unsigned account)
{
    char name[16];
    const unsigned slot = (unsigned)slot_of(c->account, account);
    uint64_t dice = c->dice ^ ((uint64_t)account << 20) ^ ((uint64_t)++c->moods[slot] << 40);
    (void)roll_of(&dice, 2);
    const uint32_t mood = roll_of(&dice, 10);
    if (c->phase != BOUND || c->drains || mood >= 6) return;
    model_loosen(c->t, c->account, slot);
    say(c, "<presence type='%s' to='%s@%s'/>", mood < 4 ? "subscribed" : "unsubscribed", name_of(account, name),
        domain_of(account));
}

/* True if the server may refuse what one account sends the other. */
bool model_may_refuse(const sim *t, unsigned account, unsigned other)
{
    const unsigned there = (unsigned)slot_of(account, other), back = (unsigned)slot_of(other, account);
    const person *a = &t->accounts[account], *b = &t->accounts[other];
    return t->short_in == t->round || t->failed_in == t->round || t->gone_in[host_of(account)] == t->round ||
           t->gone_in[host_of(other)] == t->round || a->barred_in == t->round || b->barred_in == t->round ||
           !a->exists || !b->exists ||
           (there < NEIGHBOURS && (a->blocked_in[there] >= t->round || b->blocked_in[back] >= t->round));
}

static void got_presence(client *c, const sv_node *root)
{
    unsigned account;
    int device;
    const sv_str from = attr(root, "from"), type = attr(root, "type");
    /* its own to all: the host's answer */
    if (!from.n && sv_str_eq(type, SV_STR("error")) && model_may_refuse(c->t, c->account, c->account)) return;
    if (!read_address(from, &account, &device) || slot_of(c->account, account) < 0) {
        complain(c->t, "u%03u/r%u got presence of %.*s", c->account, c->device, (int)from.n, from.n ? from.p : "");
        return;
    }
    bool *seen = c->seen[slot_of(c->account, account)];
    const bool is_gone = sv_str_eq(type, SV_STR("unavailable"));
    if (sv_str_eq(type, SV_STR("subscribe"))) react(c, account);
    if (sv_str_eq(type, SV_STR("error")) && !model_may_refuse(c->t, c->account, account))
        complain(c->t, "u%03u/r%u got an error for presence to u%03u", c->account, c->device, account);
    if (type.n && !is_gone) return;
    for (int d = 0; d < (int)DEVICES; d++) {
        if (device >= 0 ? d != device : !is_gone) continue;
        const int slot = slot_of(c->account, account);
        seen[d] = !is_gone;
        c->unsure[slot][d] = false;
        c->told[slot][d] = waits_to_clear(c);
    }
}

/* Asks the own account, which answers in its turn: what came before the answer is no longer so. */
static bool mark(client *c)
{
    char name[16];
    question *q = ask(c, -1);
    if (!q) return false;
    q->clears = true;
    say(c, "<iq type='get' id='q%u' to='%s@%s'><ping xmlns='urn:xmpp:ping'/></iq>", q->number, name_of(c->account, name),
        domain_of(c->account));
    return true;
}

void model_available(client *c, int priority)
{
    /* what a session was told that was not available, nobody tells it the end of */
    if (!c->available && !mark(c)) return;
    if (!c->available || (c->priority < 0) != (priority < 0)) c->changed_in = c->t->round;
    c->available = true;
    c->priority = priority;
    c->ever_took |= priority >= 0;
    memset(c->muted, 0, sizeof c->muted);
    say(c, "<presence><priority>%d</priority><status>%u</status></presence>", priority, c->t->question_count % 1000);
}

void model_unavailable(client *c)
{
    say(c, "<presence type='unavailable'/>");
    (void)mark(c);
    c->changed_in = c->t->round;
    c->available = false;
    memset(c->directed, 0, sizeof c->directed);
}

void model_ask_roster(client *c)
{
    question *q = ask(c, -1);
    if (!q) return;
    q->is_roster = true;
    say(c, "<iq type='get' id='q%u'><query xmlns='" NS_ROSTER "'/></iq>", q->number);
}

/* --- a session's life ------------------------------------------------------------------------------------ */

void model_bound(client *c)
{
    c->changed_in = c->bound_in = c->t->round;
    c->first_question = c->t->question_count;
    c->available = c->ever_took = c->interested = c->is_doubtful = c->is_haunted = false;
    c->unconfirmed = 0;
    memset(c->questions, 0, sizeof c->questions);
    memset(c->seen, 0, sizeof c->seen);
    memset(c->told, 0, sizeof c->told);
    memset(c->unsure, 0, sizeof c->unsure);
    memset(c->roster, 0, sizeof c->roster);
    memset(c->directed, 0, sizeof c->directed);
    memset(c->muted, 0, sizeof c->muted);
    memset(c->moods, 0, sizeof c->moods);
    const uint32_t first = roll_of(&c->dice, 10);
    if (first < 8) model_ask_roster(c);
    if (first > 0) model_available(c, roll_of(&c->dice, 5) ? (int)roll_of(&c->dice, 6) : -1);
    if (first == 9) model_ask_roster(c);
}

void model_ended(client *c)
{
    person *a = &c->t->accounts[c->account];
    a->ends++;
    a->ended_in = c->t->round;
    c->changed_in = c->t->round;
    c->available = false;
    c->unconfirmed = 0;
    memset(c->directed, 0, sizeof c->directed);
}

void model_stanza(client *c, const sv_node *root)
{
    const sv_str name = svi_node_name(root);
    c->t->received++;
    if (sv_str_eq(name, SV_STR("iq")))
        got_iq(c, root);
    else if (sv_str_eq(name, SV_STR("presence")))
        got_presence(c, root);
    else if (sv_str_eq(name, SV_STR("message")))
        model_got_message(c, root);
    else
        complain(c->t, "<%.*s/> is no stanza", (int)name.n, name.p);
}

/* --- who and what comes and goes ------------------------------------------------------------------------- */

void model_loosen(sim *t, unsigned account, unsigned slot)
{
    const unsigned other = neighbour(account, slot), back = (unsigned)slot_of(other, account);
    person *a = &t->accounts[account], *b = &t->accounts[other];
    const bool is_missed = !a->exists || !b->exists || a->is_leaving || b->is_leaving || t->is_gone[host_of(account)] ||
                           t->is_gone[host_of(other)] || a->blocked_in[slot] || b->blocked_in[back];
    a->asked_in[slot] = t->round;
    if (is_missed) a->is_loose[slot] = b->is_loose[back] = true;
}

/* What is under way between the two may reach one side only. */
void model_parts(sim *t, unsigned account, unsigned slot)
{
    const unsigned other = neighbour(account, slot), back = (unsigned)slot_of(other, account);
    person *a = &t->accounts[account], *b = &t->accounts[other];
    if (a->asked_in[slot] == t->round || b->asked_in[back] == t->round) a->is_loose[slot] = b->is_loose[back] = true;
}

void model_host_changes(sim *t, unsigned host)
{
    for (unsigned a = 0; a < ACCOUNTS; a++) {
        if (host_of(a) != host) continue;
        for (unsigned s = 0; s < NEIGHBOURS; s++) model_parts(t, a, s);
        t->accounts[a].barred_in = t->round;
        model_excuse(t, a);
    }
}

void model_account_comes(sim *t, unsigned account)
{
    person *a = &t->accounts[account];
    a->life++;
    a->exists = true;
    a->is_leaving = a->is_disabled = false;
    a->is = UNSURE;
    memset(a->notices, 0, sizeof a->notices);
    values_forget(a);
}

void model_account_goes(sim *t, unsigned account)
{
    person *a = &t->accounts[account];
    for (unsigned s = 0; s < NEIGHBOURS; s++) model_parts(t, account, s);
    a->is_leaving = true;
    a->is = UNSURE;
    a->barred_in = t->round;
    model_excuse(t, account);
    values_forget(a);
}

/* --- what must hold when nothing moves ---------------------------------------------------------------------- */

static void read_roster_of(sim *t, unsigned account)
{
    char name[16], contact[64];
    person *a = &t->accounts[account];
    svi_rows *rows = world_rows(t, t->rosters[host_of(account)], sv_str_of(name_of(account, name)));
    for (unsigned s = 0; rows && s < NEIGHBOURS; s++) {
        const unsigned other = neighbour(account, s);
        sv_str record;
        (void)snprintf(contact, sizeof contact, "%s@%s", name_of(other, name), domain_of(other));
        a->flags[s] = svi_rows_find(rows, sv_str_of(contact), &record) ? (uint8_t)sv_roster_flags(record) : 0;
    }
    if (rows) svi_rows_unref(&rows);
}

/* Whether the account is there now: the operator's commands have come to an end. */
static void read_account(sim *t, unsigned account)
{
    char name[16];
    person *a = &t->accounts[account];
    svi_rows *rows = world_rows(t, svi_host_accounts(world_host(t, host_of(account))), sv_str_of(name_of(account, name)));
    if (!rows) return;
    const bool exists = svi_rows_count(rows) > 0;
    svi_rows_unref(&rows);
    const bool may_differ = a->barred_in == t->round || t->killed_in == t->round;
    if (a->is == SURELY_GONE) met(t, HELD_DELETED);
    if (a->is == SURELY_THERE) met(t, HELD_MADE);
    if ((a->is == SURELY_GONE && exists) || (a->is == SURELY_THERE && !exists))
        complain(t, "u%03u %s", account, exists ? "is there, and the operator was told that it is deleted" : "is not there, and the operator was told that it is");
    if (exists != a->exists && !may_differ && !a->is_leaving)
        complain(t, "u%03u %s", account, exists ? "is there, and was deleted" : "is not there any more");
    a->exists = exists;
    /* what could not be read or written has stopped it: a further call would go on */
    a->is_leaving = exists && a->is_leaving;
}

static unsigned flags_of(const sim *t, unsigned account, unsigned other)
{
    return t->accounts[account].flags[slot_of(account, other)];
}

static void check_symmetry(sim *t)
{
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (unsigned s = 0; s < NEIGHBOURS; s++) {
            const unsigned b = neighbour(a, s), mine = flags_of(t, a, b), theirs = flags_of(t, b, a);
            if (t->accounts[a].is_loose[s]) continue;
            if (mine & SV_ROSTER_TO) met(t, HELD_SUBSCRIPTION);
            if (mine & SV_ROSTER_PENDING_OUT) met(t, HELD_REQUEST);
            if (!(mine & SV_ROSTER_TO) != !(theirs & SV_ROSTER_FROM))
                complain(t, "u%03u has %02x of u%03u, which has %02x: to without from", a, mine, b, theirs);
            if (!(mine & SV_ROSTER_PENDING_OUT) != !(theirs & SV_ROSTER_PENDING_IN))
                complain(t, "u%03u has %02x of u%03u, which has %02x: a request on one side", a, mine, b, theirs);
        }
}

/* A block stands between the two, or did in this round. */
static bool is_blocked(const sim *t, unsigned account, unsigned slot)
{
    const unsigned other = neighbour(account, slot), back = (unsigned)slot_of(other, account);
    return t->accounts[account].blocked_in[slot] >= t->round || t->accounts[other].blocked_in[back] >= t->round;
}

static void check_seen(const client *c, unsigned slot, unsigned device)
{
    sim *t = c->t;
    const bool own = slot == OWN;
    const unsigned other = own ? c->account : neighbour(c->account, slot);
    const client *e = device_of(t, other, device);
    if (e == c || e->is_haunted || e->is_doubtful || c->is_doubtful || c->unsure[slot][device]) return;
    const bool is_here = e->phase == BOUND, seen = c->seen[slot][device];
    const unsigned back = own ? 0 : (unsigned)slot_of(other, c->account);
    if (!own && (is_blocked(t, c->account, slot) || t->accounts[c->account].is_loose[slot])) return;
    const bool entitled = is_here && e->available && (own || (t->accounts[other].flags[back] & SV_ROSTER_FROM));
    if (!own && entitled && !e->muted[back]) met(t, HELD_SEEN);
    if (is_here && e->available && !entitled && !e->directed[back]) met(t, HELD_UNSEEN);
    if (entitled && !seen && (own || !e->muted[back]))
        complain(t, "u%03u/r%u does not see u%03u/r%u, which is available", c->account, c->device, other, device);
    if (seen && !entitled && !(!own && is_here && e->directed[back]))
        complain(t, "u%03u/r%u sees u%03u/r%u, which it may not or which is gone (%s)", c->account, c->device,
                 other, device, is_here ? "here" : "gone");
}

/* A device may have tried since. */
static void check_disabled(sim *t, unsigned account)
{
    const person *a = &t->accounts[account];
    if (a->is != SURELY_DISABLED && a->is != SURELY_GONE) return;
    if (a->connects > a->is_since) met(t, HELD_DISABLED);
    for (unsigned d = 0; d < DEVICES; d++)
        if (device_of(t, account, d)->phase == BOUND) complain(t, "u%03u/r%u is logged in, and its account is %s", account, d, a->is == SURELY_GONE ? "deleted" : "disabled");
}

static void check_client(client *c)
{
    sim *t = c->t;
    for (unsigned s = 0; c->available && s < SLOTS; s++)
        for (unsigned d = 0; d < DEVICES; d++) check_seen(c, s, d);
    for (unsigned s = 0; c->interested && !c->is_doubtful && s < NEIGHBOURS; s++) {
        const unsigned stored = t->accounts[c->account].flags[s];
        const unsigned due = stored & SV_ROSTER_LISTED ? stored & SHOWN : 0;
        const person *a = &t->accounts[c->account];
        if (due && !a->is_loose[s]) met(t, HELD_TOLD);
        if (c->roster[s] != due && !a->is_loose[s])
            complain(t, "u%03u/r%u was told %02x of u%03u, stored is %02x", c->account, c->device, c->roster[s],
                     neighbour(c->account, s), stored);
    }
    for (size_t i = 0; i < QUESTIONS; i++) {
        question *q = &c->questions[i];
        const person *to = q->to_account >= 0 ? &t->accounts[q->to_account] : NULL;
        if (q->number && (!to || (to->ends == q->ends && to->late_in != t->round)))
            complain(t, "u%03u/r%u got no answer to q%u", c->account, c->device, q->number);
        q->number = 0;
    }
    model_confirm(c, UINT32_MAX);
}

/* While a read fails, a session is not told what it has to be told, and nobody tells it later. */
static void doubt(sim *t)
{
    for (unsigned i = 0; t->failed_in == t->round && i < CLIENTS; i++) t->clients[i].is_doubtful = true;
}

void model_check_quiet(sim *t)
{
    const char *fault = svi_stage_fault(t->stage);
    doubt(t);
    for (unsigned i = 0; i < ACCOUNTS; i++) read_account(t, i), read_roster_of(t, i);
    for (unsigned i = 0; i < ACCOUNTS; i++)
        if (t->accounts[i].late_in == t->round) model_excuse(t, i); /* what was sent until the server had heard of it, too */
    values_check(t);
    check_symmetry(t);
    for (unsigned i = 0; i < ACCOUNTS; i++) check_disabled(t, i);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->clients[i].phase == BOUND) check_client(&t->clients[i]);
    model_check_round(t);
    met(t, HELD_LEDGER);
    if (fault[0]) complain(t, "%s", fault);
    if (svi_stage_problem(t->stage)[0]) complain(t, "%s", svi_stage_problem(t->stage));
}
