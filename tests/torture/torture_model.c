/* What the clients of a torture must see: presence by subscription, rosters, messages, answers. */
#include "torture.h"

#include <stave/roster.h>
#include <stdio.h>
#include <string.h>

#define NS_ROSTER "jabber:iq:roster"
#define SHOWN (SV_ROSTER_LISTED | SV_ROSTER_FROM | SV_ROSTER_TO | SV_ROSTER_PENDING_OUT)

static client *device_of(torture *t, unsigned account, unsigned device)
{
    return &t->clients[account * DEVICES + device];
}

static unsigned number_of(const client *c)
{
    return c->account * DEVICES + c->device;
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

uint32_t ask(client *c, int to_account, bool is_roster, bool clears)
{
    for (size_t i = 0; i < QUESTIONS; i++) {
        question *q = &c->questions[i];
        if (q->number) continue;
        *q = (question){.number = ++c->t->question_count,
                        .to_account = to_account,
                        .ends = to_account >= 0 ? c->t->accounts[to_account].ends : 0,
                        .mark = c->t->message_count,
                        .is_roster = is_roster,
                        .clears = clears};
        return q->number;
    }
    return 0;
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
    model_confirm(c, q->mark);
    if (q->is_roster && is_type(root, "result")) {
        memset(c->roster, 0, sizeof c->roster);
        read_roster(c, root);
        c->interested = true;
    }
    if (q->clears) memset(c->seen, 0, sizeof c->seen);
    q->number = 0;
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

/* What people do when they are asked. */
static void react(client *c, unsigned account)
{
    char name[16];
    const uint32_t mood = roll(c->t, 10);
    if (c->phase == BOUND && !c->drains && mood < 6)
        say(c, "<presence type='%s' to='%s@%s'/>", mood < 4 ? "subscribed" : "unsubscribed",
            name_of(account, name), domain_of(account));
}

static void got_presence(client *c, const sv_node *root)
{
    unsigned account;
    int device;
    const sv_str from = attr(root, "from"), type = attr(root, "type");
    if (!read_address(from, &account, &device) || slot_of(c->account, account) < 0) {
        complain(c->t, "u%03u/r%u got presence of %.*s", c->account, c->device, (int)from.n, from.n ? from.p : "");
        return;
    }
    bool *seen = c->seen[slot_of(c->account, account)];
    const bool is_gone = sv_str_eq(type, SV_STR("unavailable"));
    if (sv_str_eq(type, SV_STR("subscribe"))) react(c, account);
    if (sv_str_eq(type, SV_STR("error")))
        complain(c->t, "u%03u/r%u got an error for presence to u%03u", c->account, c->device, account);
    if (type.n && !is_gone) return;
    if (device >= 0)
        seen[device] = !is_gone;
    else if (is_gone)
        memset(seen, 0, DEVICES);
}

/* Asks the own account, which answers in its turn: what came before the answer is no longer so. */
static bool mark(client *c)
{
    char name[16];
    const uint32_t number = ask(c, -1, false, true);
    if (number)
        say(c, "<iq type='get' id='q%u' to='%s@%s'><ping xmlns='urn:xmpp:ping'/></iq>", number,
            name_of(c->account, name), domain_of(c->account));
    return number != 0;
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
    say(c, "<presence><priority>%d</priority><status>%u</status></presence>", priority, roll(c->t, 1000));
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
    const uint32_t number = ask(c, -1, true, false);
    if (number) say(c, "<iq type='get' id='q%u'><query xmlns='" NS_ROSTER "'/></iq>", number);
}

/* --- messages ----------------------------------------------------------------------------------------- */

uint32_t model_message(client *c, unsigned to_account, int to_device, char type)
{
    torture *t = c->t;
    if (t->message_count + 1 >= t->message_room) {
        t->message_room = t->message_room ? t->message_room * 2 : 4096;
        t->messages = svi_realloc(&t->peers, t->messages, t->message_room * sizeof *t->messages);
    }
    t->messages[++t->message_count] = (message){.next = c->unconfirmed,
                                                .from = (uint16_t)number_of(c),
                                                .to_account = (uint16_t)to_account,
                                                .to_device = (int16_t)to_device,
                                                .session = c->session,
                                                .round = t->round,
                                                .type = type};
    c->unconfirmed = t->message_count;
    return t->message_count;
}

void model_confirm(client *c, uint32_t up_to)
{
    message *all = c->t->messages;
    uint32_t *at = &c->unconfirmed;
    while (*at > up_to) at = &all[*at].next;
    for (uint32_t n = *at; n; n = all[n].next) all[n].confirmed = true;
    *at = 0;
}

static void got_message(client *c, const sv_node *root)
{
    torture *t = c->t;
    int64_t number;
    const sv_str id = attr(root, "id");
    if (id.n < 2 || svi_str_int(svi_str_sub(id, 1, id.n), 1, t->message_count, &number) != SV_OK) {
        complain(t, "a message that nobody sent: %.*s", (int)id.n, id.n ? id.p : "");
        return;
    }
    message *m = &t->messages[number];
    if (is_type(root, "error")) {
        m->error = true;
        if (m->from != number_of(c)) complain(t, "m%d: its error came to somebody else", (int)number);
        if (m->type != 'n' || m->to_device < 0) complain(t, "m%d (%c) was returned", (int)number, m->type);
        return;
    }
    /* what was on its way to a session that ended goes on to others, which may have it */
    const bool broke = t->accounts[m->to_account].ended_in >= m->round;
    if (m->to_account != c->account) {
        complain(t, "m%d came to u%03u/r%u", (int)number, c->account, c->device);
        return;
    }
    if (m->to_device < 0 && !c->ever_took)
        complain(t, "m%d came to u%03u/r%u, which takes none", (int)number, c->account, c->device);
    if (m->to_device >= 0 && m->type != 'c' && (unsigned)m->to_device != c->device && !broke)
        complain(t, "m%d (%c) for r%d came to r%u", (int)number, m->type, m->to_device, c->device);
    if (m->got[c->device] && m->got_session[c->device] == c->session && !broke)
        complain(t, "m%d came twice to u%03u/r%u", (int)number, c->account, c->device);
    if (m->got[c->device] < UINT8_MAX) m->got[c->device]++;
    m->got_session[c->device] = c->session;
}

/* --- a session's life ------------------------------------------------------------------------------------ */

void model_bound(client *c)
{
    c->changed_in = c->t->round;
    c->first_question = c->t->question_count;
    c->available = c->ever_took = c->interested = false;
    c->unconfirmed = 0;
    memset(c->questions, 0, sizeof c->questions);
    memset(c->seen, 0, sizeof c->seen);
    memset(c->roster, 0, sizeof c->roster);
    memset(c->directed, 0, sizeof c->directed);
    memset(c->muted, 0, sizeof c->muted);
    const uint32_t first = roll(c->t, 10);
    if (first < 8) model_ask_roster(c);
    if (first > 0) model_available(c, roll(c->t, 5) ? (int)roll(c->t, 6) : -1);
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
        got_message(c, root);
    else
        complain(c->t, "<%.*s/> is no stanza", (int)name.n, name.p);
}

/* --- what must hold when nothing moves ---------------------------------------------------------------------- */

static void read_rosters(torture *t)
{
    for (unsigned a = 0; a < ACCOUNTS; a++) {
        char name[16], contact[64];
        svi_rows *rows = world_rows(t, t->rosters[a % 2], sv_str_of(name_of(a, name)));
        for (unsigned s = 0; rows && s < NEIGHBOURS; s++) {
            const unsigned other = neighbour(a, s);
            sv_str record;
            (void)snprintf(contact, sizeof contact, "%s@%s", name_of(other, name), domain_of(other));
            t->accounts[a].flags[s] =
                svi_rows_find(rows, sv_str_of(contact), &record) ? (uint8_t)sv_roster_flags(record) : 0;
        }
        if (rows) svi_rows_unref(&rows);
    }
}

static unsigned flags_of(const torture *t, unsigned account, unsigned other)
{
    return t->accounts[account].flags[slot_of(account, other)];
}

static void check_symmetry(torture *t)
{
    for (unsigned a = 0; a < ACCOUNTS; a++)
        for (unsigned s = 0; s < NEIGHBOURS; s++) {
            const unsigned b = neighbour(a, s), mine = flags_of(t, a, b), theirs = flags_of(t, b, a);
            if (!(mine & SV_ROSTER_TO) != !(theirs & SV_ROSTER_FROM))
                complain(t, "u%03u has %02x of u%03u, which has %02x: to without from", a, mine, b, theirs);
            if (!(mine & SV_ROSTER_PENDING_OUT) != !(theirs & SV_ROSTER_PENDING_IN))
                complain(t, "u%03u has %02x of u%03u, which has %02x: a request on one side", a, mine, b, theirs);
        }
}

static void check_seen(const client *c, unsigned slot, unsigned device)
{
    torture *t = c->t;
    const unsigned other = slot == OWN ? c->account : neighbour(c->account, slot);
    const client *e = device_of(t, other, device);
    if (e == c) return;
    const bool is_here = e->phase == BOUND, own = slot == OWN;
    const unsigned back = own ? 0 : (unsigned)slot_of(other, c->account);
    const bool entitled = is_here && e->available && (own || (t->accounts[other].flags[back] & SV_ROSTER_FROM));
    const bool seen = c->seen[slot][device];
    if (entitled && !seen && (own || !e->muted[back]))
        complain(t, "u%03u/r%u does not see u%03u/r%u, which is available", c->account, c->device, other, device);
    if (seen && !entitled && !(!own && is_here && e->directed[back]))
        complain(t, "u%03u/r%u sees u%03u/r%u, which it may not or which is gone (%s)", c->account, c->device,
                 other, device, is_here ? "here" : "gone");
}

static void check_client(client *c)
{
    torture *t = c->t;
    for (unsigned s = 0; c->available && s < SLOTS; s++)
        for (unsigned d = 0; d < DEVICES; d++) check_seen(c, s, d);
    for (unsigned s = 0; c->interested && s < NEIGHBOURS; s++) {
        const unsigned stored = t->accounts[c->account].flags[s];
        const unsigned due = stored & SV_ROSTER_LISTED ? stored & SHOWN : 0;
        if (c->roster[s] != due)
            complain(t, "u%03u/r%u was told %02x of u%03u, stored is %02x", c->account, c->device, c->roster[s],
                     neighbour(c->account, s), stored);
    }
    for (size_t i = 0; i < QUESTIONS; i++) {
        question *q = &c->questions[i];
        if (q->number && (q->to_account < 0 || t->accounts[q->to_account].ends == q->ends))
            complain(t, "u%03u/r%u got no answer to q%u", c->account, c->device, q->number);
        q->number = 0;
    }
    model_confirm(c, UINT32_MAX);
}

/* A device that took messages all the round long has those of the round that were for it. */
static void check_round(torture *t, uint32_t number)
{
    const message *m = &t->messages[number];
    for (unsigned d = 0; d < DEVICES; d++) {
        const client *c = device_of(t, m->to_account, d);
        const bool is_stable = c->phase == BOUND && c->changed_in < t->round && c->available;
        const bool is_due = m->to_device < 0 ? c->priority >= 0 : (unsigned)m->to_device == d;
        if (m->confirmed && is_stable && is_due && !m->got[d])
            complain(t, "m%u (%c) did not come to u%03u/r%u, which was there all the time", number, m->type,
                     m->to_account, d);
    }
}

void model_check_quiet(torture *t)
{
    const svi_ledger *ledger = svi_server_ledger(t->server);
    read_rosters(t);
    check_symmetry(t);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->clients[i].phase == BOUND) check_client(&t->clients[i]);
    for (uint32_t n = t->message_count; n > 0 && t->messages[n].round == t->round; n--) check_round(t, n);
    if (svi_ledger_in_flight(ledger))
        complain(t, "%llu stanzas are in flight at a quiet point", (unsigned long long)svi_ledger_in_flight(ledger));
    if (!svi_ledger_balances(ledger)) complain(t, "the ledger does not balance");
}

void model_check_messages(torture *t)
{
    for (uint32_t n = 1; n <= t->message_count; n++) {
        const message *m = &t->messages[n];
        const unsigned got = (unsigned)m->got[0] + m->got[1] + m->got[2];
        const bool may_be_returned = m->type == 'n' && m->to_device >= 0;
        if (m->type == 'h' || !m->confirmed) continue;
        if (got && m->error) complain(t, "m%u was returned and came", n);
        /* an error for a session that has ended is nobody's */
        const bool was_told = m->error || t->clients[m->from].session != m->session;
        if (!got && !(may_be_returned && was_told))
            complain(t, "m%u (%c) from u%03u to u%03u r%d of round %u is lost", n, m->type,
                     m->from / DEVICES, m->to_account, m->to_device, m->round);
    }
}
