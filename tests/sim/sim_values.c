/* What clients set and the server says it has done: names in rosters, blocked addresses, private elements. Behind kills, too, each is
 * what one of its sets made it, and none that was answered is forgotten. */
#include "sim.h"

#include <stave/roster.h>
#include <stdio.h>
#include <string.h>

bool value_is_set(question *q, value *v, uint32_t to, sim *t)
{
    if (v->count == WRITES) return false;
    q->value = v;
    q->set = v->count;
    v->sets[v->count++] = (value_set){.value = to, .sent = ++t->moment};
    return true;
}

void value_answered(const question *q, bool is_result, sim *t)
{
    /* an account that was deleted has no sets any more */
    if (q->set < q->value->count && is_result) q->value->sets[q->set].answered = ++t->moment;
}

void values_forget(person *a)
{
    value *all[] = {a->names, a->blocks, a->privates};
    const size_t counts[] = {NEIGHBOURS, NEIGHBOURS, PRIVATES};
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < counts[k]; i++) all[k][i] = (value){.count = 0};
}

/* --- what is stored --------------------------------------------------------------------------------- */

uint32_t number_behind(sv_str text, const char *head)
{
    const char *at = text.n ? memmem(text.p, text.n, head, strlen(head)) : NULL;
    uint32_t number = 0;
    if (!at) return 0;
    for (at += strlen(head); at < text.p + text.n && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint32_t)(*at - '0');
    return number;
}

static uint32_t read_value(const svi_rows *rows, sv_str key, value_kind kind)
{
    sv_str row;
    if (!svi_rows_find(rows, key, &row)) return 0;
    if (kind == VALUE_BLOCK) return 1;
    if (kind == VALUE_PRIVATE) return number_behind(row, "number='");
    return sv_roster_flags(row) & SV_ROSTER_LISTED ? number_behind(row, "\nn") : 0;
}

/* A value that was stored may be so if no other was set behind its set's result and answered. */
static bool is_possible(const value *v, uint32_t answered)
{
    for (size_t i = 0; i < v->count; i++)
        if (v->sets[i].answered && v->sets[i].sent > answered) return false;
    return true;
}

static bool is_explained(const value *v, uint32_t stored)
{
    if (v->stored == stored && is_possible(v, 0)) return true;
    for (size_t i = 0; i < v->count; i++)
        if (v->sets[i].value == stored && is_possible(v, v->sets[i].answered ? v->sets[i].answered : UINT32_MAX))
            return true;
    return false;
}

static void count_value(sim *t, unsigned account, const value *v)
{
    const person *a = &t->accounts[account];
    bool is_answered = false;
    for (size_t i = 0; i < v->count; i++) is_answered |= v->sets[i].answered > 0;
    if (is_answered && t->killed_in == t->round) met(t, HELD_SET_BEHIND_KILL);
    met(t, v >= a->privates && v < a->privates + PRIVATES ? HELD_PRIVATE : v >= a->blocks && v < a->blocks + NEIGHBOURS ? HELD_BLOCK : HELD_NAME);
}

static void check(sim *t, unsigned account, value *v, uint32_t stored, const char *what)
{
    const person *a = &t->accounts[account];
    const bool is_known = a->exists && !a->is_leaving && a->barred_in != t->round;
    if (is_known && v->count) count_value(t, account, v);
    if (is_known && !is_explained(v, stored))
        complain(t, "u%03u: %s is %u, and was %u before %u sets, of which the last is %u (%s)", account, what, stored, v->stored,
                 v->count, v->count ? v->sets[v->count - 1].value : 0,
                 v->count && v->sets[v->count - 1].answered ? "answered" : "not answered");
    if (!a->exists && stored) complain(t, "u%03u was deleted, and %s is stored", account, what);
    v->stored = stored;
    v->count = 0;
}

static void check_contacts(sim *t, unsigned account, svi_map *map, value *values, value_kind kind)
{
    char name[16], contact[64];
    svi_rows *rows = world_rows(t, map, sv_str_of(name_of(account, name)));
    for (unsigned s = 0; rows && s < NEIGHBOURS; s++) {
        const unsigned other = neighbour(account, s);
        (void)snprintf(contact, sizeof contact, "%s@%s", name_of(other, name), domain_of(other));
        check(t, account, &values[s], read_value(rows, sv_str_of(contact), kind),
              kind == VALUE_BLOCK ? "a block" : "a name");
    }
    if (rows) svi_rows_unref(&rows);
}

static void check_privates(sim *t, unsigned account)
{
    char name[16], key[32];
    svi_rows *rows = world_rows(t, t->elements[host_of(account)], sv_str_of(name_of(account, name)));
    for (unsigned i = 0; rows && i < PRIVATES; i++) {
        (void)snprintf(key, sizeof key, "sim:private:%u", i);
        check(t, account, &t->accounts[account].privates[i], read_value(rows, sv_str_of(key), VALUE_PRIVATE),
              "a private element");
    }
    if (rows) svi_rows_unref(&rows);
}

void values_check(sim *t)
{
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        person *a = &t->accounts[i];
        check_contacts(t, i, t->rosters[host_of(i)], a->names, VALUE_NAME);
        check_contacts(t, i, t->blocked[host_of(i)], a->blocks, VALUE_BLOCK);
        check_privates(t, i);
        for (unsigned s = 0; s < NEIGHBOURS; s++)
            if (a->blocks[s].stored) a->blocked_in[s] = t->round + 1; /* it stands in the next one, too */
    }
}
