/* The matcher: it walks over the pattern item by item; an item that leaves a choice calls for the
 * rest of the pattern and takes the next choice when that fails. */
#include "script/script_pattern.h"

#include <ctype.h>

#include "base/base_assert.h"

#define NOWHERE SIZE_MAX /* no match, or a fault */

/* One single-character item: where it lies in the pattern. What may be repeated. */
typedef struct item {
    size_t at, end;
} item;

static size_t match(svi_match *m, size_t s, size_t p);

static size_t fail(svi_match *m, const char *fault)
{
    if (m->fault == NULL) m->fault = fault;
    return NOWHERE;
}

/* True while the call may go on; `cost` are bytes that are looked at. */
static bool pays(svi_match *m, size_t cost)
{
    if (m->fault != NULL) return false;
    m->steps_left -= (int64_t)cost;
    if (m->steps_left >= 0) return true;
    (void)fail(m, "pattern takes too many steps");
    return false;
}

static unsigned char pattern_at(const svi_match *m, size_t p)
{
    return (unsigned char)m->pattern.p[p];
}

static bool is(const svi_match *m, size_t p, char c)
{
    return p < m->pattern.n && m->pattern.p[p] == c;
}

/* A letter behind '%': a class, its complement if it is a capital, or the character itself. */
static bool in_class(unsigned char c, unsigned char letter)
{
    bool in;
    switch (tolower(letter)) {
    case 'a': in = isalpha(c) != 0; break;
    case 'c': in = iscntrl(c) != 0; break;
    case 'd': in = isdigit(c) != 0; break;
    case 'g': in = isgraph(c) != 0; break;
    case 'l': in = islower(c) != 0; break;
    case 'p': in = ispunct(c) != 0; break;
    case 's': in = isspace(c) != 0; break;
    case 'u': in = isupper(c) != 0; break;
    case 'w': in = isalnum(c) != 0; break;
    case 'x': in = isxdigit(c) != 0; break;
    case 'z': in = c == 0; break; /* of Lua 5.1, still understood */
    default: return letter == c;
    }
    return isupper(letter) ? !in : in;
}

/* Behind the set that begins at `p`. What stands first is a member, even if it is ']'. */
static size_t set_end(svi_match *m, size_t p)
{
    const size_t begin = p;
    p += is(m, p + 1, '^') ? 2 : 1;
    for (bool is_first = true; is_first || !is(m, p, ']'); is_first = false) {
        if (p >= m->pattern.n) return fail(m, "pattern has a '[' without its ']'");
        p += is(m, p, '%') && p + 1 < m->pattern.n ? 2 : 1;
    }
    return pays(m, p - begin) ? p + 1 : NOWHERE;
}

/* Is `c` in the set? Its brackets stand at `set.at` and before `set.end`. */
static bool in_set(svi_match *m, unsigned char c, item set)
{
    const size_t last = set.end - 1;
    size_t p = set.at + 1;
    const bool is_inverse = is(m, p, '^');
    if (is_inverse) p++;
    if (!pays(m, last - p)) return false;
    while (p < last) {
        if (is(m, p, '%')) {
            if (in_class(c, pattern_at(m, p + 1))) return !is_inverse;
            p += 2;
        } else if (is(m, p + 1, '-') && p + 2 < last) {
            if (pattern_at(m, p) <= c && c <= pattern_at(m, p + 2)) return !is_inverse;
            p += 3;
        } else {
            if (pattern_at(m, p) == c) return !is_inverse;
            p++;
        }
    }
    return is_inverse;
}

/* The single-character item at `p`, of which there is at least one character. */
static bool item_at(svi_match *m, size_t p, item *out)
{
    out->at = p;
    if (is(m, p, '%')) {
        out->end = p + 2;
        if (out->end > m->pattern.n) (void)fail(m, "pattern ends with '%'");
    } else
        out->end = is(m, p, '[') ? set_end(m, p) : p + 1;
    return m->fault == NULL;
}

static bool fits(svi_match *m, size_t s, item one)
{
    if (s >= m->subject.n || !pays(m, 1)) return false;
    const unsigned char c = (unsigned char)m->subject.p[s];
    switch (m->pattern.p[one.at]) {
    case '.': return true;
    case '%': return in_class(c, pattern_at(m, one.at + 1));
    case '[': return in_set(m, c, one);
    default: return pattern_at(m, one.at) == c;
    }
}

/* As many as fit, then fewer until the rest matches: '*' and, behind the first, '+'. */
static size_t most(svi_match *m, size_t s, item one)
{
    size_t n = 0;
    while (fits(m, s + n, one)) n++;
    for (;; n--) {
        const size_t end = match(m, s + n, one.end + 1);
        if (end != NOWHERE || m->fault != NULL || n == 0) return end;
    }
}

/* None, then one more until the rest matches: '-'. */
static size_t fewest(svi_match *m, size_t s, item one)
{
    for (;; s++) {
        const size_t end = match(m, s, one.end + 1);
        if (end != NOWHERE || m->fault != NULL) return end;
        if (!fits(m, s, one)) return NOWHERE;
    }
}

static size_t open_capture(svi_match *m, size_t s, size_t p, size_t n)
{
    if (m->count == SVI_PATTERN_CAPTURES) return fail(m, "pattern has too many captures");
    m->captures[m->count++] = (svi_capture){.at = s, .n = n};
    const size_t end = match(m, s, p);
    if (end == NOWHERE) m->count--;
    return end;
}

static size_t close_capture(svi_match *m, size_t s, size_t p)
{
    unsigned i = m->count;
    while (i > 0 && m->captures[i - 1].n != SVI_CAPTURE_OPEN) i--;
    if (i == 0) return fail(m, "pattern has a ')' without its '('");
    svi_capture *capture = &m->captures[i - 1];
    capture->n = s - capture->at;
    const size_t end = match(m, s, p);
    if (end == NOWHERE) capture->n = SVI_CAPTURE_OPEN;
    return end;
}

/* Behind the text that begins with the first of two characters and is balanced in them: %bxy. */
static size_t balanced(svi_match *m, size_t s, size_t p)
{
    if (p + 1 >= m->pattern.n) return fail(m, "pattern needs two characters behind '%b'");
    const char first = m->pattern.p[p], last = m->pattern.p[p + 1];
    if (s >= m->subject.n || m->subject.p[s] != first) return NOWHERE;
    size_t open = 1;
    for (s++; s < m->subject.n && pays(m, 1); s++) {
        if (m->subject.p[s] == last) {
            if (--open == 0) return s + 1;
        } else if (m->subject.p[s] == first)
            open++;
    }
    return NOWHERE;
}

/* Behind the set at `p`, if a run of its members begins at `s`: %f[set]. Beyond both ends lies a
 * NUL. */
static size_t frontier(svi_match *m, size_t s, size_t p)
{
    if (!is(m, p, '[')) return fail(m, "pattern needs a '[' behind '%f'");
    const item set = {.at = p, .end = set_end(m, p)};
    if (set.end == NOWHERE) return NOWHERE;
    const unsigned char before = s == 0 ? '\0' : (unsigned char)m->subject.p[s - 1];
    const unsigned char here = s == m->subject.n ? '\0' : (unsigned char)m->subject.p[s];
    if (in_set(m, before, set) || !in_set(m, here, set)) return NOWHERE;
    return set.end;
}

/* Behind the text of an earlier capture: %1. One that took a position fits nowhere. */
static size_t same_as(svi_match *m, size_t s, unsigned char digit)
{
    const unsigned i = (unsigned)(digit - '1'); /* of '0' no capture */
    if (i >= m->count || m->captures[i].n == SVI_CAPTURE_OPEN)
        return fail(m, "pattern names a capture that is not there");
    const svi_capture capture = m->captures[i];
    if (capture.n > m->subject.n - s || !pays(m, capture.n)) return NOWHERE;
    if (memcmp(m->subject.p + capture.at, m->subject.p + s, capture.n) != 0) return NOWHERE;
    return s + capture.n;
}

/* The item at *p with what repeats it. True if the walk goes on from the new *s and *p; otherwise
 * *s is the result. */
static bool repeated(svi_match *m, size_t *s, size_t *p)
{
    item one;
    if (!item_at(m, *p, &one)) {
        *s = NOWHERE;
        return false;
    }
    const char how = one.end < m->pattern.n ? m->pattern.p[one.end] : '\0';
    if (how == '*' || how == '-') {
        *s = how == '*' ? most(m, *s, one) : fewest(m, *s, one);
        return false;
    }
    const bool does = fits(m, *s, one);
    if (how == '+') {
        *s = does ? most(m, *s + 1, one) : NOWHERE;
        return false;
    }
    if (how == '?') {
        const size_t end = does ? match(m, *s + 1, one.end + 1) : NOWHERE;
        *p = one.end + 1;
        if (end == NOWHERE) return m->fault == NULL;
        *s = end;
        return false;
    }
    *s = does ? *s + 1 : NOWHERE;
    *p = one.end;
    return does;
}

/* Items that are more than one character, or none: true if there is one at `p`, and then *s and *p
 * as in `repeated`, *on whether the walk goes on. */
static bool special(svi_match *m, size_t *s, size_t *p, bool *on)
{
    size_t end;
    const char c = m->pattern.p[*p], second = *p + 1 < m->pattern.n ? m->pattern.p[*p + 1] : '\0';
    *on = false;
    if (c == '(') {
        const bool is_position = is(m, *p + 1, ')');
        *s = open_capture(m, *s, *p + (is_position ? 2 : 1),
                          is_position ? SVI_CAPTURE_POSITION : SVI_CAPTURE_OPEN);
        return true;
    }
    if (c == ')') {
        *s = close_capture(m, *s, *p + 1);
        return true;
    }
    if (c == '$' && *p + 1 == m->pattern.n) {
        if (*s != m->subject.n) *s = NOWHERE;
        return true;
    }
    if (c != '%') return false;
    if (second == 'b') {
        *s = balanced(m, *s, *p + 2);
        *p += 4;
    } else if (second == 'f') {
        end = frontier(m, *s, *p + 2);
        *s = end == NOWHERE ? NOWHERE : *s;
        *p = end;
    } else if (isdigit((unsigned char)second)) {
        *s = same_as(m, *s, (unsigned char)second);
        *p += 2;
    } else
        return false;
    *on = *s != NOWHERE;
    return true;
}

/* Where the match of the pattern from `p` on ends that begins at `s`. */
static size_t match(svi_match *m, size_t s, size_t p)
{
    if (m->depth == SVI_PATTERN_DEPTH) return fail(m, "pattern is too complex");
    m->depth++;
    bool on = true;
    while (on && p < m->pattern.n) {
        if (!pays(m, 1))
            s = NOWHERE, on = false;
        else if (!special(m, &s, &p, &on))
            on = repeated(m, &s, &p);
    }
    m->depth--;
    return m->fault == NULL ? s : NOWHERE;
}

void svi_match_init(svi_match *m, sv_str subject, sv_str pattern, int64_t steps)
{
    SV_ASSERT(steps >= 0 && subject.n < SVI_CAPTURE_POSITION);
    m->subject = subject;
    m->pattern = pattern;
    m->steps_left = steps;
    m->depth = m->count = 0;
    m->fault = NULL;
}

sv_status svi_match_at(svi_match *m, size_t from, size_t *end_out)
{
    SV_ASSERT(from <= m->subject.n && m->depth == 0);
    m->count = 0;
    const size_t end = pays(m, 1) ? match(m, from, 0) : NOWHERE;
    if (m->fault != NULL) return m->steps_left < 0 ? SV_ELIMIT : SV_EINVAL;
    SV_ASSERT(end == NOWHERE || (end >= from && end <= m->subject.n));
    *end_out = end;
    return end == NOWHERE ? SV_ENOTFOUND : SV_OK;
}

sv_status svi_match_find(svi_match *m, size_t from, size_t *begin_out, size_t *end_out)
{
    sv_status status = SV_ENOTFOUND;
    for (size_t at = from; at <= m->subject.n && status == SV_ENOTFOUND; at++) {
        *begin_out = at;
        status = svi_match_at(m, at, end_out);
    }
    return status;
}

sv_status svi_match_capture(svi_match *m, unsigned i, size_t begin, size_t end,
                            svi_capture *capture_out)
{
    if (i >= m->count) {
        if (i > 0) m->fault = "there is no capture of that number";
        *capture_out = (svi_capture){.at = begin, .n = end - begin};
        return i > 0 ? SV_EINVAL : SV_OK;
    }
    *capture_out = m->captures[i];
    if (capture_out->n != SVI_CAPTURE_OPEN) return SV_OK;
    m->fault = "pattern has a '(' without its ')'";
    return SV_EINVAL;
}
