/* PRECIS: derived properties of code points, context rules, mapping and the two profiles that
 * XMPP uses. */
#include "xmpp/xmpp_precis.h"
#include "base/base_assert.h"

#include <stdlib.h>
#include <uninorm.h>
#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

typedef enum property { DISALLOWED, VALID, FREEFORM_ONLY, CONTEXT } property;

/* A text as code points, in an arena. */
typedef struct codes {
    ucs4_t *p;
    size_t n;
} codes;

static bool in_range(ucs4_t c, ucs4_t first, ucs4_t last)
{
    return c >= first && c <= last;
}

/* RFC 5892 2.6 (Exceptions); false if the code point is none. */
static bool exception(ucs4_t c, property *property_out)
{
    switch (c) {
    case 0xdf:
    case 0x3c2:
    case 0x6fd:
    case 0x6fe:
    case 0xf0b:
    case 0x3007: *property_out = VALID; return true;
    case 0xb7:
    case 0x375:
    case 0x5f3:
    case 0x5f4:
    case 0x30fb: *property_out = CONTEXT; return true;
    case 0x640:
    case 0x7fa:
    case 0x302e:
    case 0x302f:
    case 0x303b: *property_out = DISALLOWED; return true;
    default: break;
    }
    *property_out = in_range(c, 0x3031, 0x3035) ? DISALLOWED : CONTEXT;
    return in_range(c, 0x3031, 0x3035) || in_range(c, 0x660, 0x669) || in_range(c, 0x6f0, 0x6f9);
}

/* RFC 8264 9.9, RFC 5892 2.9: conjoining jamo. */
static bool is_old_jamo(ucs4_t c)
{
    return in_range(c, 0x1100, 0x11ff) || in_range(c, 0xa960, 0xa97c) ||
           in_range(c, 0xd7b0, 0xd7c6) || in_range(c, 0xd7cb, 0xd7fb);
}

/* RFC 8264 9.17 (HasCompat). */
static bool has_compat(ucs4_t c)
{
    ucs4_t room[32];
    size_t n = sizeof room / sizeof room[0];
    ucs4_t *form = u32_normalize(UNINORM_NFKC, &c, 1, room, &n);
    if (!form) return true;
    bool same = n == 1 && form[0] == c;
    if (form != room) free(form);
    return !same;
}

/* RFC 8264 8: the derived property, the tests in the order given there. */
static property property_of(ucs4_t c)
{
    property p;
    if (c < 0x80) return in_range(c, 0x21, 0x7e) ? VALID : c == ' ' ? FREEFORM_ONLY : DISALLOWED;
    if (exception(c, &p)) return p;
    if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Cn)) return DISALLOWED;
    if (c == 0x200c || c == 0x200d) return CONTEXT;
    if (is_old_jamo(c)) return DISALLOWED;
    if (uc_is_property_default_ignorable_code_point(c)) return DISALLOWED;
    if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Cc)) return DISALLOWED;
    if (has_compat(c)) return FREEFORM_ONLY;
    if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Ll | UC_CATEGORY_MASK_Lu |
                                                UC_CATEGORY_MASK_Lo | UC_CATEGORY_MASK_Nd |
                                                UC_CATEGORY_MASK_Lm | UC_CATEGORY_MASK_Mn |
                                                UC_CATEGORY_MASK_Mc))
        return VALID;
    if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Lt | UC_CATEGORY_MASK_Nl |
                                                UC_CATEGORY_MASK_No | UC_CATEGORY_MASK_Me |
                                                UC_CATEGORY_MASK_Zs | UC_CATEGORY_MASK_S |
                                                UC_CATEGORY_MASK_P))
        return FREEFORM_ONLY;
    return DISALLOWED;
}

static bool is_script(ucs4_t c, const char *name)
{
    const uc_script_t *script = uc_script(c);
    return script && strcmp(script->name, name) == 0;
}

static bool is_virama(ucs4_t c)
{
    return uc_combining_class(c) == UC_CCC_VR;
}

/* RFC 5892 A.1: joined on both sides, transparent marks aside. */
static bool joins_around(const codes *s, size_t at)
{
    size_t before = at, after = at + 1;
    while (before > 0 && uc_joining_type(s->p[before - 1]) == UC_JOINING_TYPE_T) before--;
    while (after < s->n && uc_joining_type(s->p[after]) == UC_JOINING_TYPE_T) after++;
    if (before == 0 || after == s->n) return false;
    int left = uc_joining_type(s->p[before - 1]), right = uc_joining_type(s->p[after]);
    return (left == UC_JOINING_TYPE_L || left == UC_JOINING_TYPE_D) &&
           (right == UC_JOINING_TYPE_R || right == UC_JOINING_TYPE_D);
}

static bool has_between(const codes *s, ucs4_t first, ucs4_t last)
{
    for (size_t i = 0; i < s->n; i++)
        if (in_range(s->p[i], first, last)) return true;
    return false;
}

static bool has_japanese(const codes *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (is_script(s->p[i], "Hiragana") || is_script(s->p[i], "Katakana") ||
            is_script(s->p[i], "Han"))
            return true;
    return false;
}

/* RFC 5892 A.7 to A.9: the rules that look at the whole string. Asked once a string: asked at each code
 * point, a stranger's long name would hold the router for the square of its length. */
static bool whole_fits(const codes *s)
{
    if (has_between(s, 0x660, 0x669) && has_between(s, 0x6f0, 0x6f9)) return false;
    return !has_between(s, 0x30fb, 0x30fb) || has_japanese(s);
}

/* RFC 5892 appendix A: whether a code point that needs it has the right company beside it. */
static bool context_fits(const codes *s, size_t i)
{
    ucs4_t c = s->p[i], before = i ? s->p[i - 1] : 0, after = i + 1 < s->n ? s->p[i + 1] : 0;
    switch (c) {
    case 0x200c: return is_virama(before) || joins_around(s, i);
    case 0x200d: return is_virama(before);
    case 0xb7: return before == 'l' && after == 'l';
    case 0x375: return after && is_script(after, "Greek");
    case 0x5f3:
    case 0x5f4: return before && is_script(before, "Hebrew");
    default: break;
    }
    SV_ASSERT(c == 0x30fb || in_range(c, 0x660, 0x669) || in_range(c, 0x6f0, 0x6f9));
    return true; /* see whole_fits */
}

static bool is_allowed(const codes *s, bool freeform)
{
    for (size_t i = 0; i < s->n; i++) {
        property p = property_of(s->p[i]);
        if (p == DISALLOWED || (p == FREEFORM_ONLY && !freeform)) return false;
        if (p == CONTEXT && !context_fits(s, i)) return false;
    }
    return s->n > 0 && whole_fits(s);
}

static bool one_of(int bidi, const int *set, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (set[i] == bidi) return true;
    return false;
}

/* RFC 5893 2: the six conditions, for strings with right-to-left code points. */
static bool bidi_fits(const codes *s)
{
    static const int rtl[] = {UC_BIDI_R,  UC_BIDI_AL, UC_BIDI_AN, UC_BIDI_EN, UC_BIDI_ES,
                              UC_BIDI_CS, UC_BIDI_ET, UC_BIDI_ON, UC_BIDI_BN, UC_BIDI_NSM};
    bool any = false, european = false, arabic = false;
    for (size_t i = 0; i < s->n; i++) {
        int bidi = uc_bidi_category(s->p[i]);
        any = any || bidi == UC_BIDI_R || bidi == UC_BIDI_AL || bidi == UC_BIDI_AN;
        european = european || bidi == UC_BIDI_EN;
        arabic = arabic || bidi == UC_BIDI_AN;
    }
    if (!any) return true;
    int first = uc_bidi_category(s->p[0]);
    /* a string that begins left-to-right fails 5, since it has a right-to-left code point */
    if (first != UC_BIDI_R && first != UC_BIDI_AL) return false;
    if (european && arabic) return false;
    for (size_t i = 0; i < s->n; i++)
        if (!one_of(uc_bidi_category(s->p[i]), rtl, sizeof rtl / sizeof rtl[0])) return false;
    size_t end = s->n;
    while (end > 1 && uc_bidi_category(s->p[end - 1]) == UC_BIDI_NSM) end--;
    int last = uc_bidi_category(s->p[end - 1]);
    return last == UC_BIDI_R || last == UC_BIDI_AL || last == UC_BIDI_EN || last == UC_BIDI_AN;
}

/* RFC 8265 3.3.1 rule 1: full-width and half-width code points become what they stand for. */
static void map_width(codes *s)
{
    for (size_t i = 0; i < s->n; i++) {
        int tag;
        ucs4_t to[UC_DECOMPOSITION_MAX_LENGTH];
        if (s->p[i] < 0x80) continue;
        int n = uc_decomposition(s->p[i], &tag, to);
        if (n == 1 && (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW)) s->p[i] = to[0];
    }
}

/* Lower case a code point at a time: final sigma has no special place in PRECIS (RFC 7622 3.5).
 * The one code point whose lower case is two, U+0130, becomes them, so that it equals no other
 * name. */
static codes lower(svi_arena *arena, const codes *s)
{
    codes out = {svi_arena_get(arena, s->n * 2 * sizeof(ucs4_t)), 0};
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] == 0x130) {
            out.p[out.n++] = 'i';
            out.p[out.n++] = 0x307;
        } else {
            out.p[out.n++] = uc_tolower(s->p[i]);
        }
    }
    return out;
}

static void map_spaces(codes *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i] > 0x7f && uc_is_general_category_withtable(s->p[i], UC_CATEGORY_MASK_Zs))
            s->p[i] = ' ';
}

static bool normalize(svi_arena *arena, codes *s)
{
    size_t room = s->n * 3 + 8, n = room; /* NFC grows UTF-32 three times at most (UAX 15) */
    ucs4_t *to = svi_arena_get(arena, room * sizeof(ucs4_t));
    ucs4_t *form = u32_normalize(UNINORM_NFC, s->p, s->n, to, &n);
    if (!form) return false;
    if (form != to) {
        free(form);
        return false;
    }
    *s = (codes){to, n};
    return true;
}

static bool apply(svi_arena *arena, codes *s, bool freeform)
{
    if (!freeform) map_width(s);
    if (!is_allowed(s, freeform)) return false;
    if (freeform)
        map_spaces(s);
    else
        *s = lower(arena, s);
    return normalize(arena, s) && s->n > 0 && (freeform || bidi_fits(s));
}

static bool decode(svi_arena *arena, sv_str text, codes *out)
{
    out->p = svi_arena_get(arena, (text.n + 1) * sizeof(ucs4_t));
    out->n = 0;
    while (text.n > 0) {
        uint32_t code;
        size_t step = svi_utf8_step(text, &code);
        if (step == 0) return false;
        out->p[out->n++] = code;
        text = svi_str_sub(text, step, text.n);
    }
    return true;
}

static sv_str encode(svi_arena *arena, const codes *s)
{
    uint8_t *to = svi_arena_get(arena, s->n * 4 + 1);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        int step = u8_uctomb(to + n, s->p[i], 4);
        SV_ASSERT(step > 0);
        n += (size_t)step;
    }
    return (sv_str){(const char *)to, n};
}

/* RFC 8265 5: the rules again until nothing changes, three more times at most. */
static sv_status enforce(svi_arena *arena, sv_str text, bool freeform, sv_str *out)
{
    codes s;
    if (text.n == 0 || text.n > SVI_PRECIS_MAX || !decode(arena, text, &s)) return SV_EINVAL;
    if (!apply(arena, &s, freeform)) return SV_EINVAL;
    sv_str result = encode(arena, &s);
    for (int i = 0; i < 3; i++) {
        if (!apply(arena, &s, freeform)) return SV_EINVAL;
        sv_str again = encode(arena, &s);
        if (sv_str_eq(again, result)) {
            *out = result;
            return SV_OK;
        }
        result = again;
    }
    return SV_EINVAL;
}

sv_status svi_precis_username(svi_arena *arena, sv_str text, sv_str *name_out)
{
    return enforce(arena, text, false, name_out);
}

sv_status svi_precis_opaque(svi_arena *arena, sv_str text, sv_str *text_out)
{
    return enforce(arena, text, true, text_out);
}
