"""Threats, table "XML and stream" (X1 to X15): what the parser and the negotiation of streams must refuse, and what they must pass on unharmed."""
import random
import re
import socket
import ssl

from attacks_conn import NS_SASL, NS_STREAM, STARTTLS, Scram, b64
from attacks_world import CLIENT, HOST, OTHER, PASSWORD, Table, header

TABLE = Table("xml")
BEFORE, AFTER = 5 * 1024, 256 * 1024  # limits before and after login
HEADER, TAG = 2 * 1024, 1024  # of a stranger
MARK = "PoisonMark"


def refused(world, where, data, *conditions):
    """One send at a step of a connection's life: this stream error, and nothing of ours comes back."""
    conn = world.stage(where)
    conn.send_until_over(data)
    conn.error(*conditions)
    assert MARK not in conn.text(), conn.text()


def to_bob(world, content="", more=""):
    """The head of a message to a by-stander, who must never get it."""
    return f"<message to='{world.pair.bob}' type='chat'{more}>{content}"


def poison(world, data, *conditions):
    """A stanza of a user for a by-stander, `data` in its place of bytes."""
    conn = world.stage("bound")
    conn.send(to_bob(world).encode() + b"<body>" + data + b"</body></message>")
    conn.error(*conditions)


# ---- X1: document types ------------------------------------------------------------------------------------------------------------

LAUGHS = "<!DOCTYPE s [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10)) + "]>"
LONG = f"<!DOCTYPE s [<!ENTITY a '{'x' * 5000}'>]>"
DOCTYPES = {
    "billion-laughs": LAUGHS + header(HOST).removeprefix("<?xml version='1.0'?>") + "&a9;",
    "long-entity": LONG + header(HOST).removeprefix("<?xml version='1.0'?>") + "&a;" * 900,
    "parameter-entity": "<!DOCTYPE s [<!ENTITY % a '<!ENTITY b \"c\">'>%a;]>",
    "external-file": "<!DOCTYPE s [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>",
    "external-dtd-file": "<!DOCTYPE s SYSTEM 'file:///etc/passwd'>",
    "public": "<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN' 'http://127.0.0.1/x'>",
    "bare": "<!DOCTYPE s>",
    "attlist": "<!DOCTYPE s [<!ATTLIST s a CDATA 'b'>]>",
    "element": "<!DOCTYPE s [<!ELEMENT s ANY>]>",
    "notation": "<!DOCTYPE s [<!NOTATION a SYSTEM 'b'>]>",
}
for name, text in DOCTYPES.items():
    TABLE.add(f"x1-{name}", refused, "first", "<?xml version='1.0'?>" + text, "restricted-xml")
TABLE.add("x1-undeclared-xml", refused, "first", LAUGHS, "restricted-xml")
TABLE.add("x1-after-login", refused, "success", LAUGHS, "restricted-xml")
# within the root element the grammar knows none
TABLE.add("x1-in-stream", refused, "open", LAUGHS, "not-well-formed")
TABLE.add("x1-in-stream-under-tls", refused, "tls", LAUGHS, "not-well-formed")
TABLE.add("x1-bound", refused, "bound", LAUGHS, "not-well-formed")
TABLE.add("x1-entity-alone", refused, "open", "<!ENTITY a 'b'>", "not-well-formed")


@TABLE.attack("x1-trickled")
def x1_trickled(world):
    world.stage("first").trickle(DOCTYPES["billion-laughs"], 1).error("restricted-xml")


@TABLE.attack("x1-first-after-starttls")
def x1_first_after_starttls(world):
    world.plain().starttls(world.context, HOST).send(DOCTYPES["billion-laughs"]).error("restricted-xml")


@TABLE.attack("x1-nothing-is-fetched")
def x1_nothing_is_fetched(world):
    """Whoever would fetch a document type or an entity, would connect here."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/x.dtd"
        for text in (f"<!DOCTYPE s SYSTEM '{url}'>", f"<!DOCTYPE s PUBLIC 'p' '{url}'>", f"<!DOCTYPE s [<!ENTITY % a SYSTEM '{url}'>%a;]>",
                     f"<!DOCTYPE s [<!ENTITY a SYSTEM '{url}'>]>{header(HOST)[21:]}&a;"):
            world.stage("first").send("<?xml version='1.0' standalone='no'?>" + text).error("restricted-xml")
        world.pair.round()
        try:
            trap.accept()
            raise AssertionError("it was fetched")
        except BlockingIOError:
            pass


# ---- X2: comments, processing instructions, entities (RFC 6120 11.1) ---------------------------------------------------------------

FORBIDDEN = {
    "comment": f"<!-- {MARK} -->", "empty-comment": "<!---->", "instruction": f"<?php {MARK} ?>", "stylesheet": "<?xml-stylesheet href='a'?>",
    "entity": f"<a>{MARK}&nbsp;</a>", "entity-in-attribute": f"<a b='{MARK}&copy;'/>",
}
for name, text in FORBIDDEN.items():
    for where in ("open", "direct", "bound"):
        TABLE.add(f"x2-{name}-{where}", refused, where, text, "restricted-xml")
for name in ("comment", "instruction"):
    TABLE.add(f"x2-{name}-before-header", refused, "first", FORBIDDEN[name] + header(HOST), "restricted-xml")
    TABLE.add(f"x2-{name}-behind-declaration", refused, "first", "<?xml version='1.0'?>" + FORBIDDEN[name] + header(HOST)[21:], "restricted-xml")
    TABLE.add(f"x2-{name}-trickled", lambda world, text: world.stage("bound").trickle(text, 1).error("restricted-xml"), FORBIDDEN[name])
for name in ("comment", "instruction", "entity"):
    TABLE.add(f"x2-{name}-in-stanza", lambda world, text: poison(world, text.encode(), "restricted-xml"), FORBIDDEN[name])
TABLE.add("x2-second-declaration", refused, "bound", "<?xml version='1.0'?>", "not-well-formed")
TABLE.add("x2-conditional-section", refused, "bound", "<![INCLUDE[<a/>]]>", "not-well-formed")
TABLE.add("x2-cdata-between-stanzas", refused, "bound", f"<![CDATA[{MARK}]]>", "bad-format")
TABLE.add("x2-entity-between-stanzas", refused, "bound", "&undefined;", "restricted-xml")


@TABLE.attack("x2-predefined-entities-pass")
def x2_predefined(world):
    passes(world, "<body>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;</body>", text="<>&\"'AB")


# ---- X3: bytes that are no UTF-8, characters that XML forbids ----------------------------------------------------------------------

BROKEN = {
    "overlong-2": b"\xc0\xaf", "overlong-less-than": b"\xc0\xbc", "overlong-nul": b"\xc0\x80", "overlong-3": b"\xe0\x80\xaf",
    "overlong-4": b"\xf0\x80\x80\xaf", "surrogate-high": b"\xed\xa0\x80", "surrogate-low": b"\xed\xbf\xbf",
    "surrogate-pair": b"\xed\xa0\xbd\xed\xb8\x80", "above-10ffff": b"\xf4\x90\x80\x80", "f5": b"\xf5\x80\x80\x80",
    "five-bytes": b"\xf8\x88\x80\x80\x80", "six-bytes": b"\xfc\x84\x80\x80\x80\x80", "lone-continuation": b"\x80", "cut-2": b"\xc3",
    "cut-3": b"\xe2\x82", "cut-4": b"\xf0\x9f\x98", "fe": b"\xfe", "ff": b"\xff", "latin-1": b"\xe9t\xe9", "nul": b"\0", "soh": b"\x01",
    "vertical-tab": b"\x0b", "unit-separator": b"\x1f", "fffe": b"\xef\xbf\xbe", "ffff": b"\xef\xbf\xbf",
}
REFERENCES = {
    "nul": "&#0;", "soh": "&#1;", "unit-separator": "&#x1F;", "form-feed": "&#xC;", "surrogate": "&#xD800;", "surrogate-pair": "&#xD83D;&#xDE00;",
    "fffe": "&#xFFFE;", "ffff": "&#65535;", "above-10ffff": "&#x110000;", "huge": "&#x10000000041;", "huge-decimal": "&#4294967361;",
    "negative": "&#-1;", "empty": "&#;", "empty-hex": "&#x;", "no-hex": "&#xG;", "upper-x": "&#X41;", "no-semicolon": "&#65 ",
    "ampersand": "& ",
}
PLACES = {
    "text": (b"<body>a", b"b</body>"), "attribute": (b"<body a='", b"'>c</body>"), "name": (b"<bo", b"dy/>"),
    "attribute-name": (b"<body a", b"='c'/>"),
    "namespace": (b"<body xmlns='urn:a", b"'/>"), "cdata": (b"<body><![CDATA[", b"]]></body>"),
}


def x3_poison(world, before, data, after):
    conn = world.stage("bound")
    conn.send(to_bob(world).encode() + before + data + after + b"</message>")
    conn.error("not-well-formed")


for place in ("text", "attribute", "name", "attribute-name", "namespace", "cdata"):
    for name, data in BROKEN.items():
        if place in ("text", "attribute") or name in ("overlong-2", "surrogate-high", "cut-3", "nul", "fffe", "ff"):
            TABLE.add(f"x3-{name}-in-{place}", x3_poison, PLACES[place][0], data, PLACES[place][1])
for name, text in REFERENCES.items():
    for place in ("text", "attribute"):
        TABLE.add(f"x3-reference-{name}-in-{place}", x3_poison, PLACES[place][0], text.encode(), PLACES[place][1])
for name in ("overlong-2", "surrogate-high", "lone-continuation", "nul", "fffe"):
    TABLE.add(f"x3-{name}-in-header", refused, "first", header(HOST, " a='").encode().removesuffix(b">") + BROKEN[name] + b"'>", "not-well-formed")
    TABLE.add(f"x3-{name}-in-sasl", refused, "direct", f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>".encode() + BROKEN[name] + b"</auth>",
              "not-well-formed")


@TABLE.attack("x3-cut-by-the-end-of-a-packet")
def x3_cut(world):
    """A character whose rest never comes, and one whose rest comes late, which is none of an attack."""
    conn = world.stage("bound")
    conn.send(to_bob(world).encode() + b"<body>\xe2\x82")
    world.pair.round()
    conn.send(b"</body></message>").error("not-well-formed")
    receiver, sender = world.session("carol"), world.stage("bound")
    sender.trickle(f"<message to='{receiver.jid}'><body>€😀é</body></message>".encode(), 1)
    assert receiver.stanza().findtext(CLIENT + "body") == "€😀é"


# ---- X4: smuggling -----------------------------------------------------------------------------------------------------------------

def passes(world, content, text=None, attr=None):
    """A harmless though odd message reaches one who is no by-stander as what it was: one stanza, `text` in its body."""
    receiver, sender = world.session("carol"), world.stage("bound")
    sender.send(f"<message to='{receiver.jid}' type='chat'>{content}</message><message to='{receiver.jid}' type='chat'><body>next</body></message>")
    got, after = receiver.stanza(), receiver.stanza()
    assert got.get("from") == after.get("from") == sender.jid and after.findtext(CLIENT + "body") == "next"
    if text is not None:
        assert [(e.tag, e.text) for e in got] == [(CLIENT + "body", text)], list(got)
    if attr is not None:
        assert [dict(e.attrib) for e in got] == [attr], [e.attrib for e in got]
    receiver.ping()
    return got


FORGED = "<message to='bob@one.test' from='admin@one.test'><body>forged</body></message>"
ESCAPED = FORGED.replace("<", "&lt;").replace(">", "&gt;")
for name, text in {
    "stream-end-in-cdata": "</stream:stream>", "stanza-in-cdata": FORGED, "header-in-cdata": header(HOST), "cdata-end-in-text": "]]",
    "entity-in-cdata": "&lt;&amp;", "declaration-in-cdata": "<?xml version='1.0'?><!DOCTYPE a>", "nested-message-ends": "</body></message>" * 3,
}.items():
    TABLE.add(f"x4-{name}", lambda world, text: passes(world, f"<body><![CDATA[{text}]]></body>", text=text), text)
TABLE.add("x4-stanza-in-references", lambda world: passes(world, f"<body>{ESCAPED}</body>", text=FORGED))
TABLE.add("x4-double-escapes", lambda world: passes(world, "<body>&amp;lt;/stream:stream&amp;gt;</body>", text="&lt;/stream:stream&gt;"))
TABLE.add("x4-stanza-in-attribute", lambda world: passes(world, f"<a xmlns='urn:a' b=\"{ESCAPED}'&quot;>\"/>", attr={"b": FORGED + "'\">"}))
TABLE.add("x4-cdata-cut-in-two", lambda world: passes(world, "<body><![CDATA[a]]]]><![CDATA[>b]]></body>", text="a]]>b"))


@TABLE.attack("x4-namespace-that-looks-like-markup")
def x4_namespace(world):
    got = passes(world, "<a xmlns=\"urn:'/>&lt;/message>&lt;iq>\"><b/></a><x:c xmlns:x='urn:&quot;&amp;lt;'/>")
    assert [e.tag for e in got] == ["{urn:'/></message><iq>}a", '{urn:"&lt;}c'], [e.tag for e in got]


@TABLE.attack("x4-namespace-with-separators")
def x4_separators(world):
    """Bytes that a parser may put between a namespace and a name; XML has those that can be said at all."""
    for i, separator in enumerate(("&#10;", "&#9;", "&#32;", "|", "^", "!", "\x7f", "&#x85;")):
        got = passes(world, f"<x:a xmlns:x='urn:a{separator}b{separator}c' x:d='{i}'/>")
        plain = re.sub("&#(x?)([0-9]+);", lambda m: chr(int(m.group(2), 16 if m.group(1) else 10)), separator)
        assert got[0].tag == f"{{urn:a{plain}b{plain}c}}a", (separator, got[0].tag)
    for separator in ("&#xC;", "&#1;", "\x0c", "\x01", "&#31;"):
        world.stage("bound").send(to_bob(world) + f"<x:a xmlns:x='urn:a{separator}b'/></message>").error("not-well-formed")


@TABLE.attack("x4-prefixes-rebound")
def x4_rebound(world):
    got = passes(world, f"<stream:error xmlns:stream='urn:a'><stream:stream xmlns:stream='{NS_STREAM}'/></stream:error>"
                        "<x:a xmlns:x='urn:b'><x:a xmlns:x='urn:c' x:d='1'/><x:e/></x:a>")
    tags = [e.tag for e in got.iter()]
    assert tags == [CLIENT + "message", "{urn:a}error", f"{{{NS_STREAM}}}stream", "{urn:b}a", "{urn:c}a", "{urn:b}e"], tags


@TABLE.attack("x4-foreign-stanzas-within")
def x4_within(world):
    """Stanzas and stream elements in a stanza are its content."""
    inner = FORGED.replace("<message", "<message xmlns='jabber:client'")
    got = passes(world, f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded><stream:error/><success xmlns='{NS_SASL}'/><message/>")
    assert len(got) == 4, list(got)


SMUGGLED = {
    "lead-byte-before-less-than": b"<body>\xe2<iq/></body></message>", "lead-byte-before-quote": b"<body a='\xc3'/></message>",
    "lead-byte-before-end": b"<body>a\xf0\x9f</body></message>", "lead-byte-before-ampersand": b"<body>\xe2&lt;</body></message>",
    "end-in-wrong-order": b"<a><b></a></b></message>", "cdata-end": b"<body>]]></body></message>",
    "bare-less-than": b"<body>a < b</body></message>",
    "attribute-with-less-than": b"<a b='<iq/>'/></message>", "attribute-without-quotes": b"<a b=c/></message>",
    "attribute-twice": b"<a b='1' b='2'/></message>",
    "prefix-of-nothing": b"<y:a/></message>", "attribute-prefix-of-nothing": b"<a y:b='c'/></message>",
    "prefix-unbound": b"<a xmlns:y=''/></message>",
    "xml-rebound": b"<a xmlns:xml='urn:a'/></message>", "xmlns-bound": b"<a xmlns:xmlns='urn:a'/></message>",
    "xmlns-namespace": b"<a xmlns:y='http://www.w3.org/2000/xmlns/'/></message>", "two-colons": b"<stream:a:b/></message>",
    "colon-first": b"<:a/></message>", "stream-end-within": b"<body></stream:stream>", "name-with-quote": b"<a'b/></message>",
    "name-begins-with-digit": b"<1a/></message>", "attributes-run-together": b"<a b='1'c='2'/></message>",
}
for name, data in SMUGGLED.items():
    TABLE.add(f"x4-{name}", lambda world, data: world.stage("bound").send(to_bob(world).encode() + data).error("not-well-formed"), data)
TABLE.add("x4-stream-prefix-on-stanza", lambda world: world.stage("bound").send(
    f"<x:message xmlns:x='jabber:client' to='{world.pair.bob}'><x:body>a</x:body></x:message>").error("bad-namespace-prefix"))
TABLE.add("x4-stream-prefix-within", lambda world: world.stage("bound").send(
    to_bob(world) + "<x:body xmlns:x='jabber:client'>a</x:body></message>").error("bad-namespace-prefix"))
for name, text in {"no-namespace": "<message xmlns='' to='{}'/>", "stream-namespace": "<stream:message to='{}'/>",
                   "upper-case": "<MESSAGE to='{}'/>", "other-namespace": "<message xmlns='urn:a' to='{}'/>"}.items():
    TABLE.add(f"x4-stanza-with-{name}", lambda world, text: world.stage("bound").send(text.format(world.pair.bob)).error("unsupported-stanza-type"),
              text)


# ---- X5: other encodings -----------------------------------------------------------------------------------------------------------

for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
    mark = "\ufeff".encode(coding)
    for where in ("first", "success"):
        TABLE.add(f"x5-{coding}-bom-{where}", refused, where, mark + header(HOST).encode(coding), "unsupported-encoding")
        TABLE.add(f"x5-{coding}-{where}", refused, where, header(HOST).encode(coding), "unsupported-encoding")
    TABLE.add(f"x5-{coding}-trickled", lambda world, data: world.stage("first").trickle(data, 1).error("unsupported-encoding"),
              mark + header(HOST).encode(coding))
TABLE.add("x5-utf-16-after-starttls", lambda world: world.plain().starttls(world.context,
    HOST).send(header(HOST).encode("utf-16")).error("unsupported-encoding"))
TABLE.add("x5-utf-16-mid-stream", refused, "bound", "<message/>".encode("utf-16"), "not-well-formed")
TABLE.add("x5-ebcdic", refused, "first", header(HOST).encode("cp500"), "not-well-formed")
TABLE.add("x5-utf-8-bom", refused, "first", b"\xef\xbb\xbf" + header(HOST).encode(), "not-well-formed")  # RFC 6120 11.6: no mark
for coding in ("UTF-16", "ISO-8859-1", "US-ASCII", "UTF-7", "windows-1252", "x-none", "UTF8", "EBCDIC-CP-US", "utf-16LE"):
    TABLE.add(f"x5-declared-{coding.lower()}", refused, "first", f"<?xml version='1.0' encoding='{coding}'?>{header(HOST)[21:]}",
              "unsupported-encoding")
TABLE.add("x5-declared-after-login", refused, "success", f"<?xml version='1.0' encoding='ISO-8859-1'?>{header(HOST)[21:]}", "unsupported-encoding")
TABLE.add("x5-xml-1.1-is-read-as-1.0", refused, "first", f"<?xml version='1.1'?>{header(HOST, ' a=' + chr(39) + '&#1;' + chr(39))[21:]}",
          "not-well-formed")


@TABLE.attack("x5-utf-8-in-any-case-passes")
def x5_utf_8(world):
    for coding in ("UTF-8", "utf-8", "Utf-8"):
        conn = world.plain().send(f"<?xml version='1.0' encoding='{coding}'?>{header(HOST)[21:]}")
        conn.until("</stream:features>")


# ---- X6: elements without end ------------------------------------------------------------------------------------------------------

ENDLESS = {
    "text": ("<a>", "x"), "cdata": ("<a><![CDATA[", "x"), "attribute": ("<a b='", "x"), "name": ("<a", "x"), "attribute-name": ("<a b", "x"),
    "namespace": ("<a xmlns='urn:", "x"), "prefix": ("<a xmlns:b", "x"), "white-space-in-tag": ("<a ", " "), "white-space-in-text": ("<a>", "\n"),
    "comment": ("<!--", "x"), "instruction": ("<?a ", "x"), "end-tag": ("<a></a", " "), "entity": ("<a>&", "x"), "reference": ("<a>&#", "0"),
    "references": ("<a>", "&#65;"), "many-attributes": ("<a", " b{0}='1'"), "elements": ("<a>", "<b/>"), "deep-text": ("<a>" * 50, "x"),
    "quotes": ("<a b=\"", "'>"),
}


def fill(before, unit, size):
    text = "".join(unit.format(i) for i in range(size // len(unit))) if "{" in unit else unit * (size // len(unit))
    return before + text


for name, (before, unit) in ENDLESS.items():
    TABLE.add(f"x6-{name}-bulk-before-login", refused, "open", fill(before, unit, 1 << 20), "policy-violation")
    TABLE.add(f"x6-{name}-bulk-bound", refused, "bound", fill(before, unit, 1 << 22), "policy-violation")
    TABLE.add(f"x6-{name}-trickled-before-login", lambda world, text: world.stage("open").trickle(text, 173).error("policy-violation"),
              fill(before, unit, 2 * BEFORE))
for name in ("text", "attribute", "name", "elements"):
    TABLE.add(f"x6-{name}-trickled-bound", lambda world, text: world.stage("bound").trickle(text, 1999).error("policy-violation"),
              fill(*ENDLESS[name], 2 * AFTER))
    TABLE.add(f"x6-{name}-under-tls", refused, "direct", fill(*ENDLESS[name], 1 << 20), "policy-violation")
    TABLE.add(f"x6-{name}-before-bind", refused, "authed", fill(*ENDLESS[name], 1 << 20), "policy-violation")
for name, text in {"attribute": "<stream:stream a='" + "x" * (1 << 20), "name": "<" + "x" * (1 << 20), "white-space": " \n" * (1 << 19),
                   "white-space-in-declaration": "<?xml " + " " * (1 << 20),
                   "white-space-behind-declaration": "<?xml version='1.0'?>" + " " * (1 << 20),
                   "namespaces": "<stream:stream" + fill("", " xmlns:a{0}='urn:a'", 1 << 20)}.items():
    TABLE.add(f"x6-header-{name}-bulk", refused, "first", text, "policy-violation")
    TABLE.add(f"x6-header-{name}-trickled", lambda world, text: world.stage("first").trickle(text, 173).error("policy-violation"),
              text[:2 * BEFORE])
    TABLE.add(f"x6-header-{name}-after-login", refused, "success", text, "policy-violation")


@TABLE.attack("x6-half-a-stanza-of-many")
def x6_half(world):
    """Each holds just less than what a stranger may leave unfinished, for as long as it likes."""
    held = [world.stage("open").send("<a b='" + "x" * (TAG - 100)) for _ in range(40)]
    world.pair.round()
    assert not any(conn.step(0) or conn.is_over for conn in held)
    for conn in held:
        conn.send("x" * 1000).error("policy-violation")


@TABLE.attack("x6-just-below-passes")
def x6_below(world):
    world.plain().open(HOST, f" a='{'x' * (HEADER - 400)}'")
    passes(world, f"<body>{'y' * (AFTER - 6000)}</body>", text="y" * (AFTER - 6000))


@TABLE.attack("x6-white-space-between-stanzas-passes")
def x6_white_space(world):
    """It keeps alive, costs nothing, and is not kept (RFC 6120 4.6.1)."""
    world.stage("bound").send(" \n" * (1 << 20)).ping()


# ---- X7: depth ---------------------------------------------------------------------------------------------------------------------

for where in ("open", "direct", "authed", "bound"):
    TABLE.add(f"x7-million-tags-{where}", refused, where, "<a>" * (1 << 20), "policy-violation")
TABLE.add("x7-million-names", refused, "bound", "".join(f"<a{i}>" for i in range(1 << 18)), "policy-violation")
TABLE.add("x7-million-namespaces", refused, "bound", "".join(f"<a xmlns='urn:{i}'>" for i in range(1 << 16)), "policy-violation")
TABLE.add("x7-trickled", lambda world: world.stage("bound").trickle("<a>" * 3000, 1000).error("policy-violation"))
TABLE.add("x7-in-message", lambda world: world.stage("bound").send(to_bob(world, "<a>" * 5000)).error("policy-violation"))
TABLE.add("x7-in-iq-to-server", refused, "bound", "<iq type='get' id='1'>" + "<query xmlns='jabber:iq:roster'>" * 5000, "policy-violation")
TABLE.add("x7-in-sasl", refused, "direct", f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>" + "<a>" * 500, "policy-violation")


TABLE.add("x7-102-levels", refused, "bound", "<a>" * 102, "policy-violation")
TABLE.add("x7-102-levels-closed", refused, "bound", "<a>" * 102 + "</a>" * 102, "policy-violation")
TABLE.add("x7-102-levels-before-login", refused, "open", "<a>" * 102, "policy-violation")


@TABLE.attack("x7-99-levels-pass")
def x7_levels(world):
    got = passes(world, "<a xmlns='urn:a'>" * 99 + "</a>" * 99)
    assert len(list(got.iter())) == 100


# ---- X8: attributes ----------------------------------------------------------------------------------------------------------------

def attributes(count, unit=" a{0}='1'"):
    return "".join(unit.format(i) for i in range(count))


def old_hash(name, bits):
    value = 0
    for c in name.encode():
        value = (value * 0xF4243) ^ c
    return value & ((1 << bits) - 1)


def colliding(count, bits=8):
    """Names that fall together in expat's hash of before CVE-2012-0876, which had no salt."""
    rng, found = random.Random(1), []
    while len(found) < count:
        name = "".join(rng.choice("abcdefghijklmnop") for _ in range(10))
        if old_hash(name, bits) == 0:
            found.append(name)
    return found


for where in ("open", "bound"):
    TABLE.add(f"x8-60000-attributes-{where}", refused, where, f"<a{attributes(60000)}/>", "policy-violation")
    TABLE.add(f"x8-60000-declarations-{where}", refused, where, "<a" + attributes(60000, " xmlns:a{0}='u'") + "/>", "policy-violation")
    TABLE.add(f"x8-60000-attributes-unfinished-{where}", refused, where, f"<a{attributes(60000)}", "policy-violation")
TABLE.add("x8-101-attributes", refused, "bound", f"<message{attributes(101)}/>", "policy-violation")
TABLE.add("x8-101-attributes-before-login", refused, "open", f"<a{attributes(101)}/>", "policy-violation")
TABLE.add("x8-51-declarations", refused, "bound", "<message" + attributes(51, " xmlns:a{0}='u'") + "/>", "policy-violation")
TABLE.add("x8-header-attributes", refused, "first", header(HOST, attributes(101)), "policy-violation")
TABLE.add("x8-header-declarations", refused, "first", header(HOST, attributes(51, " xmlns:a{0}='u'")), "policy-violation")
TABLE.add("x8-same-attribute-by-two-prefixes", refused, "bound", "<message xmlns:a='u' xmlns:b='u' a:c='1' b:c='2'/>", "not-well-formed")
TABLE.add("x8-same-declaration-twice", refused, "bound", "<message xmlns:a='u' xmlns:a='v'/>", "not-well-formed")


@TABLE.attack("x8-100-attributes-pass")
def x8_attributes(world):
    passes(world, f"<a xmlns='urn:a'{attributes(100)}/>", attr={f"a{i}": "1" for i in range(100)})


@TABLE.attack("x8-colliding-names")
def x8_colliding(world):
    """A few thousand attributes and elements whose names fell together in an unsalted table: a stream like any other."""
    names, conn = colliding(300), world.stage("bound")
    tags = "".join(f"<{name}/>" for name in names)
    for at in range(0, 300, 100):
        values = "".join(f" {name}='1'" for name in names[at:at + 100])
        conn.send(f"<message to='carol@{HOST}/none' type='error'><a{values}/>{tags}</message>" * 8)
        conn.ping()


# ---- X9: memory many times the size on the wire ------------------------------------------------------------------------------------

TINY = {
    "children": "<message>" + "<a/>" * 60000 + "</message>", "children-and-text": "<message>" + "<a/>b" * 40000 + "</message>",
    "attributes": "<message>" + f"<a{attributes(90, ' a{0}=' + chr(39) * 2)}/>" * 250 + "</message>",
    "namespaces": "<message>" + "<a xmlns='b'/>" * 17000 + "</message>",
    "references": "<message><body>" + "&lt;<a/>" * 30000 + "</body></message>",
    "short-names-in-a-long-namespace": f"<message xmlns:n='urn:{'n' * 10000}'>" + "<n:a/>" * 1000 + "</message>",
    "short-attributes-in-a-long-namespace": f"<message xmlns:n='urn:{'n' * 10000}'>" + "<a n:a='1'/>" * 1000 + "</message>",
    "nested": "<message>" + ("<a>" * 90 + "</a>" * 90) * 380 + "</message>",
}
for name, text in TINY.items():
    assert len(text) < AFTER, (name, len(text))
    TABLE.add(f"x9-{name}", refused, "bound", text, "policy-violation")
TABLE.add("x9-children-before-login", refused, "open", "<x>" + "<a/>" * 2500 + "</x>", "policy-violation")
TABLE.add("x9-children-under-tls", refused, "direct", "<x>" + "<a/>" * 2500 + "</x>", "policy-violation")
TABLE.add("x9-children-trickled", lambda world: world.stage("bound").trickle(TINY["children"], 3001).error("policy-violation"))
TABLE.add("x9-to-by-stander", lambda world: world.stage("bound").send(to_bob(world, "<a/>" * 60000) + "</message>").error("policy-violation"))


# ---- X10: in pieces ----------------------------------------------------------------------------------------------------------------

@TABLE.attack("x10-header")
def x10_header(world):
    for size in (1, 2, 3):
        world.plain().trickle(header(HOST), size).until("</stream:features>")


def x10_stanza(world, size):
    """A long tag acts when its last byte has come, not later; nothing is sent behind it."""
    receiver, sender, value = world.session("carol"), world.stage("bound"), "v" * (1200 * size)
    sender.trickle(f"<message to='{receiver.jid}'><a xmlns='urn:a' b='{value}'/><body>é&amp;</body></message>", size)
    got = receiver.stanza()
    assert got[0].get("b") == value and got[1].text == "é&", list(got)


for size in (1, 2, 3):
    TABLE.add(f"x10-stanza-by-{size}", x10_stanza, size)


@TABLE.attack("x10-whole-login-by-single-bytes")
def x10_login(world):
    conn = world.plain()
    conn.trickle(header(HOST) + STARTTLS, 1).until("<proceed[^>]*>")
    conn.handshake(world.context, HOST, piece=7).trickle(header(HOST), 1).until("</stream:features>")
    exchange = Scram("eve", PASSWORD)
    conn.trickle(f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-256'>{b64(exchange.first())}</auth>", 1)
    conn.trickle(f"<response xmlns='{NS_SASL}'>{b64(exchange.final(conn.sasl()[1]))}</response>", 1)
    assert conn.sasl() == ("success", exchange.signature())
    conn.trickle(header(HOST), 1).until("</stream:features>")
    conn.bind("pieces").trickle("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>", 1)
    assert conn.stanza().get("type") == "result"


@TABLE.attack("x10-cut-within-tags")
def x10_cut(world):
    """Each way to cut a short stanza in two packets."""
    text = "<iq type='get' id='é&lt;'><ping xmlns='urn:xmpp:ping'/></iq>".encode()
    conn = world.stage("bound")
    for at in range(1, len(text)):
        conn.send(text[:at]).send(text[at:])
        assert conn.stanza().get("id") == "é<"


# ---- X11: line breaks --------------------------------------------------------------------------------------------------------------

LINES = {  # in text; what must arrive
    "cr-reference": ("a&#13;b", "a\rb"), "crlf-references": ("a&#13;&#10;b", "a\r\nb"), "hex-references": ("a&#xD;&#xA;b&#x9;c", "a\r\nb\tc"),
    "crlf": ("a\r\nb", "a\nb"), "cr": ("a\rb", "a\nb"), "cr-in-cdata": ("<![CDATA[a\r\nb\rc]]>", "a\nb\nc"), "crcrlf": ("a\r\r\nb", "a\n\nb"),
    "cr-reference-before-lf": ("a&#13;\nb", "a\r\nb"), "last": ("a&#13;", "a\r"), "alone": ("&#13;", "\r"), "many": ("&#13;" * 999, "\r" * 999),
    "next-line": ("a\u0085b\u2028c", "a\u0085b\u2028c"),
}
VALUES = {  # in an attribute
    "cr-reference": ("a&#13;b", "a\rb"), "lf-reference": ("a&#10;b", "a\nb"), "tab-reference": ("a&#9;b", "a\tb"), "lf": ("a\nb", "a b"),
    "crlf": ("a\r\nb", "a b"), "tab": ("a\tb", "a b"), "mixed": ("&#13;&#10;\r\n&#9;\t", "\r\n \t "),
}
for name, (sent, wanted) in LINES.items():
    TABLE.add(f"x11-text-{name}", lambda world, sent, wanted: passes(world, f"<body>{sent}</body>", text=wanted), sent, wanted)
for name, (sent, wanted) in VALUES.items():
    TABLE.add(f"x11-attribute-{name}", lambda world, sent, wanted: passes(world, f"<a xmlns='urn:a' b='{sent}'/>", attr={"b": wanted}),
              sent, wanted)


@TABLE.attack("x11-cut-between-cr-and-lf")
def x11_cut(world):
    receiver, sender = world.session("carol"), world.stage("bound")
    sender.send(f"<message to='{receiver.jid}'><body>a\r").send("\nb</body></message>\r").send("\n").ping()
    assert receiver.stanza().findtext(CLIENT + "body") == "a\nb"


@TABLE.attack("x11-id-of-answers")
def x11_id(world):
    conn = world.stage("bound").send("<iq type='get' id='a&#13;&#10;b&#9;&lt;&apos;\"'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert conn.stanza().get("id") == "a\r\nb\t<'\""


# ---- X12: out of turn --------------------------------------------------------------------------------------------------------------

def stanzas(bob):
    return {"message": f"<message to='{bob}' type='chat'><body>{MARK}</body></message>", "presence": f"<presence to='{bob}'/>",
            "iq": f"<iq to='{bob}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "broadcast": "<presence/>",
            "roster": "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "session": "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
            "forged": f"<message from='alice@{HOST}/a' to='{bob}'><body>{MARK}</body></message>"}


def x12_early(world, where, kind):
    conn = world.stage(where).send(stanzas(world.pair.bob)[kind])
    conn.error("not-authorized")


for kind in stanzas(""):
    for where in ("open", "tls", "direct", "authed"):
        TABLE.add(f"x12-{kind}-{where}", x12_early, where, kind)


def x12_exchange(world, kind):
    """Between the steps of SASL."""
    conn = world.stage("direct")
    assert conn.auth("SCRAM-SHA-256", Scram("eve", PASSWORD).first())[0] == "challenge"
    conn.send(stanzas(world.pair.bob)[kind]).error("not-authorized")


for kind in ("message", "iq"):
    TABLE.add(f"x12-{kind}-between-sasl-steps", x12_exchange, kind)
for kind in ("message", "presence", "iq"):  # no stream at all: the root's namespace is not that of streams
    TABLE.add(f"x12-{kind}-first", lambda world, kind: world.stage("first").send(stanzas(world.pair.bob)[kind]).error("invalid-namespace"), kind)
    TABLE.add(f"x12-{kind}-after-success", lambda world, kind: world.stage("success").send(
        stanzas(world.pair.bob)[kind].replace(" ", " xmlns='jabber:client' ", 1)).error("invalid-namespace"), kind)


@TABLE.attack("x12-after-the-end")
def x12_after_end(world):
    for behind in stanzas(world.pair.bob).values():
        conn = world.stage("bound").send("</stream:stream>" + behind)
        assert conn.to_end() == "</stream:stream>", conn.text()


@TABLE.attack("x12-whole-session-after-the-end")
def x12_session_after_end(world):
    conn = world.stage("bound").send("</stream:stream>" + header(HOST) + to_bob(world, "<body>a</body></message>"))
    assert conn.to_end() == "</stream:stream>", conn.text()


@TABLE.attack("x12-after-an-error")
def x12_after_error(world):
    conn = world.stage("bound").send("<!-- -->" + to_bob(world, "<body>a</body></message>"))
    conn.error("restricted-xml")


ODD = {
    "unknown": ("<foo xmlns='urn:foo'/>", "unsupported-stanza-type"), "features": ("<stream:features/>", "unsupported-stanza-type"),
    "server-stanza": ("<message xmlns='jabber:server' from='a@b' to='bob@one.test'/>", "invalid-namespace"),
    "success": (f"<success xmlns='{NS_SASL}'/>", "not-authorized"), "challenge": (f"<challenge xmlns='{NS_SASL}'/>", "not-authorized"),
    "proceed": ("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "not-authorized"),
    "component-handshake": ("<handshake xmlns='jabber:component:accept'>ab</handshake>", "unsupported-stanza-type"),
    "dialback": ("<db:result xmlns:db='jabber:server:dialback' from='a.test' to='one.test'>k</db:result>", "unsupported-stanza-type"),
    "resume": ("<resume xmlns='urn:xmpp:sm:3' previd='1' h='0'/>", "unsupported-stanza-type"),
    "second-header": (header(HOST)[21:] + f"<presence/><message to='bob@{HOST}/b'><body>{MARK}</body></message></stream:stream>",
                      "not-authorized"), "text": (f"hello {MARK}", "bad-format"),
}
for name, (text, condition) in ODD.items():
    for where in ("open", "direct", "authed", "bound"):
        TABLE.add(f"x12-{name}-{where}", refused, where, text, condition)


@TABLE.attack("x12-error-of-the-client")
def x12_client_error(world):
    for where in ("open", "bound"):
        conn = world.stage(where).send("<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
                                       + to_bob(world, "<body>a</body></message>"))
        assert conn.to_end() == "</stream:stream>", conn.text()


@TABLE.attack("x12-pipelined-before-login")
def x12_pipelined(world):
    """All in one packet, as if each step had been answered."""
    world.plain().send(header(HOST) + to_bob(world, "<body>a</body></message>")).error("not-authorized", before=r"(?s).*</stream:features>")


# ---- X13: other protocols ----------------------------------------------------------------------------------------------------------

def client_hello():
    out, context = ssl.MemoryBIO(), ssl.create_default_context()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=HOST)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


OTHERS = {
    "http-get": f"GET /{MARK} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "http-post": f"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{MARK}".encode(),
    "http-with-stream": b"POST / HTTP/1.1\r\n\r\n" + header(HOST).encode(), "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "websocket": f"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {MARK}\r\n\r\n".encode(),
    "ssh": f"SSH-2.0-{MARK}\r\n".encode(), "smtp": f"EHLO {MARK}\r\nMAIL FROM:<a@b>\r\n".encode(),
    "irc": f"NICK {MARK}\r\nUSER a b c :d\r\n".encode(),
    "sip": f"OPTIONS sip:{MARK} SIP/2.0\r\n\r\n".encode(), "telnet": b"\xff\xfd\x03\xff\xfb\x18", "socks": b"\x05\x01\x00",
    "dns": b"\0\x1d\x12\x34\1\0\0\1\0\0\0\0\0\0",
    "ldap": b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\0\x80\0", "rdp": b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0",
    "html": f"<html>{MARK}</html>".encode(),
    "json": b'{"jsonrpc":"2.0"}', "proxy-1": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + header(HOST).encode(),
    "proxy-2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + header(HOST).encode(), "zeroes": bytes(4096), "tls-alert": b"\x15\3\1\0\2\2\x28",
    "sslv2": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(range(40)),
}


def x13_plain(world, data):
    """One stream error on a stream that the server opens itself (RFC 6120 4.9.1.2), closed, none of ours in it."""
    conn = world.stage("first").send(data)
    conn.error("not-well-formed", "unsupported-encoding", "invalid-namespace", before=r"<\?xml version='1.0'\?><stream:stream [^>]*>")
    assert MARK not in conn.text()


def x13_direct(world, data):
    """Where TLS begins at once: an alert or nothing, never XML."""
    conn = world.plain(world.direct).send(data.ljust(11, b"\0"))  # at least the head of a record and of a handshake
    conn.to_end()
    answer = bytes(conn.raw)
    assert answer == b"" or (answer[0] == 0x15 and len(answer) <= 14), answer


for name, data in OTHERS.items():
    TABLE.add(f"x13-{name}", x13_plain, data)
    TABLE.add(f"x13-{name}-on-the-tls-port", x13_direct, data)
TABLE.add("x13-client-hello", lambda world: x13_plain(world, client_hello()))
TABLE.add("x13-xmpp-on-the-tls-port", x13_direct, header(HOST).encode())
TABLE.add("x13-starttls-on-the-tls-port", x13_direct, (header(HOST) + STARTTLS).encode())
TABLE.add("x13-http-within-tls", lambda world: refused(world, "tls", OTHERS["http-get"], "bad-format"))


@TABLE.attack("x13-http-first-within-tls")
def x13_http_within(world):
    conn = world.secure().send(OTHERS["http-get"]).error("not-well-formed")
    assert MARK not in conn.text()


def x13_random(world, seed):
    rng = random.Random(seed)
    for size in (40, 3000, 100000):
        data = rng.choice(b"\x05\x7fAz\x80\xff").to_bytes(1, "big") + rng.randbytes(size) + b"\xff"
        conn = world.stage("first").send(data)
        conn.error("not-well-formed", "unsupported-encoding")
        conn = world.stage("open").send(b"<" + data)
        conn.error("not-well-formed")
        conn = world.plain(world.direct).send(data[:1] + data + bytes(16))
        conn.to_end()
        assert b"<" not in conn.raw[:1], conn.raw


for seed in range(6):
    TABLE.add(f"x13-random-{seed}", x13_random, seed)


# ---- X14: headers ------------------------------------------------------------------------------------------------------------------

def stream(to=f" to='{HOST}'", version=" version='1.0'", content=" xmlns='jabber:client'", ns=NS_STREAM, more="", name="stream:stream"):
    return f"<?xml version='1.0'?><{name}{to}{version}{content} xmlns:stream='{ns}'{more}>"


HEADERS = {
    "no-to": (stream(to=""), "improper-addressing"), "empty-to": (stream(to=" to=''"), "improper-addressing"),
    "unknown-host": (stream(to=" to='four.test'"), "host-unknown"), "sub-domain": (stream(to=f" to='a.{HOST}'"), "host-unknown"),
    "parent-domain": (stream(to=" to='test'"), "host-unknown"), "account": (stream(to=f" to='eve@{HOST}'"), "host-unknown"),
    "full-address": (stream(to=f" to='eve@{HOST}/a'"), "host-unknown"), "resource": (stream(to=f" to='{HOST}/a'"), "host-unknown"),
    "space": (stream(to=f" to=' {HOST}'"), "improper-addressing"), "line-break": (stream(to=f" to='{HOST}&#10;'"), "improper-addressing"),
    "long": (stream(to=f" to='{'a' * 1100}.test'"), "improper-addressing"),
    "long-label": (stream(to=f" to='{'a' * 64}.test'"), "improper-addressing"),
    "only-dots": (stream(to=" to='...'"), "improper-addressing"), "two-dots": (stream(to=" to='one..test'"), "improper-addressing"),
    "only-at": (stream(to=" to='@'"), "improper-addressing"), "no-node": (stream(to=f" to='@{HOST}'"), "improper-addressing"),
    "wildcard": (stream(to=" to='*.test'"), "improper-addressing"), "percent": (stream(to=" to='one%2etest'"), "improper-addressing"),
    "slash": (stream(to=" to='/'"), "improper-addressing"), "ipv4": (stream(to=" to='127.0.0.1'"), "host-unknown"),
    "ipv6": (stream(to=" to='[::1]'"), "host-unknown"), "look-alike": (stream(to=" to='\u043ene.test'"), "host-unknown"),
    "bad-ace": (stream(to=" to='xn--\u0430.test'"), "improper-addressing"),
    "bad-from": (stream(more=" from='@'"), "improper-addressing"), "long-from": (stream(more=f" from='{'a' * 1100}@b'"), "improper-addressing"),
    "no-version": (stream(version=""), "unsupported-version"), "version-0": (stream(version=" version='0.9'"), "unsupported-version"),
    "version-text": (stream(version=" version='one'"), "unsupported-version"),
    "version-empty": (stream(version=" version=''"), "unsupported-version"),
    "version-negative": (stream(version=" version='-1.0'"), "unsupported-version"),
    "version-no-minor": (stream(version=" version='1'"), "unsupported-version"),
    "version-huge": (stream(version=" version='99999999999999999999.0'"), "unsupported-version"),
    "server-namespace": (stream(content=" xmlns='jabber:server'"), "invalid-namespace"),
    "component-namespace": (stream(content=" xmlns='jabber:component:accept'"), "invalid-namespace"),
    "wrong-content": (stream(content=" xmlns='urn:a'"), "invalid-namespace"), "wrong-stream-namespace": (stream(ns="urn:a"), "invalid-namespace"),
    "stream-namespace-with-slash": (stream(ns=NS_STREAM + "/"), "invalid-namespace"),
    "websocket-open": (f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{HOST}' version='1.0'/>", "invalid-namespace"),
    "bosh-body": (f"<body xmlns='http://jabber.org/protocol/httpbind' to='{HOST}' rid='1'/>", "invalid-namespace"),
    "other-root": (stream(name="stream:features"), "bad-format"), "no-namespaces": (f"<stream to='{HOST}' version='1.0'>", "invalid-namespace"),
    "undeclared-prefix": (f"<stream:stream to='{HOST}' version='1.0'>", "not-well-formed"),
    "flash-policy": ("<policy-file-request/>", "invalid-namespace"),
}
for name, (text, condition) in HEADERS.items():
    TABLE.add(f"x14-{name}", refused, "first", text, condition)
for name in ("unknown-host", "account", "server-namespace", "long", "no-version"):
    TABLE.add(f"x14-{name}-after-login", lambda world, text, condition: world.stage("success").send(text).error(condition, "not-authorized"),
              *HEADERS[name])
GOOD = {
    "case": stream(to=" to='ONE.Test'"), "final-dot": stream(to=f" to='{HOST}.'"), "full-width": stream(to=" to='\uff4f\uff4e\uff45.test'"),
    "invisible": stream(to=" to='o\u200bne.te\u00adst'"),  # ignored by UTS 46
    "ideographic-dot": stream(to=" to='one\u3002test'"), "version-1.9": stream(version=" version='1.9'"),
    "version-01": stream(version=" version='01.00'"), "version-2": stream(version=" version='2.0'"),
    "prefix-free": f"<stream xmlns='{NS_STREAM}' to='{HOST}' version='1.0'>",
    "odd-prefix": header(HOST, prefix="x.y-z"), "own-id": stream(more=" id='1'"),
    "odd-attributes": stream(more=" a='b' xml:lang='tlh-x-yy' xml:space='preserve'"),
    "long-language": stream(more=f" xml:lang='{'a' * 1500}'"), "foreign-from": stream(more=" from='eve@elsewhere.test/a'"),
    "from-domain": stream(more=f" from='{OTHER}'"), "leading-white-space": "\r\n \t" + header(HOST)[21:],
}


def x14_good(world, text):
    """Odd, but to be served: under the host's prepared name, with an id of ours and without what else was said."""
    conn = world.stage("first").send(text)
    head = conn.until(r"<stream:stream ([^>]*)>").group(1)
    assert f"from='{HOST}'" in head and "version='1.0'" in head and "xml:lang='en'" in head and len(re.search("id='([^']*)'",
        head).group(1)) > 16, head
    conn.until("</stream:features>")


for name, text in GOOD.items():
    TABLE.add(f"x14-served-{name}", x14_good, text)


@TABLE.attack("x14-empty-stream")
def x14_empty(world):
    """A header that is its own end."""
    conn = world.stage("first").send(header(HOST).replace(">", "/>").replace("?/>", "?>"))
    text = conn.to_end()
    assert text.endswith("</stream:features></stream:stream>") and text.count("</stream:stream>") == 1, text


# ---- X15: the log ------------------------------------------------------------------------------------------------------------------

NOISE = {
    "line-break": "\n2026-01-01T00:00:00.000Z info  login user=FORGED", "cr": "\rFORGED", "crlf": "\r\nFORGED",
    "escape": "\x1b[31mFORGED\x1b[0m", "nul": "\0FORGED",
    "next-line": "\u0085FORGED", "csi": "\u009b31mFORGED", "line-separator": "\u2028FORGED", "bidi": "\u202eDEGROF", "isolate": "\u2066FORGED",
    "quote": "\" event=FORGED \"", "backslash": "\\\" FORGED", "fields": " level=error FORGED=1", "percent": "%s%n%x FORGED",
    "long": "FORGED" * 200,
    "json": '"}\n{"event":"FORGED"', "wide": "\U0001f480FORGED", "tab": "\tFORGED",
}


def logged(world, attack, text):
    """All lines that the attack made are the server's own, whatever is in them; returns them."""
    before = world.log_size()
    attack(world, text)
    log = world.log_of(before)
    world.check_log(log)
    assert not re.search(r"(?mi)^[^0-9]|\S info  login .*FORGED|^\S+ +\w+ +FORGED", log), log
    return log


def x15_plain(world, text):
    assert world.stage("direct").auth("PLAIN", f"\0{text}\0pw".encode())[0] == "failure"


def x15_scram(world, text):
    conn = world.stage("direct")
    kind, data = conn.auth("SCRAM-SHA-256", Scram(text, "pw").first())
    if kind == "challenge":
        kind, data = conn.respond(b"c=biws,r=x,p=" + b64("x" * 32).encode())
    assert kind == "failure", data


def escape(text):
    return "".join(c if c.isalnum() else f"&#{ord(c)};" for c in text)


def x15_resource(world, text):
    conn = world.stage("authed")
    conn.send(f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{escape(text)}</resource></bind></iq>")
    conn.until("<iq type='(result|error)' id='b'>")


def x15_header(world, text):
    conn = world.stage("first").send(stream(to=f" to='{escape(text)}'", more=f" from='{escape(text)}@{HOST}' xml:lang='{escape(text)}'"))
    conn.to_end()
    conn = world.stage("first").send(stream(more=f" from='eve@{HOST}/{escape(text)}' xml:lang='{escape(text)}'"))
    conn.pump(lambda: b"</stream:" in conn.seen)


def x15_stanzas(world, text):
    conn, bad = world.stage("bound"), escape(text)
    conn.send(f"<message to='{bad}' id='{bad}' type='{bad}'/><iq type='get' id='{bad}' to='nobody@{HOST}/{bad}'><query xmlns='urn:{bad}'/></iq>"
              f"<presence id='{bad}'><status>{bad}</status></presence><message from='{bad}' to='carol@{HOST}'/>")
    conn.until("</stream:error>|type='error'")


for name, text in NOISE.items():
    is_spoken = "\0" not in text and "\x1b" not in text
    TABLE.add(f"x15-plain-{name}", logged, x15_plain, text)
    TABLE.add(f"x15-scram-{name}", logged, x15_scram, text)
    if is_spoken:
        TABLE.add(f"x15-resource-{name}", logged, x15_resource, text)
        TABLE.add(f"x15-header-{name}", logged, x15_header, text)
        TABLE.add(f"x15-stanzas-{name}", logged, x15_stanzas, text)


@TABLE.attack("x15-name-cut-within-a-letter")
def x15_cut(world):
    """The log shows so many bytes of a name, which may end within a letter; what it writes is UTF-8 all the same."""
    for width in range(1, 5):
        log = logged(world, x15_plain, "a" * width + "\u0436\u4e2d\U00020000" * 20)
        assert "user=\"" + "a" * width + "\u0436" in log, log


@TABLE.attack("x15-names-are-there-escaped")
def x15_seen(world):
    """That the log tells of such names at all, is what makes the others say something."""
    assert r'user="forged=1\\nerror"' in logged(world, x15_plain, r"FORGED=1\nerror")
    assert r'jid="eve@one.test/FORGED\" level=error \\"' in logged(world, x15_resource, 'FORGED" level=error \\')
