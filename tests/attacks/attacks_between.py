"""Threats, table "Stanzas between users" (U1 to U5, U7, U9): what one account says in the name of another or of the server, asks of another's
data, and sends in floods. The victim is carol; the by-standers get nothing of it."""
import xml.etree.ElementTree as ET

from attacks_conn import CLIENT
from attacks_world import HOST, OTHER, Table, World

TABLE = Table("between")
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
CAROL, NOBODY = f"carol@{HOST}", f"nobody@{HOST}"
FAST = 'c2s_rate = "0"\n'


def make_world():
    return World("between", accounts=("dave",), more=FAST)


def sent(conn, data):
    """All that comes back until the server has done everything that was sent."""
    conn.send(data)
    conn.send("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>")
    got = []
    while True:
        element = conn.stanza()
        if element.get("id") == "sync":
            return got
        got.append(element)


def heard(conn):
    """What a session has been sent so far, its own answers aside."""
    return sent(conn, "")


def condition(element):
    error = element.find(CLIENT + "error")
    return next((c.tag.removeprefix(STANZAS) for c in error if c.tag.startswith(STANZAS)), None) if error is not None else None


def pair(world):
    return world.session("eve", "e"), world.session("carol", "c")


# ---- U1: forged senders ----------------------------------------------------------------------------------------------------------------------

def forged_sender(world, stanza, sender):
    eve, carol = pair(world)
    heard(carol)
    carol.send(f"<presence to='eve@{HOST}/e'/>")
    heard(eve)
    assert not [e for e in sent(eve, stanza.format(to=CAROL + "/c", f=sender)) if e.tag != CLIENT + "presence"]
    got = heard(carol)
    assert len(got) == 1 and got[0].get("from") == f"eve@{HOST}/e", [ET.tostring(e) for e in got]


MESSAGE = "<message from='{f}' to='{to}' id='x'><body>x</body></message>"
for name, forged in (("user", "alice@" + HOST), ("resource", f"alice@{HOST}/a"), ("host", HOST), ("other-host", f"a@{OTHER}"), ("far", "a@far.test"),
                     ("own-other", f"eve@{HOST}/other"), ("malformed", "@@"), ("empty", "")):
    TABLE.add(f"u1-message-{name}", forged_sender, MESSAGE, forged)
TABLE.add("u1-presence", forged_sender, "<presence from='{f}' to='{to}'/>", f"alice@{HOST}/a")
TABLE.add("u1-request", forged_sender, "<iq type='get' id='x' from='{f}' to='{to}'><q xmlns='x:y'/></iq>", f"alice@{HOST}/a")
TABLE.add("u1-answer", forged_sender, "<iq type='result' id='x' from='{f}' to='{to}'/>", HOST)


# ---- U2: recipients ----------------------------------------------------------------------------------------------------------------------------

def bad_recipient(world, to):
    eve = world.session("eve")
    for kind in ("<message id='x' to='{}'><body>x</body></message>", "<presence id='x' to='{}'/>", "<iq type='get' id='x' to='{}'><q xmlns='x:y'/></iq>"):
        got = sent(eve, kind.format(to))
        assert [condition(e) for e in got] == ["jid-malformed"] and got[0].get("from") == HOST, [ET.tostring(e) for e in got]


for name, to in (("empty", ""), ("no-host", "carol@"), ("no-name", f"@{HOST}"), ("two-at", f"a@b@{HOST}"), ("space", f"a b@{HOST}"),
                 ("long-name", "a" * 1024 + "@" + HOST), ("long-resource", f"{CAROL}/" + "a" * 1024), ("long-host", "a." * 600 + "test"),
                 ("bidi", f"a\u202eb@{HOST}"), ("quote", f"a&quot;b@{HOST}")):
    TABLE.add(f"u2-{name}", bad_recipient, to)


# ---- U3: answers and errors ------------------------------------------------------------------------------------------------------------------

ERROR = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


@TABLE.attack("u3-errors-are-never-answered")
def u3_errors(world):
    eve = world.session("eve", "e")
    for to in (CAROL, CAROL + "/gone", NOBODY, NOBODY + "/x", HOST, HOST + "/x", OTHER, "far.test", "a@far.test", f"eve@{HOST}", f"eve@{HOST}/gone", "@@"):
        for stanza in (f"<message type='error' to='{to}' id='x'>{ERROR}</message>", f"<presence type='error' to='{to}' id='x'>{ERROR}</presence>",
                       f"<iq type='error' to='{to}' id='x'>{ERROR}</iq>", f"<iq type='result' to='{to}' id='x'/>", f"<iq type='result' to='{to}'/>",
                       f"<iq type='error' to='{to}' id='x'/>"):
            got = sent(eve, stanza)
            assert not got, (stanza, [ET.tostring(e) for e in got])


@TABLE.attack("u3-two-that-return-everything")
def u3_loop(world):
    """Both ends answer whatever comes, errors too: nothing grows, and nothing is made by the server."""
    eve, carol = pair(world)
    assert not sent(eve, f"<message to='{CAROL}/c' id='x'><body>x</body></message>")
    for turn in range(50):
        for here, to in ((carol, f"eve@{HOST}/e"), (eve, f"{CAROL}/c")):
            got = heard(here)
            assert len(got) == 1, (turn, [ET.tostring(e) for e in got])
            assert not sent(here, f"<message type='error' to='{to}' id='x'>{ERROR}</message>")
    assert len(heard(carol)) == 1
    carol.close()
    assert not sent(eve, f"<message type='error' to='{CAROL}/c' id='x'>{ERROR}</message>" * 50)


@TABLE.attack("u3-request-of-a-stranger")
def u3_stranger(world):
    """RFC 6121 8.5.3.1: as if there were no such session."""
    eve, carol = pair(world)
    for resource in ("c", "gone"):
        for kind in ("get", "set"):
            got = sent(eve, f"<iq type='{kind}' id='x' to='{CAROL}/{resource}'><q xmlns='x:y'/></iq>")
            assert [condition(e) for e in got] == ["service-unavailable"], [ET.tostring(e) for e in got]
    assert not heard(carol)


# ---- U4: what only the server says -----------------------------------------------------------------------------------------------------------

FORGED = {
    "delay": f"<delay xmlns='urn:xmpp:delay' from='{HOST}' stamp='2001-01-01T00:00:00Z'/>",
    "delay-spelling": f"<delay xmlns='urn:xmpp:delay' from='{HOST.upper()}.' stamp='2001-01-01T00:00:00Z'/>",
    "delay-prefixed": f"<d:delay xmlns:d='urn:xmpp:delay' from='{HOST}' stamp='2001-01-01T00:00:00Z'/>",
    "delay-escaped": f"<delay xmlns='urn:xmpp:del&#97;y' from='one&#46;test' stamp='2001-01-01T00:00:00Z'/>",
    "delay-other-host": f"<delay xmlns='urn:xmpp:delay' from='{OTHER}' stamp='2001-01-01T00:00:00Z'/>",
    "old-delay": f"<x xmlns='jabber:x:delay' from='{HOST}' stamp='20010101T00:00:00'/>",
    "stanza-id": f"<stanza-id xmlns='urn:xmpp:sid:0' id='x' by='{CAROL}'/>",
    "stanza-id-own": f"<stanza-id xmlns='urn:xmpp:sid:0' id='x' by='eve@{HOST}'/>",
    "stanza-id-spelling": f"<stanza-id xmlns='urn:xmpp:sid:0' id='x' by='CAROL@{HOST.upper()}'/>",
    "archived": f"<archived xmlns='urn:xmpp:mam:tmp' id='x' by='{CAROL}'/>",
    "archive-result": "<result xmlns='urn:xmpp:mam:2' id='x' queryid='q'><forwarded xmlns='urn:xmpp:forward:0'/></result>",
    "carbon-sent": "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></sent>",
    "carbon-received": "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></received>",
    "occupant-id": "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='x'/>",
    "room-status": "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x>",
    "room-invitation": f"<x xmlns='http://jabber.org/protocol/muc#user'><invite from='alice@{HOST}'/></x>",
}


def forged_mark(world, mark):
    """Neither live, nor kept and then given, nor to the own account, does anybody get it."""
    eve, carol = pair(world)
    got = sent(eve, f"<message to='{CAROL}/c' type='chat' id='1'>{mark}<body>x</body>{mark}</message>"
                    f"<message to='dave@{HOST}' type='chat' id='2'>{mark}<body>x</body></message>"
                    f"<message to='eve@{HOST}/e' type='chat' id='3'>{mark}<body>x</body></message>")
    assert [(e.get("id"), [c.tag for c in e]) for e in got] == [("3", [CLIENT + "body"])], [ET.tostring(e) for e in got]
    got = heard(carol)
    assert [[c.tag for c in e] for e in got] == [[CLIENT + "body"]], [ET.tostring(e) for e in got]
    dave = world.session("dave")
    dave.send("<presence/>")
    while (kept := dave.stanza()).tag != CLIENT + "message":
        pass
    got = [kept, *heard(dave)]
    assert len(got) == 1 and [c.tag for c in got[0]] == [CLIENT + "body", "{urn:xmpp:delay}delay"], [ET.tostring(e) for e in got]
    assert not got[0][1].get("stamp").startswith("2001")


for name, mark in FORGED.items():
    TABLE.add(f"u4-{name}", forged_mark, mark)


@TABLE.attack("u4-roster-push")
def u4_push(world):
    eve, carol = pair(world)
    push = f"<query xmlns='jabber:iq:roster'><item jid='eve@{HOST}' subscription='both'/></query>"
    got = sent(eve, f"<iq type='set' id='x' to='{CAROL}/c' from='{CAROL}'>{push}</iq><iq type='set' id='y' to='{CAROL}'>{push}</iq>")
    assert [e.get("type") for e in got] == ["error"] * 2 and not heard(carol)


# ---- U5: another's data ----------------------------------------------------------------------------------------------------------------------

PAYLOADS = {
    "roster": "<query xmlns='jabber:iq:roster'/>",
    "private": "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    "vcard": "<vCard xmlns='vcard-temp'/>",
    "register": "<query xmlns='jabber:iq:register'/>",
    "archive": "<query xmlns='urn:xmpp:mam:2'/>",
    "archive-prefs": "<prefs xmlns='urn:xmpp:mam:2'/>",
    "blocklist": "<blocklist xmlns='urn:xmpp:blocking'/>",
    "last": "<query xmlns='jabber:iq:last'/>",
    "ping": "<ping xmlns='urn:xmpp:ping'/>",
    "disco": "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "carbons": "<enable xmlns='urn:xmpp:carbons:2'/>",
}


def anothers_data(world, payload):
    """Refused; above all, never answered from the asker's own data (conclusion 7)."""
    eve = world.session("eve", "e")
    for to in (CAROL, NOBODY, CAROL + "/gone"):
        for kind in ("get", "set"):
            eve.send(f"<iq type='{kind}' id='x' to='{to}'>{payload}</iq>")
            got = [eve.stanza()]  # a handler may have waited: behind it comes no other
            got += heard(eve)
            assert [(e.get("type"), e.get("from")) for e in got] == [("error", to)], [ET.tostring(e) for e in got]


for name, payload in PAYLOADS.items():
    TABLE.add(f"u5-{name}", anothers_data, payload)


# ---- U7: presence of others --------------------------------------------------------------------------------------------------------------------

def hidden(world, stanza):
    """The same of an account that is there as of none: nothing."""
    eve = world.session("eve", "e")
    carol = world.session("carol", "c")
    sent(carol, "<presence/>")
    sent(eve, "<presence/>")
    told = [[ET.tostring(e) for e in sent(eve, stanza.format(to))] for to in (CAROL, NOBODY, f"dave@{HOST}")]
    assert told == [[], [], []], told


for name, stanza in (("probe", "<presence type='probe' to='{}'/>"), ("subscribed", "<presence type='subscribed' to='{}'/>"),
                     ("unsubscribed", "<presence type='unsubscribed' to='{}'/>"), ("unsubscribe", "<presence type='unsubscribe' to='{}'/>"),
                     ("available", "<presence to='{}'/>"), ("message", "<message type='chat' to='{}'><body>x</body></message>"),
                     ("headline", "<message type='headline' to='{}'><body>x</body></message>")):
    TABLE.add(f"u7-{name}", hidden, stanza)


# ---- U9: floods --------------------------------------------------------------------------------------------------------------------------------

def flood(world, stanza, answers):
    """At most one answer each, and the by-standers go on (the runner has a round meanwhile). Who asks on without reading is cut off when
    the answers reach the bound of its queue (table R2), so answers that are large are read in between."""
    eve = world.session("eve", "e")
    got = []
    for first in range(0, 1000, 50):
        got += sent(eve, "".join(stanza.format(i) for i in range(first, first + 50)))
    assert len(got) == answers, (len(got), ET.tostring(got[0]) if got else "")


for name, stanza, answers in (
        ("messages-to-nobody", f"<message id='x' to='nobody{{0}}@{HOST}'><body>x</body></message>", 0),
        ("requests-to-nobody", f"<iq type='get' id='x' to='nobody{{0}}@{HOST}'><q xmlns='x:y'/></iq>", 1000),
        ("presence-to-nobody", f"<presence type='subscribe' to='nobody@{HOST}' id='{{0}}'/>", 0),
        ("disco", f"<iq type='get' id='x' to='{HOST}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", 1000),
        ("far-domains", "<message id='x' to='a@d{0}.far.test'><body>x</body></message>", 1000),
        ("far-errors", "<message type='error' id='x' to='a@d{0}.far.test'/>", 0)):
    TABLE.add(f"u9-{name}", flood, stanza, answers)
