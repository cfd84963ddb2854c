/* What `stave watch` tells: each stanza of a session as head and names; with its contents for those that ask
 * for them, but never a password. */
#include <inttypes.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "main/main_follow.h"
#include "xml/xml_writer.h"

#define CHILDREN_TOLD 8u
#define NAME_BYTES 64u    /* of a child's name that is told */
#define VALUE_BYTES 3071u /* of an attribute's value: an address has no more */
#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"

static bool wants(const svi_follow_filter *filter, const void *ctx)
{
    const svi_seen *seen = ctx;
    const sv_str element = svi_node_name(svi_stanza_root(seen->stanza));
    if (filter->element.n > 0 && !sv_str_eq(element, filter->element)) return false;
    if (filter->host.n > 0 && !sv_str_eq(svi_host_domain(seen->host), filter->host)) return false;
    if (filter->user.domain.n == 0 || svi_follow_is_of(&filter->user, seen->jid->full)) return true;
    return seen->receiver && svi_follow_is_of(&filter->user, seen->receiver->full);
}

/* --- what must not be shown --------------------------------------------------------------------------- */

/* A form's field that holds a secret (XEP-0004 3.3), or one called so (XEP-0077, XEP-0045). */
static bool is_secret_field(const sv_node *node)
{
    static const char word[] = "password";
    const sv_str var = svi_node_attr(node, SV_STR("var"));
    if (!sv_str_eq(svi_node_name(node), SV_STR("field"))) return false;
    if (sv_str_eq(svi_node_attr(node, SV_STR("type")), SV_STR("text-private"))) return true;
    for (size_t i = 0; i + sizeof word - 1 <= var.n; i++)
        if (svi_str_eq_fold(svi_str_sub(var, i, sizeof word - 1), sv_str_of(word))) return true;
    return false;
}

/* A password of an account (XEP-0077, XEP-0078) or of a room (XEP-0045), and what is like it. How deep elements lie in each
 * other is bounded by the parser. */
static bool has_secret(const sv_node *node)
{
    static const sv_str names[] = {SV_STR_INIT("password"), SV_STR_INIT("digest"),
                                   SV_STR_INIT("secret"), SV_STR_INIT("token")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sv_str_eq(svi_node_name(node), names[i])) return true;
    if (svi_node_attr(node, SV_STR("password")).p != NULL || is_secret_field(node)) return true;
    for (const sv_node *child = svi_node_first(node); child; child = svi_node_next(node, child))
        if (has_secret(child)) return true;
    return false;
}

/* --- one line ----------------------------------------------------------------------------------------- */

static sv_str attr(const svi_seen *seen, const char *name)
{
    if (strcmp(name, "to") == 0 && seen->to.p != NULL) return seen->to;
    return svi_str_sub(svi_node_attr(svi_stanza_root(seen->stanza), sv_str_of(name)), 0, VALUE_BYTES);
}

/* The defined condition of an error (RFC 6120 8.3.3); empty if it is none. */
static sv_str condition(const svi_seen *seen)
{
    const sv_node *root = svi_stanza_root(seen->stanza);
    if (!sv_str_eq(svi_node_attr(root, SV_STR("type")), SV_STR("error"))) return SV_STR_NONE;
    const sv_node *error = svi_node_find(root, SV_STR("error"), SV_STR_NONE);
    for (const sv_node *c = error ? svi_node_first(error) : NULL; c; c = svi_node_next(error, c))
        if (sv_str_eq(svi_node_ns(c), SV_STR(NS_STANZAS)) &&
            !sv_str_eq(svi_node_name(c), SV_STR("text")))
            return svi_str_sub(svi_node_name(c), 0, NAME_BYTES);
    return SV_STR_NONE;
}

static void put_member(svi_buf *line, const char *name, sv_str value)
{
    svi_buf_printf(line, ",\"%s\":", name);
    svi_follow_put_quoted(line, value);
}

static void put_children(svi_buf *line, const sv_node *root)
{
    size_t count = 0;
    svi_buf_put(line, SV_STR(",\"children\":["));
    for (const sv_node *c = svi_node_first(root); c && count < CHILDREN_TOLD;
         c = svi_node_next(root, c)) {
        if (count++) svi_buf_putc(line, ',');
        svi_buf_put(line, SV_STR("{\"name\":"));
        svi_follow_put_quoted(line, svi_str_sub(svi_node_name(c), 0, NAME_BYTES));
        put_member(line, "ns", svi_str_sub(svi_node_ns(c), 0, 4 * NAME_BYTES));
        svi_buf_putc(line, '}');
    }
    svi_buf_putc(line, ']');
}

/* What a cut leaves of a text that is UTF-8: whole characters. */
static sv_str whole(sv_str text, size_t most)
{
    if (text.n <= most) return text;
    while (most > 0 && ((unsigned char)text.p[most] & 0xc0) == 0x80) most--;
    return svi_str_sub(text, 0, most);
}

static void put_xml(svi_buf *line, const svi_seen *seen, sv_str xml)
{
    const bool is_hidden = has_secret(svi_stanza_root(seen->stanza));
    if (is_hidden) {
        svi_buf_put(line, SV_STR(",\"hidden\":true"));
        return;
    }
    put_member(line, "xml", whole(xml, SVI_FOLLOW_XML_BYTES));
    if (xml.n > SVI_FOLLOW_XML_BYTES) svi_buf_put(line, SV_STR(",\"cut\":true"));
}

static const char *const told[] = {"type", "from", "to", "id"};
enum { TOLD = sizeof told / sizeof *told };

static const char *const directions[] = {
    [SVI_SEEN_IN] = "in", [SVI_SEEN_OUT] = "out", [SVI_SEEN_DROPPED] = "drop"};

static void put_record(svi_buf *line, const svi_seen *seen, sv_str time, sv_str xml, bool with_xml)
{
    const sv_node *root = svi_stanza_root(seen->stanza);
    svi_buf_put(line, SV_STR("{\"time\":"));
    svi_follow_put_quoted(line, time);
    put_member(line, "direction", sv_str_of(directions[seen->what]));
    put_member(line, seen->rule ? "sender" : "session", seen->jid->full);
    if (seen->rule) put_member(line, "rule", sv_str_of(seen->rule));
    put_member(line, "element", svi_str_sub(svi_node_name(root), 0, NAME_BYTES));
    for (size_t i = 0; i < TOLD; i++)
        if (attr(seen, told[i]).p) put_member(line, told[i], attr(seen, told[i]));
    if (condition(seen).n > 0) put_member(line, "error", condition(seen));
    svi_buf_printf(line, ",\"bytes\":%zu", xml.n);
    put_children(line, root);
    if (with_xml) put_xml(line, seen, xml);
    svi_buf_putc(line, '}');
}

/* "TIME in  romeo@one.example/phone  message type=chat to=juliet@one.example id=1 (body) 123 B" */
static void put_text(svi_buf *text, const svi_seen *seen, sv_str time, sv_str xml)
{
    const sv_node *root = svi_stanza_root(seen->stanza);
    size_t count = 0;
    svi_buf_printf(text, "%.*s %-4s ", (int)time.n, time.p, directions[seen->what]);
    svi_follow_put_plain(text, seen->jid->full);
    svi_buf_put(text, SV_STR("  "));
    svi_follow_put_plain(text, svi_str_sub(svi_node_name(root), 0, NAME_BYTES));
    for (size_t i = 0; i < TOLD; i++) {
        if (!attr(seen, told[i]).p) continue;
        svi_buf_printf(text, " %s=", told[i]);
        svi_follow_put_plain(text, attr(seen, told[i]));
    }
    if (condition(seen).n > 0) {
        svi_buf_put(text, SV_STR(" error="));
        svi_follow_put_plain(text, condition(seen));
    }
    if (seen->rule) {
        svi_buf_put(text, SV_STR(" rule="));
        svi_follow_put_plain(text, sv_str_of(seen->rule)); /* a module may have named it */
    }
    for (const sv_node *c = svi_node_first(root); c && count < CHILDREN_TOLD;
         c = svi_node_next(root, c)) {
        svi_buf_put(text, count++ ? SV_STR(" ") : SV_STR(" ("));
        svi_follow_put_plain(text, svi_str_sub(svi_node_name(c), 0, NAME_BYTES));
    }
    svi_buf_printf(text, "%s %zu B", count ? ")" : "", xml.n);
}

static sv_str stamp(const svi_seen *seen, char to[40])
{
    char seconds[32];
    const svi_plat *plat = svi_server_plat(svi_host_server(seen->host));
    const int64_t now_us = plat->wall_us(plat->ctx);
    const sv_str whole_s = svi_plat_stamp(now_us, seconds);
    const int n = snprintf(to, 40, "%.*s.%03dZ", (int)whole_s.n - 1, whole_s.p,
                           (int)(now_us / 1000 % 1000));
    return (sv_str){to, (size_t)n};
}

static void make(const void *ctx, bool with_xml, svi_buf *line)
{
    const svi_seen *seen = ctx;
    svi_buf xml, text;
    char time_text[40];
    const sv_str time = stamp(seen, time_text);
    svi_buf_init(&xml, line->acct);
    svi_buf_init(&text, line->acct);
    svi_node_write(&xml, svi_stanza_root(seen->stanza), SV_STR(SVI_NS_CLIENT));
    svi_buf_put(line, SV_STR("{\"record\":"));
    put_record(line, seen, time, svi_buf_str(&xml), with_xml);
    put_text(&text, seen, time, svi_buf_str(&xml));
    svi_buf_put(line, SV_STR(",\"text\":"));
    svi_follow_put_quoted(line, svi_buf_str(&text));
    svi_buf_putc(line, '}');
    svi_buf_free(&xml);
    svi_buf_free(&text);
}

void svi_follows_put_stanza(void *follows, const svi_seen *seen)
{
    const svi_follow_news news = {
        .kind = SVI_FOLLOW_STANZAS, .wants = wants, .make = make, .ctx = seen};
    svi_follows_tell(follows, &news);
}
