/* Framing of streams on TCP: one XML document a stream. */
#include "xmpp/xmpp_framing.h"
#include "xml/xml_writer.h"

static void put_attr(svi_buf *buf, const char *name, sv_str value)
{
    svi_buf_printf(buf, " %s='", name);
    svi_write_attr(buf, value);
    svi_buf_putc(buf, '\'');
}

static void tcp_open(svi_buf *buf, const svi_stream_head *head)
{
    svi_buf_put(buf, SV_STR("<?xml version='1.0'?><stream:stream xmlns='" SVI_NS_CLIENT
                            "' xmlns:stream='" SVI_NS_STREAM "'"));
    put_attr(buf, "id", head->id);
    put_attr(buf, "from", head->from);
    if (head->to.n) put_attr(buf, "to", head->to);
    if (head->version.n) put_attr(buf, "version", head->version);
    put_attr(buf, "xml:lang", head->lang);
    svi_buf_putc(buf, '>');
}

static void tcp_close(svi_buf *buf)
{
    svi_buf_put(buf, SV_STR("</stream:stream>"));
}

/* RFC 6120 4.8.2: jabber:client as default namespace, or none (prefix-free style, where the
 * stream's own is the default). */
static const char *tcp_check(const sv_node *header)
{
    const sv_str content = svi_node_attr_ns(header, SV_STR("xmlns"), SV_STR(SVI_NS_XMLNS));
    if (!sv_str_eq(svi_node_ns(header), SV_STR(SVI_NS_STREAM))) return "invalid-namespace";
    if (!sv_str_eq(svi_node_name(header), SV_STR("stream"))) return "bad-format";
    const bool is_ours = content.n == 0 || sv_str_eq(content, SV_STR(SVI_NS_CLIENT)) ||
                         sv_str_eq(content, SV_STR(SVI_NS_STREAM));
    return is_ours ? NULL : "invalid-namespace";
}

const svi_framing *svi_framing_tcp(void)
{
    static const svi_framing tcp = {
        .open = tcp_open, .close = tcp_close, .check = tcp_check, .declaration = ""};
    return &tcp;
}
