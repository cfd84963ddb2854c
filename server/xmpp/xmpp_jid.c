/* Addresses: splitting, preparation of each part with a short way for ASCII, copies. */
#include "xmpp/xmpp_jid.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_precis.h"

#include <arpa/inet.h>
#include <idn2.h>

#define DOMAIN_MAX 253u /* RFC 1034 3.1: 255 octets on the wire; RFC 7622 3.2 keeps that limit */
#define LABEL_MAX 63u

static bool is_ascii(sv_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > 0x7f) return false;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static sv_str lower_copy(svi_arena *arena, sv_str s)
{
    char *to = svi_arena_get(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++) to[i] = lower(s.p[i]);
    return (sv_str){to, s.n};
}

/* RFC 7622 3.3.1. */
static bool has_excluded(sv_str node)
{
    for (size_t i = 0; i < node.n; i++) {
        switch (node.p[i]) {
        case '"':
        case '&':
        case '\'':
        case '/':
        case ':':
        case '<':
        case '>':
        case '@': return true;
        default: break;
        }
    }
    return false;
}

/* --- escaping, XEP-0106 ---------------------------------------------------------------------- */

#define ESCAPED " \"&'/:<>@\\" /* 3.2 table 1 */

/* Whether the text at a backslash reads as an escaped character; case is mapped later. */
static bool is_escape(sv_str at)
{
    static const char digits[] = "0123456789abcdef";
    if (at.n < 3) return false;
    for (const char *c = ESCAPED; *c; c++)
        if (at.p[1] == digits[*c >> 4] && lower(at.p[2]) == digits[*c & 15]) return true;
    return false;
}

sv_status svi_jid_escape_node(svi_arena *arena, sv_str text, sv_str *node_out)
{
    static const char digits[] = "0123456789abcdef";
    if (text.n == 0 || text.p[0] == ' ' || text.p[text.n - 1] == ' ') return SV_EINVAL;
    char *to = svi_arena_get(arena, 3 * text.n);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        const bool is_special = c && strchr(ESCAPED, c) &&
                                (c != '\\' || is_escape(svi_str_sub(text, i, text.n)));
        if (is_special) {
            to[n++] = '\\';
            to[n++] = digits[c >> 4];
            to[n++] = digits[c & 15];
        } else {
            to[n++] = c;
        }
    }
    *node_out = (sv_str){to, n};
    return SV_OK;
}

bool svi_jid_has_outer_space(sv_str node)
{
    return svi_str_starts(node, SV_STR("\\20")) || svi_str_ends(node, SV_STR("\\20"));
}

/* --- parts ----------------------------------------------------------------------------------- */

/* All bytes are printable ASCII; with or without the space. */
static bool is_printable(sv_str s, bool with_space)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < (with_space ? 0x20 : 0x21) || s.p[i] > 0x7e) return false;
    return true;
}

sv_status svi_jid_prep_node(svi_arena *arena, sv_str text, sv_str *node_out)
{
    sv_str node;
    if (is_ascii(text)) {
        if (!is_printable(text, false)) return SV_EINVAL;
        node = lower_copy(arena, text);
    } else if (svi_precis_username(arena, text, &node)) {
        return SV_EINVAL;
    }
    /* behind the mapping: a full-width commercial at becomes one here */
    if (node.n == 0 || node.n > SVI_JID_PART_MAX || has_excluded(node)) return SV_EINVAL;
    *node_out = node;
    return SV_OK;
}

sv_str svi_jid_ascii_domain(svi_arena *arena, sv_str domain)
{
    if (is_ascii(domain)) return domain;
    uint8_t *alabels = NULL;
    const sv_str name = svi_arena_str(arena, domain); /* with a NUL */
    sv_str ascii = domain;
    if (idn2_lookup_u8((const uint8_t *)name.p, &alabels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
        IDN2_OK)
        ascii = svi_arena_str(arena, sv_str_of((const char *)alabels));
    idn2_free(alabels);
    return ascii;
}

sv_status svi_jid_prep_resource(svi_arena *arena, sv_str text, sv_str *resource_out)
{
    sv_str resource;
    if (is_ascii(text)) {
        if (!is_printable(text, true)) return SV_EINVAL;
        resource = svi_arena_str(arena, text);
    } else if (svi_precis_opaque(arena, text, &resource)) {
        return SV_EINVAL;
    }
    if (resource.n == 0 || resource.n > SVI_JID_PART_MAX || resource.p[0] == ' ') return SV_EINVAL;
    *resource_out = resource;
    return SV_OK;
}

static bool is_label(sv_str label)
{
    if (label.n == 0 || label.n > LABEL_MAX) return false;
    if (label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
    for (size_t i = 0; i < label.n; i++) {
        char c = lower(label.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') return false;
    }
    return true;
}

/* Letters, digits, hyphens in labels (RFC 5890 2.3.1); `has_alabel_out` tells if one begins with
 * "xn--". */
static bool is_ldh(sv_str domain, bool *has_alabel_out)
{
    sv_str rest = domain, label;
    *has_alabel_out = false;
    if (domain.n == 0 || domain.n > DOMAIN_MAX || domain.p[domain.n - 1] == '.') return false;
    while (svi_str_split(&rest, '.', &label)) {
        if (!is_label(label)) return false;
        if (label.n >= 4 && svi_str_eq_fold(svi_str_sub(label, 0, 4), SV_STR("xn--")))
            *has_alabel_out = true;
    }
    return true;
}

/* Names with U-labels or A-labels: mapped (UTS 46, not transitional), then checked strictly by
 * IDNA2008 both ways, so that one domain has one spelling (RFC 7622 3.2.1: A-labels become
 * U-labels). Without the library's flag for STD3 rules: with it libidn2 leaves out what they
 * forbid instead of refusing it, so that a full-width "b@c" would become "bc"; is_ldh refuses
 * it. */
static sv_status prep_idn(svi_arena *arena, sv_str text, sv_str *domain_out)
{
    char *alabels = NULL, *ulabels = NULL;
    uint8_t *again = NULL;
    sv_str name = svi_arena_str(arena, text);
    bool has_alabel;
    bool fits =
        idn2_to_ascii_8z(name.p, &alabels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK;
    fits = fits && is_ldh(sv_str_of(alabels), &has_alabel);
    fits = fits && idn2_to_unicode_8z8z(alabels, &ulabels, 0) == IDN2_OK;
    fits = fits && idn2_lookup_u8((const uint8_t *)ulabels, &again, IDN2_NO_TR46) == IDN2_OK;
    fits = fits && strcmp((const char *)again, alabels) == 0;
    if (fits) *domain_out = svi_arena_str(arena, sv_str_of(ulabels));
    idn2_free(alabels);
    idn2_free(ulabels);
    idn2_free(again);
    return fits ? SV_OK : SV_EINVAL;
}

/* RFC 3986 3.2.2 IP-literal; equal addresses become equal text. Zones (RFC 6874) name our own
 * interfaces: refused. */
static sv_status prep_ipv6(svi_arena *arena, sv_str text, sv_str *domain_out)
{
    char inner[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.n < 4 || text.n - 2 >= sizeof inner || text.p[text.n - 1] != ']') return SV_EINVAL;
    memcpy(inner, text.p + 1, text.n - 2);
    inner[text.n - 2] = 0;
    if (memchr(inner, 0, text.n - 2) || inet_pton(AF_INET6, inner, &address) != 1) return SV_EINVAL;
    if (!inet_ntop(AF_INET6, &address, out, sizeof out)) return SV_EINVAL;
    *domain_out = svi_arena_printf(arena, "[%s]", out);
    return SV_OK;
}

sv_status svi_jid_prep_domain(svi_arena *arena, sv_str text, sv_str *domain_out)
{
    bool has_alabel;
    if (text.n > 0 && text.p[0] == '[') return prep_ipv6(arena, text, domain_out);
    if (text.n > 0 && text.p[text.n - 1] == '.') text.n--;
    if (text.n == 0 || text.n > SVI_JID_PART_MAX || memchr(text.p, 0, text.n)) return SV_EINVAL;
    if (is_ascii(text)) {
        if (!is_ldh(text, &has_alabel)) return SV_EINVAL;
        if (!has_alabel) {
            *domain_out = lower_copy(arena, text);
            return SV_OK;
        }
    } else if (!svi_utf8_valid(text)) {
        return SV_EINVAL;
    }
    if (prep_idn(arena, text, domain_out)) return SV_EINVAL;
    return domain_out->n <= SVI_JID_PART_MAX ? SV_OK : SV_EINVAL;
}

/* Points the parts into `full`, by their lengths. */
static sv_jid parts_of(sv_str full, size_t node_n, size_t domain_n, size_t resource_n)
{
    sv_jid jid = {.full = full};
    size_t at = 0;
    if (node_n) {
        jid.node = svi_str_sub(full, 0, node_n);
        at = node_n + 1;
    }
    jid.domain = svi_str_sub(full, at, domain_n);
    jid.bare = svi_str_sub(full, 0, at + domain_n);
    if (resource_n) jid.resource = svi_str_sub(full, at + domain_n + 1, resource_n);
    return jid;
}

sv_jid svi_jid_make(svi_arena *arena, sv_str node, sv_str domain, sv_str resource)
{
    SV_ASSERT(domain.n > 0);
    size_t n = domain.n + (node.n ? node.n + 1 : 0) + (resource.n ? resource.n + 1 : 0);
    char *full = svi_arena_get(arena, n + 1), *at = full;
    if (node.n) {
        memcpy(at, node.p, node.n);
        at += node.n;
        *at++ = '@';
    }
    memcpy(at, domain.p, domain.n);
    at += domain.n;
    if (resource.n) {
        *at++ = '/';
        memcpy(at, resource.p, resource.n);
        at += resource.n;
    }
    SV_ASSERT((size_t)(at - full) == n);
    return parts_of((sv_str){full, n}, node.n, domain.n, resource.n);
}

sv_jid svi_jid_copy(svi_arena *arena, const sv_jid *jid)
{
    return parts_of(svi_arena_str(arena, jid->full), jid->node.n, jid->domain.n, jid->resource.n);
}

/* What no preparation changes in a localpart or a domain. A conservative choice: what is not here
 * is prepared part by part. */
static bool is_plain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* How many characters from there on are plain. */
static size_t plain_run(sv_str s, size_t from)
{
    size_t i = from;
    while (i < s.n && is_plain_char(s.p[i])) i++;
    return i - from;
}

/* The same for a resource, whose case stays. */
static size_t plain_resource(sv_str s, size_t from)
{
    size_t i = from;
    while (i < s.n && s.p[i] > 0x20 && s.p[i] < 0x7f) i++;
    return i - from;
}

/* The domain's labels hold no "_", begin and end with neither "-" nor anything but a letter or
 * digit, and are no A-labels: those have "--". */
static bool is_plain_domain(sv_str domain)
{
    char before = '.';
    size_t label = 0;
    if (domain.n > DOMAIN_MAX) return false;
    for (size_t i = 0; i < domain.n; i++) {
        const char c = domain.p[i];
        const bool is_joint = c == '.' || c == '-';
        if (c == '_' || (is_joint && (before == '.' || before == '-'))) return false;
        label = c == '.' ? 0 : label + 1;
        if (label > LABEL_MAX) return false;
        before = c;
    }
    return before != '.' && before != '-'; /* empty: '.' */
}

/* PERF(a seventh of a routed message): an address that needs no preparing, as nearly all are, is
 * looked over once and copied once. False: it may still be valid. */
static bool parse_plain(svi_arena *arena, sv_str text, sv_jid *jid_out)
{
    size_t node_n = 0, domain_at = 0, domain_n = plain_run(text, 0);
    if (domain_n < text.n && text.p[domain_n] == '@') {
        node_n = domain_n;
        domain_at = node_n + 1;
        domain_n = plain_run(text, domain_at);
        if (node_n == 0 || node_n > SVI_JID_PART_MAX) return false;
    }
    const size_t end = domain_at + domain_n;
    size_t resource_n = 0;
    if (end < text.n) {
        resource_n = text.p[end] == '/' ? plain_resource(text, end + 1) : 0;
        if (resource_n == 0 || resource_n > SVI_JID_PART_MAX || end + 1 + resource_n < text.n)
            return false;
    }
    if (!is_plain_domain(svi_str_sub(text, domain_at, domain_n))) return false;
    *jid_out = parts_of(svi_arena_str(arena, text), node_n, domain_n, resource_n);
    return true;
}

/* RFC 7622 3.2: first what is behind the first '/', then what is before the first '@';
 * separators are matched before anything is mapped (3.1). */
sv_status svi_jid_parse(svi_arena *arena, sv_str text, sv_jid *jid_out)
{
    if (parse_plain(arena, text, jid_out)) return SV_OK;
    sv_str node = SV_STR_NONE, resource = SV_STR_NONE, domain;
    size_t slash = svi_str_find(text, '/');
    sv_str head = svi_str_sub(text, 0, slash);
    size_t at = svi_str_find(head, '@');
    if (slash < text.n &&
        svi_jid_prep_resource(arena, svi_str_sub(text, slash + 1, text.n), &resource))
        return SV_EINVAL;
    if (at < head.n) {
        if (svi_jid_prep_node(arena, svi_str_sub(head, 0, at), &node)) return SV_EINVAL;
        head = svi_str_sub(head, at + 1, head.n);
    }
    if (svi_jid_prep_domain(arena, head, &domain)) return SV_EINVAL;
    *jid_out = svi_jid_make(arena, node, domain, resource);
    return SV_OK;
}

void svi_jid_dup(svi_acct *acct, const sv_jid *jid, sv_jid *jid_out)
{
    SV_ASSERT(jid->full.n > 0);
    *jid_out = parts_of(svi_str_dup(acct, jid->full), jid->node.n, jid->domain.n, jid->resource.n);
}

void svi_jid_free(sv_jid *jid)
{
    svi_str_free(&jid->full);
    *jid = (sv_jid){0};
}

bool svi_jid_is_bare(const sv_jid *jid)
{
    return jid->resource.n == 0;
}
