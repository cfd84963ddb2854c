"""Threats, table "SASL, bind, stream management" (A1 to A12)."""
import base64
import hashlib
import os
import re
import ssl

from attacks_conn import NS_SASL, Scram, b64, fields, header
from attacks_world import CLIENT, HOST, OTHER, PASSWORD, THIRD, Table, World, openssl, wait_for

TABLE = Table("sasl")
FAST = 'c2s_rate = "0"\n'  # attackers of any speed
MECHANISMS = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")


def make_world():
    world = World("sasl", ("mallory", "kate", "peter", "many"), more=FAST + 'c2s_client_ca = "ca.pem"\n')
    world.add("eve", OTHER)
    return world


def plain(user, password=PASSWORD, authzid=""):
    return f"{authzid}\0{user}\0{password}".encode("utf-8", "surrogatepass")


def refused(world, data, *conditions, mechanism="PLAIN", host=HOST):
    """One <auth/>: this failure; the stream goes on and is nobody's."""
    conn = world.stage("direct", host)
    kind, what = conn.auth(mechanism, data)
    assert kind == "failure" and what in conditions, (kind, what)
    conn.send(f"<message to='{world.pair.bob}'><body>a</body></message>").error("not-authorized")


def identity(world, conn):
    """Who the session says to be, and is to others."""
    conn.open(HOST)
    conn.bind()
    receiver = world.session("carol")
    conn.send(f"<message to='{receiver.jid}' type='chat'><body>who</body></message>")
    assert receiver.stanza().get("from") == conn.jid
    return conn.jid.split("/")[0]


# ---- A1: somebody else's authorization identity ------------------------------------------------------------------------------------

FOREIGN = {
    "other-account": f"alice@{HOST}", "other-name": "alice", "same-name-elsewhere": f"eve@{OTHER}", "domain": HOST, "full-address": f"eve@{HOST}/r",
    "admin": f"admin@{HOST}", "garbage": "@@//", "long": "a" * 2000, "sub-domain": f"eve@a.{HOST}", "own-name-alone": "eve",
    "invisible": f"eve\u200b@{HOST}",
    "look-alike": f"\u0435ve@{HOST}", "space": f" eve@{HOST}", "both": f"eve@{HOST},alice@{HOST}",
}


def a1_plain(world, authzid):
    refused(world, plain("eve", authzid=authzid), "invalid-authzid")


def a1_scram(world, authzid):
    text = authzid.replace("=", "=3D").replace(",", "=2C")
    for mechanism in MECHANISMS:
        refused(world, Scram("eve", PASSWORD, gs2=f"n,a={text},").first(), "invalid-authzid", mechanism=mechanism)


for name, authzid in FOREIGN.items():
    TABLE.add(f"a1-plain-{name}", a1_plain, authzid)
    TABLE.add(f"a1-scram-{name}", a1_scram, authzid)


@TABLE.attack("a1-own-identity-is-taken")
def a1_own(world):
    for authzid in (f"eve@{HOST}", f"EVE@One.Test", f"eve@{HOST}."):
        conn = world.stage("direct")
        assert conn.auth("PLAIN", plain("eve", authzid=authzid))[0] == "success", authzid
        assert identity(world, conn) == f"eve@{HOST}"
        conn = world.stage("direct")
        assert conn.scram("eve", PASSWORD, gs2=f"n,a={authzid},")[0] == "success", authzid
        assert identity(world, conn) == f"eve@{HOST}"


@TABLE.attack("a1-from-of-the-header")
def a1_from(world):
    """RFC 6120 6.4.6: who said to be alice under TLS does not log in as eve."""
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        conn = world.secure()
        conn.open(HOST, f" from='alice@{HOST}'")
        if mechanism == "PLAIN":
            conn.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{b64(plain('eve'))}</auth>").error("invalid-from")
        else:
            exchange = Scram("eve", PASSWORD)
            challenge = conn.auth(mechanism, exchange.first())[1]
            conn.send(f"<response xmlns='{NS_SASL}'>{b64(exchange.final(challenge))}</response>").error("invalid-from")


@TABLE.attack("a1-from-of-the-second-header")
def a1_second(world):
    """After the login a header names nobody into being: the session is the login's."""
    conn = world.stage("success")
    conn.open(HOST, f" from='alice@{HOST}'")
    assert conn.bind().jid.startswith(f"eve@{HOST}/")


@TABLE.attack("a1-external-without-certificate")
def a1_external(world):
    """Not offered to who shows no certificate, and refused."""
    for where in ("open", "tls", "direct"):
        for data in (None, b"", b"alice@one.test", b"eve@one.test"):
            conn = world.stage(where)
            kind, what = conn.auth("EXTERNAL", data)
            if kind == "challenge":
                kind, what = conn.respond(data or b"")
            assert kind == "failure", what
        conn = world.plain() if where == "open" else world.secure()
        assert "EXTERNAL" not in conn.open(HOST)


ADDRESS = "otherName:1.3.6.1.5.5.7.8.5;"
GOOD = (f"subjectAltName={ADDRESS}UTF8:eve@{HOST}",)
CERTIFICATES = {  # by authority, and extensions; none of these is anybody here
    "other-host": ("ca", f"subjectAltName={ADDRESS}UTF8:eve@elsewhere.test"), "resource": ("ca", f"subjectAltName={ADDRESS}UTF8:eve@{HOST}/r"),
    "domain": ("ca", f"subjectAltName={ADDRESS}UTF8:{HOST}"), "look-alike": ("ca", f"subjectAltName={ADDRESS}UTF8:ev\u0435@{HOST}"),
    "sub-domain": ("ca", f"subjectAltName={ADDRESS}UTF8:eve@a.{HOST}"),
    "empty": ("ca", f"subjectAltName={ADDRESS}UTF8:"),
    "ia5": ("ca", f"subjectAltName={ADDRESS}IA5STRING:eve@{HOST}"), "mail": ("ca", f"subjectAltName=email:eve@{HOST}"),
    "dns": ("ca", f"subjectAltName=DNS:{HOST}"), "common-name": ("ca",),
    "for-servers": ("ca", *GOOD, "extendedKeyUsage=serverAuth"), "authority": ("ca", *GOOD, "basicConstraints=critical,CA:TRUE"),
    "critical": ("ca", *GOOD, "1.2.3.4.5=critical,ASN1:UTF8String:x"), "seventeen":
    ("ca", "subjectAltName=" + ",".join(f"{ADDRESS}UTF8:eve{i or ''}@{HOST}" for i in range(17))),
    "self-signed": (None, *GOOD), "same-name-as-the-authority": ("fake", *GOOD), "by-a-client": ("good", *GOOD),
}


def certified(world, name, authority, *extensions):
    """A stream on which this certificate was shown, and the features it was told."""
    path = f"{world.dir}/client-{name}"
    if authority == "fake" and not os.path.exists(f"{world.dir}/fake.pem"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test CA", "-keyout",
                f"{world.dir}/fake.key", "-out", f"{world.dir}/fake.pem")
    if authority == "good":
        certified(world, "by", "ca", *GOOD)
        for kind in ("pem", "key"):
            os.replace(f"{world.dir}/client-by.{kind}", f"{world.dir}/good.{kind}")
    if not os.path.exists(path + ".pem"):
        if not any(text.startswith("basicConstraints") for text in extensions):
            extensions += ("basicConstraints=critical,CA:FALSE",)
        more = [word for text in extensions for word in ("-addext", text)]
        by = ["-CA", f"{world.dir}/{authority}.pem", "-CAkey", f"{world.dir}/{authority}.key"] if authority else []
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-utf8", "-subj",
                f"/CN=eve@{HOST}", *more, *by, "-keyout", path + ".key", "-out", path + ".pem")
    context = world.tls()
    context.load_cert_chain(path + ".pem", path + ".key")
    conn = world.plain(world.direct).handshake(context, HOST)
    return conn, conn.open(HOST)


def a1_certified(world, authzid):
    """Eve's certificate, and somebody else's identity."""
    conn, features = certified(world, "eve", "ca", *GOOD)
    assert "EXTERNAL" in features, features
    assert conn.auth("EXTERNAL", authzid.encode()) == ("failure", "invalid-authzid")
    assert conn.auth("EXTERNAL", b"")[0] == "success"
    assert identity(world, conn) == f"eve@{HOST}"


def a1_certificate(world, name):
    conn, features = certified(world, name, *CERTIFICATES[name])
    assert "EXTERNAL" not in features and "SCRAM-SHA-256" in features, features
    for authzid in (b"", f"eve@{HOST}".encode(), f"alice@{HOST}".encode()):
        assert conn.auth("EXTERNAL", authzid) == ("failure", "invalid-mechanism")
    assert conn.scram("eve", PASSWORD)[0] == "success"


@TABLE.attack("a1-certificate-wildcard")
def a1_wildcard(world):
    """A star is a letter like others: of an account that is not there."""
    conn, _ = certified(world, "star", "ca", f"subjectAltName={ADDRESS}UTF8:*@{HOST}")
    assert conn.auth("EXTERNAL", f"eve@{HOST}".encode()) == ("failure", "invalid-authzid")
    assert conn.auth("EXTERNAL", b"") == ("failure", "not-authorized")


for name, authzid in FOREIGN.items():
    TABLE.add(f"a1-external-{name}", a1_certified, authzid)
for name in CERTIFICATES:
    TABLE.add(f"a1-certificate-{name}", a1_certificate, name)


# ---- A2: malformed -----------------------------------------------------------------------------------------------------------------

ENCODINGS = {
    "not-base64": "!!!!", "no-padding": "AGV2ZQBwdw", "too-much-padding": "AGV2ZQ====", "padding-within": "AG=2ZQBw", "one-letter": "A",
    "white-space": "AGV2 ZQBw",
    "line-breaks": "AGV2\nZQBw", "leading-space": " AGV2ZQBw", "trailing-space": "AGV2ZQBw ", "url-letters": "AGV2ZQB_-w==", "two-equals": "==",
    "equals-and-more": "=AGV2", "percent": "%41%42", "entity": "&lt;", "bits-left": "AGV2ZQBwdx==", "no-break-space": "AGV2\u00a0ZQBw",
    "full-width": "\uff21\uff27\uff36\uff12",
}
for name, text in ENCODINGS.items():
    TABLE.add(f"a2-encoding-{name}", refused, text, "incorrect-encoding")
    TABLE.add(f"a2-encoding-{name}-scram", lambda world, text: refused(world, text, "incorrect-encoding", mechanism="SCRAM-SHA-256"), text)


@TABLE.attack("a2-encoding-in-response")
def a2_response(world):
    for text in ENCODINGS.values():
        conn = world.stage("direct")
        assert conn.auth("SCRAM-SHA-256", Scram("eve", PASSWORD).first())[0] == "challenge"
        assert conn.respond(text) == ("failure", "incorrect-encoding"), text


PLAINS = {
    "nothing": b"", "one-nul": b"\0", "two-nuls": b"\0\0", "no-nul": b"eve", "no-password": b"\0eve\0",
    "no-name": b"\0\0" + PASSWORD.encode(), "one-field": b"\0eve",
    "trailing-nul": plain("eve") + b"\0", "four-fields": plain("eve") + b"\0more", "nul-in-password": b"\0eve\0correct\0horse",
    "only-authzid": b"eve@one.test",
    "latin-1": b"\0\xe9ve\0pw", "overlong": b"\0e\xc0\xafve\0pw", "surrogate": b"\0e\xed\xa0\x80\0pw", "bad-password": b"\0eve\0\xff\xfe",
    "bad-authzid": b"\xff\0eve\0pw",
    "utf-16": "\0eve\0pw".encode("utf-16"),
}
for name, data in PLAINS.items():
    TABLE.add(f"a2-plain-{name}", refused, data, "malformed-request")
WRONG = {  # well-formed, and nobody's name or password
    "long-password": b"\0eve\0" + b"p" * 1024, "longest-name": b"\0" + b"e" * 1023 + b"\0pw",
    "too-long-name": b"\0" + b"e" * 1024 + b"\0pw", "controls": b"\0e\x01\x02ve\0pw",
    "slash": b"\0eve/r\0pw", "address": b"\0eve@one.test\0" + PASSWORD.encode(), "line-break": b"\0eve\n\0pw", "space": b"\0ev e\0pw",
    "quote": b"\0eve'\0pw", "less-than": b"\0<eve/>\0pw",
    "controls-in-password": b"\0eve\0p\x01w", "empty-looking": "\0\u3164\0pw".encode(), "format": "\0%s%n%x\0pw".encode(),
    "path": b"\0../../etc/passwd\0pw", "2-kb": b"\0" + b"e" * 2000 + b"\0pw",
}
for name, data in WRONG.items():
    TABLE.add(f"a2-plain-{name}", refused, data, "not-authorized")

FIRSTS = {
    "nothing": b"", "nul": b"n,,n=e\0ve,r=abc", "no-gs2": b"n=eve,r=abc", "half-gs2": b"n,n=eve,r=abc", "no-flag": b",,n=eve,r=abc",
    "unknown-flag": b"x,,n=eve,r=abc", "long-flag": b"nn,,n=eve,r=abc",
    "empty-authzid": b"n,a=,n=eve,r=abc", "wrong-authzid-letter": b"n,b=eve,n=eve,r=abc", "no-name": b"n,,r=abc",
    "empty-name": b"n,,n=,r=abc", "no-nonce": b"n,,n=eve", "empty-nonce": b"n,,n=eve,r=",
    "nonce-with-space": b"n,,n=eve,r=a b", "nonce-with-control": b"n,,n=eve,r=a\x01b", "nonce-not-ascii": "n,,n=eve,r=é".encode(),
    "other-order": b"n,,r=abc,n=eve", "mandatory-extension": b"n,,m=x,n=eve,r=abc",
    "mandatory-extension-behind": b"n,,n=eve,r=abc,m=x", "bad-extension": b"n,,n=eve,r=abc,1=x", "empty-extension": b"n,,n=eve,r=abc,",
    "extension-without-value": b"n,,n=eve,r=abc,x=",
    "bad-escape": b"n,,n=e=2Dve,r=abc", "lower-escape": b"n,,n=e=2cve,r=abc", "cut-escape": b"n,,n=eve=2,r=abc",
    "bare-equals": b"n,,n=e=ve,r=abc", "capital-name": b"n,,N=eve,r=abc",
    "latin-1": b"n,,n=\xe9ve,r=abc", "only-commas": b",,,,", "line-breaks": b"n,,\nn=eve,r=abc", "2-kb-and-no-nonce": b"n,,n=" + b"e" * 2000,
    "upper-flag": b"N,,n=eve,r=abc", "empty-binding": b"p=,,n=eve,r=abc", "utf-16": "n,,n=eve,r=abc".encode("utf-16"),
}
for name, data in FIRSTS.items():
    TABLE.add(f"a2-scram-{name}", lambda world,
              data: refused(world, data, "malformed-request", "invalid-authzid" if b"a=" in data[:4] else "malformed-request",
                                                              mechanism="SCRAM-SHA-256"), data)
FINALS = {
    "nothing": lambda c, r, p: b"", "no-proof": lambda c, r, p: f"c={c},r={r}".encode(), "no-nonce": lambda c, r,
    p: f"c={c},p={p}".encode(), "no-binding": lambda c, r, p: f"r={r},p={p}".encode(),
    "other-order": lambda c, r, p: f"r={r},c={c},p={p}".encode(), "proof-first": lambda c, r, p: f"p={p},c={c},r={r}".encode(),
    "behind-proof": lambda c, r, p: f"c={c},r={r},p={p},x=1".encode(),
    "mandatory": lambda c, r, p: f"c={c},r={r},m=1,p={p}".encode(), "proof-not-base64": lambda c, r, p: f"c={c},r={r},p=!!!".encode(),
    "nul": lambda c, r, p: f"c={c},r={r},p={p}\0".encode(),
    "two-proofs": lambda c, r, p: f"c={c},r={r},p={p},p={p}".encode(), "empty-proof": lambda c, r, p: f"c={c},r={r},p=".encode(),
    "digit": lambda c, r, p: f"c={c},r={r},1=a,p={p}".encode(),
    "not-utf-8": lambda c, r, p: f"c={c},r={r},p={p}".encode() + b"\xff", "first-again": lambda c, r, p: b"n,,n=eve,r=abc",
    "long": lambda c, r, p: f"c={c},r={r},x={'x' * 2000},p".encode(),
}


def a2_final(world, make):
    conn, exchange = world.stage("direct"), Scram("eve", PASSWORD)
    challenge = conn.auth("SCRAM-SHA-256", exchange.first())[1]
    c, r, p = re.fullmatch("c=(.*?),r=(.*?),p=(.*)", exchange.final(challenge).decode()).groups()
    assert conn.respond(make(c, r, p)) == ("failure", "malformed-request")
    assert conn.scram("eve", PASSWORD)[0] == "success"  # the stream is none the worse


for name, make in FINALS.items():
    TABLE.add(f"a2-final-{name}", a2_final, make)


@TABLE.attack("a2-proof-of-another-length")
def a2_proof(world):
    for proof in (lambda p: p[:-1], lambda p: p + b"\0", lambda p: p[:1], lambda p: p * 20, lambda p: bytes(len(p)), lambda p: p[::-1]):
        conn = world.stage("direct")
        assert conn.scram("eve", PASSWORD, proof=proof) == ("failure", "not-authorized")
        assert conn.scram("eve", PASSWORD)[0] == "success"


@TABLE.attack("a2-a-megabyte")
def a2_huge(world):
    """Before login nothing is larger than 5 kB."""
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        world.stage("direct").send(f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>" + "QUFB" * (1 << 18)).error("policy-violation")
    conn = world.stage("direct")
    conn.auth("SCRAM-SHA-256", Scram("eve", PASSWORD).first())
    conn.send(f"<response xmlns='{NS_SASL}'>" + "QUFB" * (1 << 18)).error("policy-violation")
    world.stage("direct").send(f"<auth xmlns='{NS_SASL}' mechanism='{'P' * (1 << 20)}'/>").error("policy-violation")


@TABLE.attack("a2-mechanisms-that-are-none")
def a2_mechanisms(world):
    for name in ("", "plain", "PLAIN ", " PLAIN", "PLAIN&#10;", "P", "PLAIN-PLUS", "SCRAM", "SCRAM-SHA-256-PLUS-PLUS", "SCRAM-MD5",
                 "SCRAM-SHA-224", "DIGEST-MD5", "CRAM-MD5", "LOGIN",
                 "X-OAUTH2", "OAUTHBEARER", "GSSAPI", "NTLM", "KERBEROS_V4", "OTP", "SKEY", "SECURID", "EXTERNAL2", "\u0420LAIN",
                 "P" * 700, "%n%s"):
        refused(world, plain("eve"), "invalid-mechanism", mechanism=name)
    conn = world.stage("direct").send(f"<auth xmlns='{NS_SASL}'>{b64(plain('eve'))}</auth>")
    assert conn.sasl() == ("failure", "invalid-mechanism")


@TABLE.attack("a2-elements-out-of-turn")
def a2_turns(world):
    conn = world.stage("direct")
    assert conn.respond(b"c=biws") == ("failure", "malformed-request")  # no exchange
    conn.send(f"<abort xmlns='{NS_SASL}'/>")
    assert conn.sasl() == ("failure", "aborted")
    assert conn.auth("SCRAM-SHA-256") == ("challenge", b"")
    conn.send(f"<abort xmlns='{NS_SASL}'/>")
    assert conn.sasl() == ("failure", "aborted")
    assert conn.scram("eve", PASSWORD)[0] == "success"
    for element in ("challenge", "success", "failure", "authenticate", "AUTH", "mechanisms"):
        world.stage("direct").send(f"<{element} xmlns='{NS_SASL}'/>").error("not-authorized")


@TABLE.attack("a2-child-elements")
def a2_children(world):
    for inner in ("<a/>", f"<a>{b64(plain('eve'))}</a>", f"{b64(plain('eve'))}<a/>", "<auth/>"):
        conn = world.stage("direct").send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{inner}</auth>")
        assert conn.sasl() == ("failure", "malformed-request"), inner


@TABLE.attack("a2-pipelined-exchanges")
def a2_pipelined(world):
    """Many in one packet: each is judged, and only so many."""
    one = f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{b64(plain('nobody', 'x'))}</auth>"
    conn = world.stage("direct").send(one * 100)
    text = conn.to_end()
    assert text.count("<failure") == 5 and "policy-violation" in text and "<success" not in text, text
    conn = world.stage("direct").send(f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-256'/>" * 100)
    assert conn.to_end().count("<challenge") <= 5, conn.text()


# ---- A3: nonces, replay, downgrade -------------------------------------------------------------------------------------------------

@TABLE.attack("a3-server-nonces-are-new")
def a3_nonces(world):
    """The same client's nonce over and over: what the server adds is another each time."""
    seen = set()
    for _ in range(10):
        kind, challenge = world.stage("direct").auth("SCRAM-SHA-256", Scram("eve", PASSWORD, nonce="fixed").first())
        nonce = fields(challenge)["r"]
        assert nonce.startswith("fixed") and len(nonce) >= len("fixed") + 24, nonce
        seen.add(nonce)
    assert len(seen) == 10


@TABLE.attack("a3-replay")
def a3_replay(world):
    """A whole exchange that was seen, said again: on a new stream, and on the same stream after it failed."""
    for mechanism in MECHANISMS:
        conn, exchange = world.stage("direct"), Scram("eve", PASSWORD, mechanism)
        first = exchange.first()
        final = exchange.final(conn.auth(mechanism, first)[1])
        assert conn.respond(final)[0] == "success"
        again = world.stage("direct")
        for _ in range(2):
            assert again.auth(mechanism, first)[0] == "challenge"
            assert again.respond(final) == ("failure", "not-authorized")
        assert again.scram("eve", PASSWORD)[0] == "success"


@TABLE.attack("a3-replay-of-plain-exchange-elements")
def a3_elements(world):
    """<response/> alone, of another stream's exchange that still goes on."""
    conn, exchange = world.stage("direct"), Scram("eve", PASSWORD)
    final = exchange.final(conn.auth("SCRAM-SHA-256", exchange.first())[1])
    assert world.stage("direct").respond(final) == ("failure", "malformed-request")
    assert conn.respond(final)[0] == "success"


CHANGES = {  # of c= and r=, signed with the right password
    "other-flag": lambda c, r: (b64("y,,"), r), "authzid-added": lambda c, r: (b64(f"n,a=alice@{HOST},"), r), "plus-claimed": lambda c,
    r: (b64("p=tls-exporter,,"), r),
    "data-added": lambda c, r: (b64(b"n,,data"), r), "nothing": lambda c, r: (b64("x"), r), "not-base64": lambda c, r: ("!!", r),
    "cut": lambda c, r: ("biw", r),
    "nonce-cut": lambda c, r: (c, r[:-1]), "nonce-longer": lambda c, r: (c, r + "a"), "nonce-of-client": lambda c, r: (c, r[:24]),
    "nonce-other": lambda c, r: (c, r[:-4] + "AAAA"),
    "nonce-reversed": lambda c, r: (c, r[::-1]), "nonce-case": lambda c, r: (c, r.swapcase()),
}


def a3_change(world, change):
    for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
        conn = world.stage("direct")
        assert conn.scram("eve", PASSWORD, mechanism, change=change) == ("failure", "not-authorized")
        assert conn.scram("eve", PASSWORD, mechanism)[0] == "success"


for name, change in CHANGES.items():
    TABLE.add(f"a3-signed-{name}", a3_change, change)


@TABLE.attack("a3-y-while-plus-is-offered")
def a3_downgrade(world):
    """RFC 5802 6: somebody has taken -PLUS out of the list. Without TLS there is none, and `y` is honest."""
    for mechanism in MECHANISMS:
        assert world.stage("direct").scram("eve", PASSWORD, mechanism, gs2="y,,") == ("failure", "not-authorized")
        assert world.stage("tls").scram("eve", PASSWORD, mechanism, gs2="y,,") == ("failure", "not-authorized")
        assert world.stage("open").scram("eve", PASSWORD, mechanism, gs2="y,,")[0] == "success"


def end_point(world, host=HOST):
    with open(f"{world.dir}/{host}.pem") as pem:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.read())).digest()


def plus(world, conn, data, kind="tls-server-end-point", mechanism="SCRAM-SHA-256-PLUS", password=PASSWORD):
    conn.open(HOST)
    return conn.scram("eve", password, mechanism, gs2=f"p={kind},,", binding=data)


@TABLE.attack("a3-binding-that-fits")
def a3_fits(world):
    for mechanism in MECHANISMS:
        assert plus(world, world.secure(), end_point(world), mechanism=mechanism + "-PLUS")[0] == "success"
        assert plus(world, world.secure(), end_point(world), mechanism=mechanism + "-PLUS", password="wrong") == ("failure", "not-authorized")


@TABLE.attack("a3-binding-of-another-certificate")
def a3_certificate(world):
    """One in the middle who shows a certificate of his own, or of another host of this server."""
    for data in (end_point(world, OTHER), end_point(world)[::-1], b"", bytes(32), end_point(world)[:31], end_point(world) + b"\0",
                 end_point(world) * 2):
        assert plus(world, world.secure(), data) == ("failure", "not-authorized")
    assert plus(world, world.secure(OTHER), end_point(world)) == ("failure", "not-authorized")


@TABLE.attack("a3-binding-of-another-connection")
def a3_connection(world):
    """tls-unique of a connection that the one in the middle has to the client."""
    context = world.tls(maximum_version=ssl.TLSVersion.TLSv1_2)
    ends = [world.plain(world.direct).handshake(context, HOST) for _ in range(3)]
    data = [end.tls.get_channel_binding("tls-unique") for end in ends]
    assert plus(world, ends[0], data[0], "tls-unique")[0] == "success"
    assert plus(world, ends[1], data[2], "tls-unique") == ("failure", "not-authorized")
    assert plus(world, ends[2], data[0], "tls-unique") == ("failure", "not-authorized")


@TABLE.attack("a3-binding-under-another-name")
def a3_name(world):
    """The right data of one type said to be another's; types that there are not."""
    for kind in ("tls-exporter", "tls-unique", "tls-foo", "TLS-SERVER-END-POINT", "tls-server-end-point2", "x" * 500, "p"):
        assert plus(world, world.secure(), end_point(world), kind) == ("failure", "not-authorized"), kind


@TABLE.attack("a3-plus-without-binding")
def a3_without(world):
    for gs2 in ("n,,", "y,,"):
        conn = world.stage("direct")
        assert conn.auth("SCRAM-SHA-256-PLUS", Scram("eve", PASSWORD, gs2=gs2).first()) == ("failure", "not-authorized")
    # a binding with a mechanism that has none
    conn = world.stage("direct")
    assert conn.auth("SCRAM-SHA-256", Scram("eve", PASSWORD, gs2="p=tls-server-end-point,,").first()) == ("failure", "not-authorized")
    # no TLS, no binding
    assert world.stage("open").auth("SCRAM-SHA-256-PLUS", Scram("eve", PASSWORD, gs2="p=tls-exporter,,").first()) == ("failure",
        "invalid-mechanism")


@TABLE.attack("a3-keys-of-another")
def a3_other(world):
    """Eve's proof under alice's name, and a proof by another hash."""
    conn = world.stage("direct")
    assert conn.scram("mallory", "wrong") == ("failure", "not-authorized")
    exchange = Scram("eve", PASSWORD, "SCRAM-SHA-1")
    challenge = conn.auth("SCRAM-SHA-256", exchange.first())[1]
    assert conn.respond(exchange.final(challenge)) == ("failure", "not-authorized")
    exchange = Scram("mallory", "wrong")
    challenge = conn.auth("SCRAM-SHA-256", exchange.first())[1]
    assert conn.respond(exchange.final(challenge).replace(b"p=", b"x=n=eve,p=")) == ("failure", "not-authorized")


@TABLE.attack("a3-stored-key-is-no-password")
def a3_stored(world):
    """What a thief of the store has: the proof made with StoredKey or ServerKey in place of ClientKey."""
    for zero in (lambda p: bytes(len(p)), lambda p: b"\xff" * len(p)):
        conn = world.stage("direct")
        assert conn.scram("eve", PASSWORD, proof=zero) == ("failure", "not-authorized")
        assert conn.scram("eve", PASSWORD)[0] == "success"


@TABLE.attack("a3-hash-of-what-was-offered")
def a3_offered(world):
    """XEP-0474: by `h` a client sees that its list was the server's."""
    conn = world.secure()
    features = conn.open(HOST)
    names = sorted(re.findall("<mechanism>(.*?)</mechanism>", features))
    kinds = sorted(re.findall("<channel-binding type='(.*?)'", features))
    assert names and kinds
    challenge = conn.auth("SCRAM-SHA-256", Scram("eve", PASSWORD).first())[1]
    wanted = hashlib.sha256(("\x1e".join(names) + "\x1f" + "\x1e".join(kinds)).encode()).digest()
    assert fields(challenge)["h"] == b64(wanted), (names, kinds)


# ---- A4: enumeration ---------------------------------------------------------------------------------------------------------------

SALTS = {}


def challenge_for(world, user, mechanism, host=HOST):
    conn = world.stage("direct", host)
    kind, challenge = conn.auth(mechanism, Scram(user, "x", mechanism, nonce="n" * 24).first())
    assert kind == "challenge", (user, challenge)
    return fields(challenge)


@TABLE.attack("a4-challenges-have-one-shape")
def a4_shape(world):
    for mechanism in MECHANISMS:
        known, unknown = challenge_for(world, "eve", mechanism), challenge_for(world, "nobody-here", mechanism)
        assert list(known) == list(unknown) and known["i"] == unknown["i"] and known["h"] == unknown["h"], (known, unknown)
        assert [len(v) for v in known.values()] == [len(v) for v in unknown.values()], (known, unknown)
        assert len(base64.b64decode(known["s"])) == len(base64.b64decode(unknown["s"]))


@TABLE.attack("a4-made-up-salts-are-stable")
def a4_stable(world):
    """As a real one: the same each time, others for other names, hosts and mechanisms; kept for after the restart."""
    for user in ("eve", "nobody-here", "somebody-else"):
        for mechanism in MECHANISMS:
            salts = {challenge_for(world, user, mechanism)["s"] for _ in range(3)}
            assert len(salts) == 1, salts
            SALTS[user, mechanism] = salts.pop()
    assert len(set(SALTS.values())) == len(SALTS)
    assert challenge_for(world, "nobody-here", "SCRAM-SHA-256", THIRD)["s"] not in SALTS.values()
    assert challenge_for(world, "NOBODY-here", "SCRAM-SHA-256")["s"] == SALTS["nobody-here", "SCRAM-SHA-256"]


@TABLE.attack("a4-failures-are-the-same")
def a4_failures(world):
    """To the letter, for an account and for none."""
    texts = set()
    for user in ("mallory", "nobody-of-a4"):
        for mechanism in ("PLAIN", *MECHANISMS):
            conn = world.stage("direct")
            if mechanism == "PLAIN":
                conn.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{b64(plain(user, 'wrong'))}</auth>")
            else:
                exchange = Scram(user, "wrong", mechanism)
                challenge = conn.auth(mechanism, exchange.first())[1]
                conn.send(f"<response xmlns='{NS_SASL}'>{b64(exchange.final(challenge))}</response>")
            texts.add(conn.until("<failure.*?</failure>").group(0))
    assert texts == {f"<failure xmlns='{NS_SASL}'><not-authorized/></failure>"}, texts
    conn = world.stage("direct")
    assert conn.scram("mallory", PASSWORD)[0] == "success"


@TABLE.attack("a4-any-password-for-nobody")
def a4_any(world):
    """The made-up keys are nobody's: not those of the empty password, nor of the name."""
    for password in ("", "nobody-here", PASSWORD, "\0", "0"):
        conn = world.stage("direct")
        exchange = Scram("nobody-here", password)
        assert conn.respond(exchange.final(conn.auth("SCRAM-SHA-256", exchange.first())[1])) == ("failure", "not-authorized")


@TABLE.attack("a4-accounts-of-another-host")
def a4_host(world):
    known, unknown = challenge_for(world, "alice", "SCRAM-SHA-256", THIRD), challenge_for(world, "nobody", "SCRAM-SHA-256", THIRD)
    assert list(known) == list(unknown) and known["i"] == unknown["i"]
    assert world.stage("direct", THIRD).scram("alice", PASSWORD) == ("failure", "not-authorized")


def at_end(world):
    """A4 after a restart: what was made up is still the same."""
    if not SALTS:
        return
    world.stop()
    world.start()
    for (user, mechanism), salt in SALTS.items():
        assert challenge_for(world, user, mechanism)["s"] == salt, f"{user}: another salt after the restart"
    world.close_all()
    world.settle()


# ---- A6: brute force ---------------------------------------------------------------------------------------------------------------

def a6(world, tries):
    """Five failures, whatever they are, and the stream ends (RFC 6120 6.4.5)."""
    conn = world.stage("direct")
    for i in range(5):
        answer = tries(conn, i)
        assert answer[0] == "failure", answer
    conn.error("policy-violation")


def a6_scram(conn, i):
    return conn.scram(f"guess{i}", "wrong", MECHANISMS[i % 3])


KINDS = {
    "scram": a6_scram, "plain": lambda conn, i: conn.auth("PLAIN", plain(f"guess{i}", "wrong")), "unknown-mechanism": lambda conn,
    i: conn.auth("X", b"x"),
    "bad-encoding": lambda conn, i: conn.auth("PLAIN", "!"), "malformed": lambda conn, i: conn.auth("SCRAM-SHA-1", b"x"),
    "authzid": lambda conn, i: conn.auth("PLAIN", plain("eve", authzid="alice@one.test")),
    "mixed": lambda conn, i: a6_scram(conn, i) if i % 2 else conn.auth("PLAIN", plain("guess", "wrong")), "response-alone": lambda conn,
    i: conn.respond(b"x"),
    "abort": lambda conn, i: conn.send(f"<abort xmlns='{NS_SASL}'/>").sasl(),
}
for name, tries in KINDS.items():
    TABLE.add(f"a6-{name}", a6, tries)


@TABLE.attack("a6-exchanges-thrown-away")
def a6_thrown(world):
    """Begun over and over without an end: each is a look-up of keys."""
    conn = world.stage("direct")
    for i in range(5):
        assert conn.auth("SCRAM-SHA-256", Scram(f"guess{i}", "x").first())[0] == "challenge"
    conn.send(f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-256'/>").error("policy-violation")


@TABLE.attack("a6-right-at-last")
def a6_right(world):
    """Four failures are forgiven; the fifth try may be right."""
    conn = world.stage("direct")
    for i in range(4):
        assert conn.scram("peter", "wrong") == ("failure", "not-authorized")
    assert conn.scram("peter", PASSWORD)[0] == "success"


@TABLE.attack("a6-starttls-does-not-count-anew")
def a6_starttls(world):
    """Tries before TLS are tries of this connection."""
    conn = world.plain()
    conn.open(HOST)
    for i in range(3):
        assert conn.scram(f"guess{i}", "wrong")[0] == "failure"
    conn.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").until("<proceed[^>]*>")
    conn.handshake(world.context, HOST).open(HOST)
    for i in range(2):
        assert conn.scram(f"guess{i}", "wrong")[0] == "failure"
    conn.error("policy-violation")


# ---- A7: ANONYMOUS -----------------------------------------------------------------------------------------------------------------

@TABLE.attack("a7-not-offered-and-refused")
def a7(world):
    for where in ("open", "tls", "direct"):
        for data in (None, b"", b"trace", "=", b"\0", b"eve@one.test"):
            conn = world.stage(where)
            assert conn.auth("ANONYMOUS", data) == ("failure", "invalid-mechanism"), data
    for host in (HOST, OTHER, THIRD):
        assert "ANONYMOUS" not in world.plain().open(host) and "ANONYMOUS" not in world.secure(host).open(host)


@TABLE.attack("a7-names-alike")
def a7_alike(world):
    for name in ("anonymous", "ANONYMOUS ", "Anonymous", "ANON"):
        refused(world, b"", "invalid-mechanism", mechanism=name)
    refused(world, plain("anonymous", "a@b"), "not-authorized")
    refused(world, b"\0\0a", "malformed-request")


# ---- A8: restart at another host ---------------------------------------------------------------------------------------------------

for name, to in {"other-host": OTHER, "third-host": THIRD}.items():
    TABLE.add(f"a8-{name}", lambda world, to: world.stage("success").send(header(to)).error("not-authorized"), to)
TABLE.add("a8-unknown-host", lambda world: world.stage("success").send(header("four.test")).error("host-unknown"))
TABLE.add("a8-no-host", lambda world: world.stage("success").send(header(HOST).replace(f" to='{HOST}'", "")).error("improper-addressing"))
TABLE.add("a8-account-as-host", lambda world: world.stage("success").send(header(f"alice@{HOST}")).error("host-unknown"))


@TABLE.attack("a8-account-of-both")
def a8_both(world):
    """Even where the name is an account of the other host, too."""
    conn = world.stage("success").send(header(OTHER) + "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    conn.error("not-authorized")


@TABLE.attack("a8-same-host-otherwise-written")
def a8_same(world):
    for to in ("ONE.TEST", "one.test.", "\uff4fne.test"):
        conn = world.stage("success")
        conn.open(to)
        assert conn.bind().jid.startswith(f"eve@{HOST}/")


@TABLE.attack("a8-another-host-before-login")
def a8_before(world):
    """The host of the login is that of the header before it."""
    conn = world.plain().starttls(world.context, HOST)
    conn.open(OTHER)
    assert conn.scram("eve", PASSWORD)[0] == "success"
    conn.open(OTHER)
    assert conn.bind().jid.startswith(f"eve@{OTHER}/")


# ---- A9: names ---------------------------------------------------------------------------------------------------------------------

SPELLINGS = {
    "upper-case": "EVE", "mixed-case": "eVe", "full-width": "\uff25\uff36\uff25", "full-width-letter": "\uff45ve",
    "soft-hyphen": "e\u00adve", "zero-width-space": "e\u200bve",
    "zero-width-joiner": "e\u200dve", "zero-width-non-joiner": "ev\u200ce", "byte-order-mark": "\ufeffeve", "word-joiner": "e\u2060ve",
    "variation-selector": "eve\ufe0f", "combining-grapheme": "e\u034fve",
    "cyrillic": "\u0435ve", "greek": "e\u03bde", "space-behind": "eve ", "space-before": " eve", "ideographic-space": "eve\u3000",
    "tab": "eve\t", "line-break": "eve\n", "right-to-left-mark": "eve\u200f",
    "override": "\u202eeve", "mathematical": "\U0001d41e\U0001d42f\U0001d41e", "circled": "\u24d4\u24e5\u24d4", "superscript": "\u1d49ve",
    "address": f"eve@{HOST}", "resource": "eve/r", "quote": "\"eve\"", "nul-like": "eve\u2400",
    "tag": "eve\U000e0041", "hangul-filler": "eve\u3164", "private-use": "eve\ue000", "unassigned": "eve\u0378",
    "non-character": "eve\U0001fffe", "long-s": "eve\u017f", "dotless": "\u0131eve", "combining": "e\u0301ve",
}


def a9(world, spelling, user="eve"):
    """Either this account under its own name or nobody: never a session under another spelling."""
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        conn = world.stage("direct")
        if mechanism == "PLAIN":
            kind, what = conn.auth("PLAIN", plain(spelling))
        else:
            exchange = Scram(spelling, PASSWORD)
            kind, what = conn.auth(mechanism, exchange.first())
            if kind == "challenge":
                kind, what = conn.respond(exchange.final(what))
        if kind == "success":
            assert identity(world, conn) == f"{user}@{HOST}"
        else:
            assert (kind, what) in (("failure", "not-authorized"), ("failure", "malformed-request")), what


for name, spelling in SPELLINGS.items():
    TABLE.add(f"a9-{name}", a9, spelling)
TABLE.add("a9-kelvin-sign", a9, "\u212aate", "kate")


@TABLE.attack("a9-case-and-width-are-the-account")
def a9_same(world):
    for spelling in ("EVE", "\uff25\uff36\uff25", "eVe"):
        conn = world.stage("direct")
        assert conn.scram(spelling, PASSWORD)[0] == "success"
        assert identity(world, conn) == f"eve@{HOST}"


@TABLE.attack("a9-look-alikes-are-strangers")
def a9_strangers(world):
    """A name that only looks like an account's is another one: its messages reach nobody, its address is not the account's."""
    conn = world.stage("bound")
    bob = world.pair.bob
    for to in (bob.replace("bob", "b\u043eb"), bob.replace("bob", "b\u03bfb"), bob.replace("bob", "bob\u0301")):
        conn.send(f"<message to='{to}' type='chat' id='m'><body>a</body></message><iq type='get' to='{to}' id='x'><q xmlns='urn:example:q'/></iq>")
        answer = conn.stanza()  # to the message there is none (`offline_hide_unknown`), and the by-standers get nothing
        assert answer.get("type") == "error" and answer.get("id") == "x", answer.attrib


COSTLY = {  # to normalise or to map, if it were not for its length
    "marks-out-of-order": "a" + "\u0301\u0316" * 60000, "ligatures": "\ufdfa" * 80000, "hangul": "\u1100\u1161\u11a8" * 26000, "capitals": "\u0130" * 120000,
    "full-width": "\uff21" * 80000, "dots": "a." * 120000, "labels": ("\u0430" * 60 + ".") * 2000, "ace": "xn--" + "a" * 200000, "ace-labels": "xn--80a." * 30000,
    "slashes": "/" * 240000, "ats": "@" * 240000, "right-to-left": "\u05d0" * 120000, "joiners": "\u0915\u094d\u200d" * 26000,
}


def a9_costly(world, text):
    """As part of an address, 240 kB of it, ten times over: refused for its length, at no cost that others would notice."""
    conn = world.stage("bound")
    for to in (f"{text}@{HOST}", text, f"carol@{HOST}/{text}", f"carol@{text}"):
        conn.send(f"<message to='{to}' type='chat' id='x'><body>a</body></message>" * 3 + f"<iq type='get' id='p' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>")
        for _ in range(3):
            answer = conn.stanza()
            assert answer.get("type") == "error" and answer.find(f"{CLIENT}error")[0].tag.endswith("}jid-malformed"), answer.attrib
        assert conn.stanza().get("id") == "p"


for name, text in COSTLY.items():
    TABLE.add(f"a9-costly-{name}", a9_costly, text)
    TABLE.add(f"a9-costly-{name}-before-login", lambda world, text: [world.stage("first").send(header(to)).error("improper-addressing", "host-unknown")
                                                                     for to in (text, f"eve@{text}", f"{text}@{HOST}")],
              text.encode()[:1500].decode("utf-8", "ignore"))


# ---- A10: resources and binding ----------------------------------------------------------------------------------------------------

BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{}</resource></bind></iq>"
BAD_RESOURCES = {
    "next-line": "a&#x85;b", "line-break": "a&#10;b", "tab": "a&#9;b", "delete": "a&#127;b", "1024-bytes": "r" * 1024,
    "1024-bytes-wide": "\u00e9" * 512, "8-kb": "r" * 8000, "non-character": "a\U0001fffe",
    "private-use": "a\ue000", "unassigned": "a\u0378", "zero-width-space": "a\u200bb", "byte-order-mark": "a\ufeffb",
    "override": "a\u202eb", "line-separator": "a\u2028b", "soft-hyphen": "a\u00adb",
    "tag": "a\U000e0041", "word-joiner": "a\u2060b",
}


def a10_bad(world, resource):
    """Refused, and another one may be asked for."""
    conn = world.stage("authed").send(BIND.format(resource))
    found = conn.until("<iq type='(result|error)' id='b'>(.*?)</iq>")
    assert found.group(1) == "error" and "<bad-request " in found.group(2), found.group(0)
    assert conn.bind("fine").jid == f"eve@{HOST}/fine"


for name, resource in BAD_RESOURCES.items():
    TABLE.add(f"a10-{name}", a10_bad, resource)
ODD_RESOURCES = {"1023-bytes": ("r" * 1023, "r" * 1023), "address": ("alice@one.test/a", "alice@one.test/a"),
                 "markup": ("&lt;/jid>'&amp;\"", "</jid>'&\""), "space": ("a  b ", "a  b "),
                 "ideographic-space": ("a\u3000b", "a b"), "combining": ("e\u0301", "\u00e9"), "emoji": ("\U0001f480", "\U0001f480"),
                 "case": ("ReSource", "ReSource")}


def a10_odd(world, resource, wanted):
    """Allowed, prepared, and told and used as that."""
    conn = world.stage("authed").send(BIND.format(resource))
    answer = conn.until("<iq type='(result|error)' id='b'>(.*?)</iq>")
    assert answer.group(1) == "result", answer.group(0)
    conn.bound(answer.group(2))
    conn.send(f"<message to='eve@{HOST}/{resource.replace(chr(39), '&apos;')}' type='chat'><body>self</body></message>")
    assert conn.stanza().get("from") == f"eve@{HOST}/{wanted}"


for name, (resource, wanted) in ODD_RESOURCES.items():
    TABLE.add(f"a10-taken-{name}", a10_odd, resource, wanted)


@TABLE.attack("a10-conflict")
def a10_conflict(world):
    """The older session is told and ended; the newer lives (RFC 6120 7.7.2.2)."""
    older = world.session("eve", "same")
    newer = world.session("eve", "same")
    older.error("conflict")
    newer.ping()


@TABLE.attack("a10-conflict-by-another-spelling")
def a10_spelling(world):
    older = world.session("eve", "\u00e9")
    newer = world.session("eve", "e\u0301")
    older.error("conflict")
    assert newer.jid == f"eve@{HOST}/\u00e9"
    newer.ping()


@TABLE.attack("a10-resource-of-a-by-stander")
def a10_by_stander(world):
    """Of one account only: alice's resource is no concern of eve's."""
    conn = world.session("eve", world.pair.alice.split("/")[1])
    conn.ping()


@TABLE.attack("a10-bind-twice")
def a10_twice(world):
    conn = world.stage("bound").send(BIND.format("second"))
    answer = conn.stanza()
    assert answer.get("type") == "error" and answer[-1].get("type") == "cancel" and answer[-1][0].tag.endswith("}not-allowed"), answer
    conn.ping()
    conn = world.stage("authed").send(BIND.format("one") + BIND.format("two"))  # in one packet
    assert f"{HOST}/one</jid>" in conn.until("<iq type='result' id='b'>.*?</iq>").group(0)
    assert "not-allowed" in conn.until("<iq .*?</iq>").group(0)


@TABLE.attack("a10-ten-tries")
def a10_tries(world):
    conn = world.stage("authed").send(BIND.format("a&#9;") * 10)
    text = conn.to_end()
    assert text.count("<bad-request ") == 10 and text.endswith("</stream:error></stream:stream>") and "<policy-violation " in text, text


@TABLE.attack("a10-malformed-binds")
def a10_malformed(world):
    ns = "xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
    conn = world.stage("authed").send(f"<iq type='set'><bind {ns}/></iq>")  # no id
    assert "bad-request" in conn.until("<iq .*?</iq>").group(0)
    for text in (f"<iq type='get' id='b'><bind {ns}/></iq>", f"<iq type='result' id='b'><bind {ns}/></iq>",
                 "<iq type='set' id='b'><bind/></iq>", f"<message id='b'><bind {ns}/></message>",
                 f"<iq xmlns='jabber:client' id='b'><bind {ns}/></iq>", "<iq type='set' id='b'/>"):
        world.stage("authed").send(text).error("not-authorized")


@TABLE.attack("a10-many-sessions")
def a10_many(world):
    """Twenty of an account; the next is refused and may come when one has gone."""
    ends = [world.session("many", f"r{i}") for i in range(20)]
    more = world.secure()
    more.open(HOST)
    more.log_in(HOST, "many", PASSWORD)
    more.send(BIND.format("more"))
    answer = more.until("<iq type='error' id='b'>(.*?)</iq>").group(1)
    assert "<resource-constraint " in answer, answer
    ends[0].send("</stream:stream>").to_end()
    ends[0].close()
    world.conns.remove(ends[0])
    wait_for("one less", lambda: world.status()["sessions"] == 21)  # two of them are the by-standers'
    assert more.bind("more").jid == f"many@{HOST}/more"
    ends[1].ping()


@TABLE.attack("a10-server-made-are-hard-to-guess")
def a10_made(world):
    names = [world.session("eve").jid.split("/", 1)[1] for _ in range(8)]
    assert len(set(names)) == 8 and min(map(len, names)) >= 8, names
    assert len({name[:4] for name in names}) > 1, names
