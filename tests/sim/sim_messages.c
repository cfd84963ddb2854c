/* What becomes of messages: each comes, once to each session that it is for, or comes back, or may have been lost. */
#include "sim.h"

#include <string.h>

static sv_str attr(const sv_node *node, const char *name)
{
    return svi_node_attr(node, sv_str_of(name));
}

uint32_t model_message(client *c, unsigned to_account, int to_device, char type)
{
    sim *t = c->t;
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

static bool has_come(const message *m)
{
    return m->got[0] || m->got[1] || m->got[2];
}

bool model_is_absent(const sim *t, unsigned account)
{
    for (unsigned d = 0; d < DEVICES; d++) {
        const client *c = &t->clients[account * DEVICES + d];
        if (c->link || c->is_haunted) return false;
    }
    return true;
}

/* An answer that had to come behind the commit of the message: nobody was there to take it, so it is stored. */
void model_is_kept(sim *t, const question *q)
{
    message *m = &t->messages[q->message];
    const person *a = &t->accounts[m->to_account];
    const bool is_same = a->connects == q->connects && model_is_absent(t, m->to_account);
    if (is_same && !m->error && !model_may_refuse(t, m->from / DEVICES, m->to_account)) m->kept = true;
}

/* --- what may be lost --------------------------------------------------------------------------------- */

void model_excuse(sim *t, unsigned account)
{
    for (uint32_t n = 1; n <= t->message_count; n++) {
        message *m = &t->messages[n];
        if (m->to_account == account && !has_come(m)) m->excused = true;
    }
    t->accounts[account].lossy_notices = t->notice_count;
}

void model_killed(sim *t)
{
    bool absent[ACCOUNTS];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        absent[i] = model_is_absent(t, i);
        if (!absent[i]) t->accounts[i].lossy_notices = t->notice_count;
    }
    for (uint32_t n = 1; n <= t->message_count; n++) {
        message *m = &t->messages[n];
        if (!has_come(m) && m->kept && absent[m->to_account]) m->survived = true;
        else if (!has_come(m)) m->excused = true;
    }
    model_notices_repeat(t, true);
    t->killed_in = t->round;
    t->kills++;
}

void model_notices_repeat(sim *t, bool is_kill)
{
    for (uint32_t i = 0; i < t->notice_count; i++)
        if (is_kill || t->notices[i].round == t->round) t->notices[i].is_repeated = true;
}

void model_notices_lossy(sim *t)
{
    for (uint32_t i = 0; i < t->notice_count; i++) t->notices[i].is_lossy = true;
}

static bool was_blocked(const sim *t, const message *m)
{
    const unsigned from = m->from / DEVICES;
    const int there = slot_of(from, m->to_account), back = slot_of(m->to_account, from);
    return there >= 0 && there < (int)NEIGHBOURS &&
           (t->accounts[from].blocked_in[there] >= m->round || t->accounts[m->to_account].blocked_in[back] >= m->round);
}

/* --- what comes --------------------------------------------------------------------------------------- */

/* From the host: a text of the operator, or one that modules send by themselves. */
static void got_notice(client *c, const sv_node *root)
{
    svi_arena *arena = svi_arena_new(&c->t->peers, 1024);
    const sv_node *body = svi_node_find(root, SV_STR("body"), SV_STR("jabber:client"));
    const sv_str text = body ? svi_node_text(body, arena) : SV_STR_NONE;
    int64_t number = 0;
    if (text.n > 7 && memcmp(text.p, "notice ", 7) == 0 &&
        svi_str_int(svi_str_sub(text, 7, text.n), 0, NOTICES - 1, &number) == SV_OK) {
        uint8_t *count = &c->t->accounts[c->account].notices[c->device][number];
        if (*count < UINT8_MAX) ++*count;
    }
    svi_arena_free(&arena);
}

static void got_error(const client *c, message *m, uint32_t number)
{
    sim *t = c->t;
    m->error = true;
    if (m->from != number_of(c)) complain(t, "m%u: its error came to somebody else", number);
    if ((m->type != 'n' || m->to_device < 0) && !model_may_refuse(t, m->from / DEVICES, m->to_account))
        complain(t, "m%u (%c) was returned", number, m->type);
}

void model_got_message(client *c, const sv_node *root)
{
    sim *t = c->t;
    int64_t number;
    const sv_str id = attr(root, "id"), from = attr(root, "from");
    if (from.n && svi_str_find(from, '@') == from.n && !sv_str_eq(attr(root, "type"), SV_STR("error"))) {
        got_notice(c, root);
        return;
    }
    if (id.n < 2 || svi_str_int(svi_str_sub(id, 1, id.n), 1, t->message_count, &number) != SV_OK) {
        complain(t, "a message that nobody sent: %.*s", (int)id.n, id.n ? id.p : "");
        return;
    }
    message *m = &t->messages[number];
    if (sv_str_eq(attr(root, "type"), SV_STR("error"))) {
        got_error(c, m, (uint32_t)number);
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

/* --- what must hold when nothing moves ------------------------------------------------------------------- */

/* A device that took messages all the round long has those of the round that were for it. */
static void check_one(sim *t, uint32_t number)
{
    message *m = &t->messages[number];
    if (was_blocked(t, m) || model_may_refuse(t, m->from / DEVICES, m->to_account)) m->excused = true;
    for (unsigned d = 0; d < DEVICES; d++) {
        const client *c = &t->clients[m->to_account * DEVICES + d];
        const bool is_stable = c->phase == BOUND && c->changed_in < t->round && c->available;
        const bool is_due = m->to_device < 0 ? c->priority >= 0 : (unsigned)m->to_device == d;
        if (m->confirmed && !m->excused && is_stable && is_due) met(t, HELD_CAME);
        if (m->confirmed && !m->excused && is_stable && is_due && !m->got[d])
            complain(t, "m%u (%c) did not come to u%03u/r%u, which was there all the time", number, m->type,
                     m->to_account, d);
    }
}

/* No message is stored twice, and none that was returned. */
static void check_kept(sim *t, unsigned account)
{
    char name[16];
    sv_str key = SV_STR_NONE, row;
    svi_rows *rows = world_rows(t, t->kept[host_of(account)], sv_str_of(name_of(account, name)));
    while (rows && svi_rows_next(rows, &key, &row)) {
        const uint32_t number = number_behind(row, " id='m");
        if (!number || number > t->message_count) continue;
        message *m = &t->messages[number];
        /* a module that is loaded anew does not know what came back before */
        const bool may_be_twice = t->renewed_in >= m->round && t->accounts[account].ended_in >= m->round;
        if (!may_be_twice) met(t, HELD_STORED);
        if (m->stored_in == t->round && !may_be_twice) complain(t, "m%u is stored twice for u%03u", number, account);
        if (m->error) complain(t, "m%u is stored for u%03u, and was returned", number, account);
        m->stored_in = t->round;
    }
    if (rows) svi_rows_unref(&rows);
}

void model_check_round(sim *t)
{
    for (uint32_t n = t->message_count; n > 0 && t->messages[n].round == t->round; n--) check_one(t, n);
    for (unsigned i = 0; i < ACCOUNTS; i++) check_kept(t, i);
}

static void check_notice(sim *t, uint32_t number)
{
    const notice *n = &t->notices[number];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        const person *a = &t->accounts[i];
        const unsigned came = (unsigned)a->notices[0][number] + a->notices[1][number] + a->notices[2][number];
        if (host_of(i) != n->host || !a->exists || (uint8_t)a->life != n->lives[i] || a->lossy_notices > number) continue;
        met(t, HELD_NOTICE);
        if (!came) complain(t, "notice %u did not come to u%03u", number, i);
        if (!n->is_repeated && a->ended_in < n->round) met(t, HELD_NOTICE_ONCE);
        for (unsigned d = 0; d < DEVICES; d++)
            if (a->notices[d][number] > 1 && !n->is_repeated && a->ended_in < n->round)
                complain(t, "notice %u came %u times to u%03u/r%u", number, a->notices[d][number], i, d);
    }
}

void model_check_messages(sim *t)
{
    for (uint32_t i = t->checked_notices; i < t->notice_count; i++)
        if (t->notices[i].is_answered && !t->notices[i].is_lossy) check_notice(t, i);
    t->checked_notices = t->notice_count;
    for (uint32_t n = t->checked_messages + 1; n <= t->message_count; n++) {
        const message *m = &t->messages[n];
        const bool may_be_returned = (m->type == 'n' && m->to_device >= 0);
        if (m->type == 'h' || !m->confirmed || m->excused || was_blocked(t, m)) continue;
        met(t, HELD_RECEIVED);
        if (m->survived) met(t, HELD_KEPT);
        if (has_come(m) && m->error) complain(t, "m%u was returned and came", n);
        /* an error for a session that has ended is nobody's */
        const bool was_told = m->error || t->clients[m->from].session != m->session;
        if (!has_come(m) && !(may_be_returned && was_told))
            complain(t, "m%u (%c%s) from u%03u to u%03u r%d of round %u is lost", n, m->type, m->kept ? ", kept" : "",
                     m->from / DEVICES, m->to_account, m->to_device, m->round);
    }
    t->checked_messages = t->message_count;
}
