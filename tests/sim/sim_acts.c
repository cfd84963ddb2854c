/* What clients do. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define HOT 10u /* accounts next to each other that a round is mostly about */

typedef struct deed {
    uint32_t share; /* of all */
    void (*run)(client *c);
    counted what;
} deed;

/* The account and resource of a neighbour, or of the account itself. */
static const char *address_of(unsigned account, int device, char text[64])
{
    char name[16];
    const int n = snprintf(text, 64, "%s@%s", name_of(account, name), domain_of(account));
    if (device >= 0) (void)snprintf(text + n, 64 - (size_t)n, "/r%d", device);
    return text;
}

static void note(const client *c, const char *what, const char *whom)
{
    tell(c->t, "u%03u/r%u %s%s", c->account, c->device, what, whom);
}

/* --- messages ----------------------------------------------------------------------------------------- */

/* Asks the account that a message was sent to, on the same way: the answer comes behind the message's commit. */
static void ask_behind(client *c, uint32_t number, unsigned to)
{
    char address[64];
    question *q = ask(c, -1);
    if (!q) return;
    q->connects = c->t->accounts[to].connects;
    if (model_is_absent(c->t, to)) q->message = number;
    say(c, "<iq type='get' id='q%u' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", q->number,
        address_of(to, -1, address));
}

static void act_message(client *c)
{
    sim *t = c->t;
    char body[1200], address[64];
    const unsigned to = roll(t, 8) ? neighbour(c->account, roll(t, NEIGHBOURS)) : c->account;
    const int device = roll(t, 3) ? -1 : (int)roll(t, DEVICES);
    const uint32_t kind = roll(t, 10), length = roll(t, 12) ? roll(t, 60) : roll(t, 1000);
    const bool is_sure = roll(t, 3) == 0 && to != c->account;
    static const char *const types[] = {"chat", "normal", "headline"};
    const unsigned type = kind < 6 ? 0 : kind < 9 ? 1 : 2;
    memset(body, 'x', length);
    body[length] = 0;
    const uint32_t number = model_message(c, to, device, types[type][0]);
    tell(t, "u%03u/r%u sends m%u (%s) to %s", c->account, c->device, number, types[type], address_of(to, device, address));
    say(c, "<message type='%s' id='m%u' to='%s'><body>%u %s</body></message>", types[type], number, address, number, body);
    if (is_sure && type < 2) ask_behind(c, number, to);
}

/* --- rosters and presence ---------------------------------------------------------------------------- */

static void act_subscription(client *c)
{
    char address[64];
    const unsigned slot = roll(c->t, NEIGHBOURS);
    const uint32_t kind = roll(c->t, 20);
    const char *type = kind < 9 ? "subscribe" : kind < 13 ? "subscribed" : kind < 17 ? "unsubscribe" : "unsubscribed";
    model_loosen(c->t, c->account, slot);
    (void)address_of(neighbour(c->account, slot), -1, address);
    tell(c->t, "u%03u/r%u: %s to %s", c->account, c->device, type, address);
    say(c, "<presence type='%s' to='%s'/>", type, address);
}

static void act_roster(client *c)
{
    char address[64], rest[40] = "subscription='remove'";
    sim *t = c->t;
    const unsigned slot = roll(t, NEIGHBOURS);
    const uint32_t name = roll(t, 2) ? 1 + roll(t, 100000) : 0;
    question *q = ask(c, -1);
    if (!q) return;
    if (!value_is_set(q, &t->accounts[c->account].names[slot], name, t)) {
        q->number = 0;
        return;
    }
    if (name) (void)snprintf(rest, sizeof rest, "name='n%u'", name);
    else model_loosen(t, c->account, slot);
    (void)address_of(neighbour(c->account, slot), -1, address);
    tell(t, "u%03u/r%u sets the roster's item %s: %s", c->account, c->device, address, rest);
    say(c, "<iq type='set' id='q%u'><query xmlns='jabber:iq:roster'><item jid='%s' %s/></query></iq>", q->number, address,
        rest);
}

static void act_directed(client *c)
{
    char address[64];
    sim *t = c->t;
    const unsigned slot = roll(t, NEIGHBOURS), to = neighbour(c->account, slot);
    const bool available = roll(t, 3) > 0;
    (void)address_of(to, roll(t, 2) ? (int)roll(t, DEVICES) : -1, address);
    note(c, available ? "is available to " : "is unavailable to ", address);
    say(c, "<presence%s to='%s'/>", available ? "" : " type='unavailable'", address);
    if (available)
        c->directed[slot] = true;
    else
        c->muted[slot] = true;
}

static void act_probe(client *c)
{
    char address[64];
    (void)address_of(neighbour(c->account, roll(c->t, NEIGHBOURS)), -1, address);
    note(c, "probes ", address);
    say(c, "<presence type='probe' to='%s'/>", address);
}

static void act_available(client *c)
{
    const int priority = roll(c->t, 4) ? (int)roll(c->t, 10) : -1;
    note(c, "is available", "");
    model_available(c, priority);
}

static void act_unavailable(client *c)
{
    note(c, "is unavailable", "");
    model_unavailable(c);
}

/* --- requests ------------------------------------------------------------------------------------------ */

static void act_iq(client *c)
{
    static const char *const asked_of_account[] = {
        "<query xmlns='http://jabber.org/protocol/disco#info'/>", "<query xmlns='jabber:iq:last'/>",
        "<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='http://jabber.org/protocol/disco#items'/>"};
    static const char *const asked_of_host[] = {
        "<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>", "<time xmlns='urn:xmpp:time'/>",
        "<query xmlns='jabber:iq:last'/>", "<query xmlns='http://jabber.org/protocol/disco#info'/>"};
    sim *t = c->t;
    char address[64];
    const unsigned to = neighbour(c->account, roll(t, NEIGHBOURS)), device = roll(t, DEVICES);
    const uint32_t kind = roll(t, 4), which = roll(t, 20);
    note(c, "asks ", kind == 0 ? "for its roster" : kind == 1 ? "its host" : address_of(to, kind == 3 ? (int)device : -1, address));
    if (kind == 0) {
        model_ask_roster(c);
        return;
    }
    question *q = ask(c, kind == 3 ? (int)to : -1);
    if (!q) return;
    if (kind == 1)
        say(c, "<iq type='get' id='q%u' to='%s'>%s</iq>", q->number, domain_of(c->account), asked_of_host[which % 5]);
    else
        say(c, "<iq type='get' id='q%u' to='%s'>%s</iq>", q->number, address,
            kind == 2 ? asked_of_account[which % 4] : "<query xmlns='urn:sim'/>");
}

static void act_private(client *c)
{
    sim *t = c->t;
    const unsigned key = roll(t, PRIVATES);
    const uint32_t number = 1 + roll(t, 1000000);
    const bool is_set = roll(t, 3) > 0;
    question *q = ask(c, -1);
    if (!q) return;
    if (is_set && !value_is_set(q, &t->accounts[c->account].privates[key], number, t)) {
        q->number = 0;
        return;
    }
    tell(t, "u%03u/r%u %s the private element %u (%u)", c->account, c->device, is_set ? "sets" : "gets", key, number);
    say(c, "<iq type='%s' id='q%u'><query xmlns='jabber:iq:private'><s xmlns='sim:private:%u' number='%u'/></query></iq>",
        is_set ? "set" : "get", q->number, key, is_set ? number : 0);
}

/* Some pairs block each other now and then. */
static void act_block(client *c)
{
    sim *t = c->t;
    char address[64];
    const unsigned slot = roll(t, 2) ? REACH - 1 : NEIGHBOURS - 1, other = neighbour(c->account, slot);
    const bool blocks = roll(t, 2) > 0;
    person *a = &t->accounts[c->account];
    question *q = ask(c, -1);
    if (!q) return;
    if (!value_is_set(q, &a->blocks[slot], blocks, t)) {
        q->number = 0;
        return;
    }
    a->blocked_in[slot] = t->round;
    model_loosen(t, c->account, slot);
    note(c, blocks ? "blocks " : "unblocks ", address_of(other, -1, address));
    say(c, "<iq type='set' id='q%u'><%s xmlns='urn:xmpp:blocking'><item jid='%s'/></%s></iq>", q->number,
        blocks ? "block" : "unblock", address, blocks ? "block" : "unblock");
}

static void act_block_list(client *c)
{
    question *q = ask(c, -1);
    if (!q) return;
    note(c, "asks for its blocks", "");
    say(c, "<iq type='get' id='q%u'><blocklist xmlns='urn:xmpp:blocking'/></iq>", q->number);
}

/* --- connections --------------------------------------------------------------------------------------- */

static void act_vanish(client *c)
{
    note(c, "vanishes", "");
    client_vanish(c);
}

static void act_leave(client *c)
{
    note(c, "leaves", "");
    client_leave(c);
}

static void act_deaf(client *c)
{
    c->deaf = !c->deaf;
    note(c, c->deaf ? "reads no more" : "reads again", "");
}

static void act_kick(client *c)
{
    char address[64];
    sv_session *session =
        svi_session_find(server_of(c->t), sv_str_of(address_of(c->account, (int)c->device, address)));
    note(c, "is kicked", "");
    if (session) svi_session_kick(session, "policy-violation");
}

static void act_cut(client *c)
{
    if (!c->t->has_faults) return;
    note(c, "loses its connection", "");
    client_cut(c);
}

static void act_haunt(client *c)
{
    if (!c->t->has_faults) return;
    note(c, "falls silent", "");
    client_haunt(c);
}

/* --- which --------------------------------------------------------------------------------------------- */

static const deed deeds[] = {
    {260, act_message, DID_MESSAGE},           {90, act_available, DID_AVAILABLE}, {40, act_unavailable, DID_UNAVAILABLE},
    {220, act_subscription, DID_SUBSCRIPTION}, {60, act_roster, DID_ROSTER},       {50, act_directed, DID_DIRECTED},
    {30, act_probe, DID_PROBE},                {90, act_iq, DID_IQ},               {40, act_private, DID_PRIVATE},
    {15, act_block, DID_BLOCK},                {5, act_block_list, DID_BLOCK_LIST}, {45, act_vanish, DID_VANISH},
    {30, act_leave, DID_LEAVE},                {30, act_deaf, DID_DEAF},           {10, act_kick, DID_KICK},
    {6, act_cut, DID_CUT},                     {4, act_haunt, DID_HAUNT},
};

static void act_bound(client *c)
{
    uint32_t all = 0;
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) all += deeds[i].share;
    uint32_t which = roll(c->t, all);
    const deed *d = deeds;
    while (which >= d->share) which -= (d++)->share;
    if (c->t->has_faults || (d->what != DID_CUT && d->what != DID_HAUNT)) met(c->t, d->what);
    d->run(c);
}

void act(sim *t, uint32_t hot)
{
    if (t->has_faults && roll(t, 150) == 0) {
        act_fault(t);
        return;
    }
    const uint32_t account = roll(t, 4) ? (hot + roll(t, HOT)) % ACCOUNTS : roll(t, ACCOUNTS);
    client *c = &t->clients[account * DEVICES + roll(t, DEVICES)];
    if (c->phase == OFF) {
        note(c, "connects", "");
        met(t, DID_CONNECT);
        client_connect(c);
    } else if (c->phase == BOUND) {
        act_bound(c);
    } else if (roll(t, 10) == 0) {
        act_vanish(c);
    }
}
