"""Threats, table "TLS" (T1 to T6): STARTTLS, what is spoken, and handshakes that are no honest ones."""
import ctypes
import ctypes.util
import os
import socket
import ssl
import struct

from attacks_conn import NS_SASL, NS_TLS, STARTTLS, Refused, Scram, b64
from attacks_world import HOST, LIMIT_S, OTHER, PASSWORD, THIRD, Table, World, header, wait_for

TABLE = Table("tls")
ALERT, HANDSHAKE, DATA, HEARTBEAT = 21, 22, 23, 24
PLAIN = f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{b64(chr(0) + 'eve' + chr(0) + PASSWORD)}</auth>"
REQUIRED = f"<starttls xmlns='{NS_TLS}'><required/></starttls>"


def make_world():
    """Its third listener is one for everybody (all addresses, though of the loopback device only), so that TLS is required there."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    public = socket.socket()
    public.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    public.bind(("0.0.0.0", 0))
    public.listen(1024)
    return World("tls", listeners=[*socks, public])


def message(world):
    return f"<message to='{world.pair.bob}' type='chat'><body>injected</body></message>"


# ---- T1: plain text behind <starttls/> ---------------------------------------------------------------------------------------------

def behind(world):
    bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    scram = f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-256'>{b64(Scram('eve', PASSWORD).first())}</auth>"
    return {
        "stanza": message(world), "header": header(HOST), "header-and-stanza": header(HOST) + message(world), "plain": header(HOST) + PLAIN,
        "plain-without-header": PLAIN, "scram": header(HOST) + scram, "session": header(HOST) + PLAIN + header(HOST) + bind + message(world),
        "second-starttls": STARTTLS, "stream-end": "</stream:stream>", "white-space": "\n \n", "broken": "<a b=", "comment": "<!-- a -->",
        "long": "<a>" * 3000,
        "no-tls": "\x16\x03\x01",
    }


def t1(world, kind):
    """In one packet with <starttls/>: nothing of it is answered, before the handshake or after; the stream under TLS is a fresh one."""
    conn = world.plain()
    conn.open(HOST)
    conn.send(STARTTLS + behind(world)[kind])
    conn.until("^<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    conn.handshake(world.context, HOST)
    assert not conn.seen, conn.text()
    features = conn.open(HOST)
    assert "<mechanism>PLAIN</mechanism>" in features and "<bind" not in features, features
    assert not conn.seen, conn.text()
    conn.send("<presence/>").error("not-authorized")


for kind in behind(type("Nobody", (), {"pair": type("Pair", (), {"bob": ""})})):
    TABLE.add(f"t1-{kind}", t1, kind)


def t1_later(world, kind):
    """In a packet of its own, which may come to be read as TLS: then the handshake fails, and nothing was acted on."""
    conn = world.plain()
    conn.open(HOST)
    conn.send(STARTTLS)
    conn.until("<proceed[^>]*>")
    conn.send(behind(world)[kind])
    try:
        conn.handshake(world.context, HOST)
        raise AssertionError("plain text in front of the handshake was passed over")
    except Refused:
        pass
    assert b"<" not in conn.seen, conn.text()


for kind in ("stanza", "session", "plain", "second-starttls", "stream-end"):
    TABLE.add(f"t1-{kind}-behind-proceed", t1_later, kind)


@TABLE.attack("t1-all-at-once")
def t1_all(world):
    """Header, STARTTLS and a whole session without waiting for anything."""
    conn = world.plain().send(header(HOST) + STARTTLS + header(HOST) + PLAIN + message(world))
    conn.until("</stream:features><proceed[^>]*>")
    conn.handshake(world.context, HOST)
    assert not conn.seen, conn.text()
    assert "PLAIN" in conn.open(HOST)


@TABLE.attack("t1-exchange-before-does-not-go-on")
def t1_exchange(world):
    """A SCRAM exchange that was begun in plain text is forgotten with it."""
    conn, exchange = world.plain(), Scram("eve", PASSWORD)
    conn.open(HOST)
    kind, challenge = conn.auth("SCRAM-SHA-256", exchange.first())
    assert kind == "challenge"
    conn.send(STARTTLS).error("not-authorized")  # out of its turn
    conn = world.plain()
    conn.open(HOST)
    kind, challenge = conn.auth("SCRAM-SHA-256", exchange.first())
    assert conn.respond("!") == ("failure", "incorrect-encoding")
    conn.send(STARTTLS).until("<proceed[^>]*>")
    conn.handshake(world.context, HOST).open(HOST)
    assert conn.respond(exchange.final(challenge)) == ("failure", "malformed-request")


@TABLE.attack("t1-tls-behind-starttls-is-dropped-or-taken")
def t1_hello(world):
    """A ClientHello that does not wait for <proceed/>."""
    conn = world.plain()
    conn.open(HOST)
    hello = client_hello(ciphers=(0xC02B,))
    conn.send(STARTTLS.encode() + hello)
    conn.until("<proceed[^>]*>")
    conn.send(hello)
    kind, body = conn.record()
    assert kind in (ALERT, HANDSHAKE), (kind, body)


# ---- T2: stripping -----------------------------------------------------------------------------------------------------------------

LEGACY = ("<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>eve</username><password>" + PASSWORD + "</password>"
          "<resource>r</resource></query></iq>")
COMPRESS = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"


@TABLE.attack("t2-nothing-but-starttls-is-offered")
def t2_offer(world):
    features = world.plain(world.public).open(HOST)
    assert REQUIRED in features and "mechanism" not in features and "bind" not in features and "compress" not in features, features


@TABLE.attack("t2-login-without-tls")
def t2_login(world):
    for mechanism, data in (("PLAIN", f"\0eve\0{PASSWORD}".encode()), ("SCRAM-SHA-1", Scram("eve", PASSWORD).first()), ("SCRAM-SHA-256", None),
                            ("SCRAM-SHA-512-PLUS", Scram("eve", PASSWORD, gs2="p=tls-exporter,,").first())):
        conn = world.plain(world.public)
        conn.open(HOST)
        assert conn.auth(mechanism, data) == ("failure", "encryption-required"), mechanism


@TABLE.attack("t2-many-tries-without-tls")
def t2_tries(world):
    conn = world.plain(world.public)
    conn.open(HOST)
    for _ in range(5):
        assert conn.auth("PLAIN", f"\0eve\0{PASSWORD}".encode()) == ("failure", "encryption-required")
    conn.error("policy-violation")


@TABLE.attack("t2-compression-round")
def t2_compress(world):
    """CVE-2014-8760: after compression TLS was no more required. There is no compression (R3), and a stream that asks for it is over."""
    for where, port in (("open", world.public), ("open", world.port)):
        conn = world.plain(port)
        assert "compress" not in conn.open(HOST)
        conn.send(COMPRESS + PLAIN).error("unsupported-stanza-type")
    for where in ("direct", "authed", "bound"):
        world.stage(where).send(COMPRESS).error("unsupported-stanza-type")


def t2_refused(world, text, condition):
    conn = world.plain(world.public)
    conn.open(HOST)
    conn.send(text).error(condition)


for name, text in {
    "legacy-auth": LEGACY, "legacy-auth-fields": "<iq type='get' id='1'><query xmlns='jabber:iq:auth'><username>eve</username></query></iq>",
    "register": "<iq type='set' id='1'><query xmlns='jabber:iq:register'><username>x</username><password>y</password></query></iq>",
    "bind": "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "response": f"<message to='bob@{HOST}/b'/>",
}.items():
    TABLE.add(f"t2-{name}", t2_refused, text, "not-authorized")
SASL_2 = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{}</initial-response></authenticate>"
TABLE.add("t2-sasl-2", t2_refused, SASL_2.format(b64(f"\0eve\0{PASSWORD}")), "unsupported-stanza-type")



@TABLE.attack("t2-legacy-auth-under-tls")
def t2_legacy(world):
    for where in ("tls", "authed"):
        world.stage(where).send(LEGACY).error("not-authorized")


@TABLE.attack("t2-old-version")
def t2_version(world):
    """Without version there are no features, and once upon a time there was a login all the same."""
    text = header(HOST).replace(f"{HOST}' version='1.0'", f"{HOST}'")
    for port in (world.public, world.port):
        world.plain(port).send(text + LEGACY).error("unsupported-version")


@TABLE.attack("t2-plain-on-loopback")
def t2_loopback(world):
    """Where SCRAM may do without TLS, PLAIN may not."""
    conn = world.plain()
    features = conn.open(HOST)
    assert "SCRAM-SHA-256" in features and "PLAIN" not in features and "-PLUS" not in features, features
    assert conn.auth("PLAIN", f"\0eve\0{PASSWORD}".encode()) == ("failure", "encryption-required")


@TABLE.attack("t2-starttls-twice")
def t2_twice(world):
    for where in ("tls", "direct"):
        conn = world.stage(where).send(STARTTLS)
        assert conn.to_end() == f"<failure xmlns='{NS_TLS}'/></stream:stream>", conn.text()
    for where in ("authed", "bound"):
        world.stage(where).send(STARTTLS).error("not-authorized")


@TABLE.attack("t2-required-on-every-host")
def t2_hosts(world):
    for host in (HOST, OTHER, THIRD):
        assert REQUIRED in world.plain(world.public).open(host)


@TABLE.attack("t2-another-host-after-starttls")
def t2_other(world):
    """What was said before TLS does not count: the host may be another one, and a login is for that one."""
    conn = world.plain(world.public).starttls(world.context, HOST)
    conn.open(OTHER)
    assert conn.scram("eve", PASSWORD)[0] == "failure"  # is no account there


# ---- T3: what is spoken ------------------------------------------------------------------------------------------------------------

def vector(data, size):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + vector(data, 2)


def client_hello(version=0x0303, ciphers=(0xC02B, 0xC02F), compressions=b"\0", sni=HOST, versions=(), more=b"", session=b"", record=0x0301,
                 key_share=False):
    """A ClientHello in one record, by hand, since no library offers what it must refuse."""
    parts = b""
    if sni is not None:
        name = sni if isinstance(sni, bytes) else sni.encode()
        parts += extension(0, vector(b"\0" + vector(name, 2), 2))
    parts += extension(10, vector(struct.pack(">4H", 29, 23, 24, 25), 2)) + extension(11, b"\1\0")
    parts += extension(13, vector(struct.pack(">9H", 0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201), 2))
    if versions:
        parts += extension(43, vector(struct.pack(f">{len(versions)}H", *versions), 1))
    if key_share:
        parts += extension(51, vector(struct.pack(">H", 29) + vector(os.urandom(32), 2), 2))
    parts += more
    body = (struct.pack(">H", version) + os.urandom(32) + vector(session, 1) + vector(struct.pack(f">{len(ciphers)}H", *ciphers), 2)
            + vector(compressions, 1) + vector(parts, 2))
    return struct.pack(">BH", HANDSHAKE, record) + vector(b"\1" + vector(body, 3), 2)


def shake_by_hand(world, hello, is_starttls=False):
    conn = world.plain(None if is_starttls else world.direct)
    if is_starttls:
        conn.open(HOST)
        conn.send(STARTTLS).until("<proceed[^>]*>")
    return conn.send(hello)


def alerted(conn, *codes):
    """A fatal alert of one of these codes, then the end; nothing else."""
    found = conn.record()
    assert found and found[0] == ALERT and len(found[1]) == 2, found
    assert found[1][0] == 2 and (not codes or found[1][1] in codes), f"alert {list(found[1])}, not {codes}"
    assert conn.record() is None and not conn.seen, bytes(conn.seen)


HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, DECODE_ERROR, PROTOCOL_VERSION, INAPPROPRIATE_FALLBACK, NO_ALPN, UNRECOGNIZED = 40, 47, 50, 70, 86, 120, 112
VERSIONS = {"sslv3": 0x0300, "tls-1.0": 0x0301, "tls-1.1": 0x0302, "ssl-2": 0x0002, "zero": 0}
for name, version in VERSIONS.items():
    for is_starttls in (False, True):
        TABLE.add(f"t3-{name}-{'starttls' if is_starttls else 'direct'}", lambda world, version, is_starttls: alerted(shake_by_hand(
            world, client_hello(version, (0xC009, 0xC013, 0x002F, 0xC02B, 0xC02F)), is_starttls), PROTOCOL_VERSION, HANDSHAKE_FAILURE),
                version, is_starttls)
TABLE.add("t3-old-versions-listed", lambda world: alerted(shake_by_hand(world, client_hello(versions=(0x0302, 0x0301, 0x0300))), PROTOCOL_VERSION))
TABLE.add("t3-fallback", lambda world: alerted(shake_by_hand(world, client_hello(ciphers=(0xC02B, 0x5600))), INAPPROPRIATE_FALLBACK))

SUITES = {
    "static-rsa-cbc": (0x002F, 0x0035, 0x003C, 0x003D), "static-rsa-gcm": (0x009C, 0x009D), "static-rsa-ccm": (0xC09C, 0xC09D, 0xC0A0, 0xC0A1),
    "null": (0x0001, 0x0002, 0x003B, 0x002C, 0x002D), "ecdhe-null": (0xC006, 0xC010), "rc4": (0x0004, 0x0005, 0xC007, 0xC011, 0x0018),
    "3des": (0x000A, 0x0016, 0xC008, 0xC012, 0x001B), "des": (0x0009, 0x0015, 0x0012),
    "export": (0x0003, 0x0006, 0x0008, 0x000E, 0x0014, 0x0017, 0x0062, 0x0064),
    "ecdhe-cbc-sha1": (0xC009, 0xC00A, 0xC013, 0xC014), "ecdhe-cbc-sha2": (0xC023, 0xC024, 0xC027, 0xC028),
    "dhe-cbc": (0x0033, 0x0039, 0x0067, 0x006B),
    "dhe-gcm": (0x009E, 0x009F, 0xCCAA), "static-ecdh": (0xC004, 0xC005, 0xC00E, 0xC00F, 0xC02D, 0xC031),
    "anonymous": (0x0034, 0x003A, 0x006C, 0x00A6, 0xC018, 0xC019),
    "psk": (0x008C, 0x00A8, 0x00AE, 0xCCAB, 0xC035, 0xD001), "srp": (0xC01D, 0xC020, 0xC021), "camellia": (0x0041, 0x0084, 0xC072, 0xC076, 0xC086),
    "aria": (0xC03C, 0xC048, 0xC05C, 0xC060), "seed-idea": (0x0096, 0x0007), "krb5": (0x001E, 0x0029), "ecdhe-ccm": (0xC0AC, 0xC0AD, 0xC0AE),
    "gost": (0x0081, 0xC100, 0xFF85), "unknown": (0x0A0A, 0xFAFA, 0x00FF), "none-of-13": (0x1301, 0x1302, 0x1303),
}


def t3_suites(world, ciphers):
    """Neither the host with a key of elliptic curves nor the one with RSA takes any of them."""
    for sni in (HOST, OTHER):
        alerted(shake_by_hand(world, client_hello(ciphers=ciphers, sni=sni)), HANDSHAKE_FAILURE)
    alerted(shake_by_hand(world, client_hello(ciphers=ciphers, sni=OTHER), True), HANDSHAKE_FAILURE)


for name, ciphers in SUITES.items():
    TABLE.add(f"t3-{name}", t3_suites, ciphers)


def hello_of(conn):
    """Suite and compression of the ServerHello."""
    kind, body = conn.record()
    assert kind == HANDSHAKE and body[0] == 2, (kind, body[:40])
    at = 4 + 2 + 32
    at += 1 + body[at]
    return struct.unpack(">HB", body[at:at + 3])


@TABLE.attack("t3-good-suites-are-taken")
def t3_good(world):
    """By the same means, so that the refusals above mean something; weak ones beside them change nothing."""
    for sni, suite in ((HOST, 0xC02B), (HOST, 0xC02C), (HOST, 0xCCA9), (OTHER, 0xC02F), (OTHER, 0xC030), (OTHER, 0xCCA8)):
        assert hello_of(shake_by_hand(world, client_hello(ciphers=(0x0005, 0x000A, 0x002F, 0xC009, suite, 0x009C), sni=sni))) == (suite, 0)


@TABLE.attack("t3-compression")
def t3_compression(world):
    """CRIME: offered compression is not taken, and without the null method there is no connection."""
    assert hello_of(shake_by_hand(world, client_hello(compressions=b"\1\0"))) == (0xC02B, 0)
    alerted(shake_by_hand(world, client_hello(compressions=b"\1")), ILLEGAL_PARAMETER, DECODE_ERROR, HANDSHAKE_FAILURE)
    alerted(shake_by_hand(world, client_hello(ciphers=(0x1301,), compressions=b"\1\0", versions=(0x0304,), key_share=True)), ILLEGAL_PARAMETER)


@TABLE.attack("t3-old-protocols-of-a-library")
def t3_library(world):
    """The same by OpenSSL, with all that it still knows, on both kinds of ports."""
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = world.careless(maximum_version=version, minimum_version=version)
        for start in (lambda c: c.handshake(context, HOST), lambda c: c.starttls(context, HOST)):
            try:
                start(world.plain(world.direct if start.__code__.co_names[0] == "handshake" else world.port))
                raise AssertionError(f"{version} was taken")
            except Refused as refused:
                assert "PROTOCOL_VERSION" in refused.reason or "UNSUPPORTED_PROTOCOL" in refused.reason, refused.reason


@TABLE.attack("t3-weak-suites-of-a-library")
def t3_library_suites(world):
    for ciphers in ("kRSA", "aNULL", "eNULL", "AES128-SHA", "ECDHE+AES+SHA1:!AESGCM:!CHACHA20", "DHE", "CAMELLIA"):
        for host in (HOST, OTHER):
            context = world.careless(ciphers + ":@SECLEVEL=0", maximum_version=ssl.TLSVersion.TLSv1_2)
            try:
                world.plain(world.direct).handshake(context, host)
                raise AssertionError(f"{ciphers} was taken")
            except Refused as refused:
                assert "HANDSHAKE_FAILURE" in refused.reason, refused.reason


@TABLE.attack("t3-weak-signatures-and-curves")
def t3_weak(world):
    sha1 = extension(13, vector(struct.pack(">3H", 0x0201, 0x0203, 0x0101), 2))
    body = client_hello(ciphers=(0xC02B,))
    at = body.index(b"\0\r\0\x14\0\x12")
    weak = body[:at] + sha1 + body[at + 24:]
    weak = fix_lengths(weak)
    alerted(shake_by_hand(world, weak), HANDSHAKE_FAILURE, 71, ILLEGAL_PARAMETER)
    body = client_hello(ciphers=(0xC02B,))
    at = body.index(b"\0\n\0\n\0\x08")
    curves = body[:at + 6] + struct.pack(">4H", 1, 6, 15, 19) + body[at + 14:]
    alerted(shake_by_hand(world, curves), HANDSHAKE_FAILURE, ILLEGAL_PARAMETER)


def fix_lengths(record):
    """The lengths of record, message and extensions after one of the extensions has changed its size."""
    data = bytearray(record)
    at = 9 + 2 + 32
    at += 1 + data[at]
    at += 2 + struct.unpack(">H", data[at:at + 2])[0]
    at += 1 + data[at]
    data[at:at + 2] = struct.pack(">H", len(data) - at - 2)
    data[6:9] = (len(data) - 9).to_bytes(3, "big")
    data[3:5] = struct.pack(">H", len(data) - 5)
    return bytes(data)


@TABLE.attack("t3-heartbeat")
def t3_heartbeat(world):
    """CVE-2014-0160: not answered, and the handshake that held it is over."""
    conn = shake_by_hand(world, client_hello(ciphers=(0xC02B,), more=extension(15, b"\1")))
    conn.send(struct.pack(">BHH", HEARTBEAT, 0x0303, 3) + b"\1\x40\0")
    kinds = []
    while found := conn.record():
        kinds.append(found[0])
        assert found[0] != HEARTBEAT
    assert ALERT in kinds, kinds


# ---- T4: renegotiation, key updates ------------------------------------------------------------------------------------------------

class Library:
    """OpenSSL's own client, for what Python does not show of it."""

    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("ssl") or "libssl.so.3", use_errno=True)
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.SSL_CTX_new.argtypes = self.lib.SSL_CTX_free.argtypes = self.lib.SSL_new.argtypes = self.lib.SSL_free.argtypes = [ctypes.c_void_p]
        for name in ("SSL_connect", "SSL_do_handshake", "SSL_renegotiate"):
            getattr(self.lib, name).argtypes = [ctypes.c_void_p]
        self.lib.SSL_set_fd.argtypes = self.lib.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.lib.SSL_write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        self.lib.SSL_read.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        self.lib.SSL_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]

    def connect(self, port, newest):
        """A blocking connection; `newest` is a version of TLS."""
        sock = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", LIMIT_S, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", LIMIT_S, 0))
        context = self.lib.SSL_CTX_new(self.lib.TLS_client_method())
        tls = self.lib.SSL_new(context)
        self.lib.SSL_CTX_free(context)
        assert self.lib.SSL_ctrl(tls, 124, newest, None) == 1  # the newest version
        assert self.lib.SSL_set_fd(tls, sock.fileno()) == 1 and self.lib.SSL_connect(tls) == 1
        return sock, tls

    def write(self, tls, text):
        return self.lib.SSL_write(tls, text.encode(), len(text.encode()))

    def read(self, tls):
        buf = ctypes.create_string_buffer(65536)
        got = self.lib.SSL_read(tls, buf, 65536)
        return buf.raw[:max(got, 0)].decode("utf-8", "replace")

    def until(self, tls, end):
        text = ""
        while end not in text:
            got = self.read(tls)
            assert got, f"over before {end}: {text}"
            text += got
        return text


TLS_12, TLS_13 = 0x0303, 0x0304
READ_ONLY, REQUESTED = 0, 1


@TABLE.attack("t4-renegotiation")
def t4_renegotiation(world):
    """Asked for again and again; it is never done, and the answer is an alert that ends the client's connection."""
    library = Library()
    for i in range(30):
        sock, tls = library.connect(world.direct, TLS_12)
        if i % 2:
            library.write(tls, header(HOST))
            library.until(tls, "</stream:features>")
        assert library.lib.SSL_renegotiate(tls) == 1
        assert library.lib.SSL_do_handshake(tls) != 1, "it was done"
        library.lib.SSL_free(tls)
        sock.close()


@TABLE.attack("t4-renegotiation-in-a-session")
def t4_session(world):
    """While logged in, with data behind it."""
    library = Library()
    sock, tls = library.connect(world.direct, TLS_12)
    library.write(tls, header(HOST) + PLAIN)
    library.until(tls, "<success")
    library.write(tls, header(HOST))
    library.until(tls, "</stream:features>")
    assert library.lib.SSL_renegotiate(tls) == 1
    library.write(tls, message(world))
    assert library.lib.SSL_do_handshake(tls) != 1, "it was done"
    library.lib.SSL_free(tls)
    sock.close()


def update_keys(library, tls, kind, count):
    """How many went out before the other end was gone."""
    for i in range(count):
        if library.lib.SSL_key_update(tls, kind) != 1 or library.lib.SSL_do_handshake(tls) != 1:
            return i
    return count


@TABLE.attack("t4-few-key-updates-pass")
def t4_few(world):
    """A peer's right (RFC 8446 4.6.3): the stream goes on."""
    library = Library()
    for kind in (READ_ONLY, REQUESTED):
        sock, tls = library.connect(world.direct, TLS_13)
        library.write(tls, header(HOST))
        library.until(tls, "</stream:features>")
        assert update_keys(library, tls, kind, 32) == 32
        library.write(tls, "<presence/>")
        assert "not-authorized" in library.until(tls, "</stream:stream>")
        library.lib.SSL_free(tls)
        sock.close()


def t4_flood(world, kind, count):
    """Each costs the server many times what it costs the peer: the connection is over soon, and what lies behind them is not looked at."""
    library = Library()
    ends = [library.connect(world.direct, TLS_13) for _ in range(count)]
    before = world.log_size()
    for _, tls in ends:
        library.write(tls, header(HOST))
        library.until(tls, "</stream:features>")
    for _, tls in ends:
        if update_keys(library, tls, kind, 20000) == 20000:
            library.write(tls, "<presence/>")
        assert "not-authorized" not in library.read(tls)
    for sock, tls in ends:
        library.lib.SSL_free(tls)
        sock.close()
    wait_for("each was noticed", lambda: world.log(before).count('stream-limit') == count)
    assert world.log(before).count('limit="key updates"') == count


TABLE.add("t4-key-updates", t4_flood, READ_ONLY, 1)
TABLE.add("t4-key-updates-that-want-answers", t4_flood, REQUESTED, 1)
TABLE.add("t4-key-updates-of-many", t4_flood, REQUESTED, 10)


# ---- T5: handshakes that stall, or never end ---------------------------------------------------------------------------------------

def half_shaken(world, conn, steps):
    """Stops before the `steps`-th message of the client is sent."""
    conn.tls_in, conn.tls_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = world.context.wrap_bio(conn.tls_in, conn.tls_out, server_hostname=HOST)
    for _ in range(steps):
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        conn.send(conn.tls_out.read())
        conn.pump(lambda: len(conn.seen) > 0)
        conn.tls_in.write(bytes(conn.seen))
        conn.seen.clear()
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return conn.tls_out.read()


def begin(world, is_starttls):
    conn = world.plain(None if is_starttls else world.direct)
    if is_starttls:
        conn.open(HOST)
        conn.send(STARTTLS).until("<proceed[^>]*>")
    return conn


def stall(world, how, is_starttls):
    conn = begin(world, is_starttls)
    hello = client_hello()
    if how == "silent":
        return conn
    if how == "one-byte":
        return conn.send(hello[:1])
    if how == "record-head":
        return conn.send(hello[:5])
    if how == "half-hello":
        return conn.send(hello[:len(hello) // 2])
    if how == "hello-but-a-byte":
        return conn.send(hello[:-1])
    if how == "after-hello":
        conn.send(hello)
        assert conn.record()[0] == HANDSHAKE
        return conn
    last = half_shaken(world, conn, 1)
    return conn.send(last[:len(last) // 2] if how == "half-finished" else b"")


def t5_stall(world, how, is_starttls):
    """Thirty at a time; meanwhile others log in, and the chat goes on. Their own end is at the deadline (net_test)."""
    held = [stall(world, how, is_starttls) for _ in range(30)]
    world.session("carol").ping()
    world.pair.round()
    assert not any(conn.is_over for conn in held)
    if how == "half-finished":  # and one that goes on to lie
        held[0].send(bytes(500)).to_end()


for how in ("silent", "one-byte", "record-head", "half-hello", "hello-but-a-byte", "after-hello", "before-finished", "half-finished"):
    for is_starttls in (False, True):
        TABLE.add(f"t5-stalled-{how}-{'starttls' if is_starttls else 'direct'}", t5_stall, how, is_starttls)


def t5_huge(world, size, is_starttls):
    """A ClientHello that says to be huge: refused as soon as it says so, whatever follows."""
    conn = begin(world, is_starttls)
    data = b"\1" + size.to_bytes(3, "big") + b"\3\3" + bytes(16378)
    conn.send_until_over((b"\x16\3\1" + vector(data, 2)) + (b"\x16\3\1" + vector(bytes(16384), 2)) * (size // 16384))
    alerted(conn, ILLEGAL_PARAMETER, DECODE_ERROR)


for is_starttls in (False, True):
    TABLE.add(f"t5-hello-of-16-mb-{'starttls' if is_starttls else 'direct'}", t5_huge, (1 << 24) - 1, is_starttls)
    TABLE.add(f"t5-hello-of-1-mb-{'starttls' if is_starttls else 'direct'}", t5_huge, 1 << 20, is_starttls)


def records(hello, size):
    body = hello[5:]
    return b"".join(hello[:3] + vector(body[at:at + size], 2) for at in range(0, len(body), size))


@TABLE.attack("t5-hello-in-records-of-a-byte")
def t5_fragments(world):
    """Odd, but TLS; each record and each byte of it may come by itself. It is taken as what it is."""
    hello = client_hello()
    for size in (1, 2, 7):
        assert hello_of(begin(world, False).send(records(hello, size)))[0] in (0xC02B, 0xC02F)
    conn = begin(world, True)
    conn.trickle_raw(records(hello, 1), 1)
    assert hello_of(conn)[0] in (0xC02B, 0xC02F)


@TABLE.attack("t5-empty-records")
def t5_empty(world):
    conn = begin(world, False).send_until_over(b"\x16\3\1\0\0" * 20000)
    alerted(conn)


@TABLE.attack("t5-alerts")
def t5_alerts(world):
    """A flood of warnings within a handshake."""
    conn = begin(world, False).send(client_hello())
    while conn.record()[1][-4:] != b"\x0e\0\0\0":
        pass
    conn.send_until_over(b"\x15\3\3\0\2\1\x29" * 20000)
    alerted(conn)


RECORDS = {
    "too-long": b"\x16\3\1\xff\xff" + bytes(65535), "data-first": b"\x17\3\3\0\1a", "ccs-first": b"\x14\3\3\0\1\1",
    "unknown-type": b"\x63\3\3\0\1a",
    "finished-first": b"\x16\3\1\0\x10\x14\0\0\x0c" + bytes(12), "key-exchange-first": b"\x16\3\1\0\4\x10\0\0\0",
    "server-hello": b"\x16\3\1\0\4\2\0\0\0",
    "hello-of-nothing": b"\x16\3\1\0\4\1\0\0\0",
    "random-inside": b"\x16\3\1\0\x40\1\0\0\x3c\3\3" + bytes(range(58)),
}
for name, data in RECORDS.items():
    TABLE.add(f"t5-record-{name}", lambda world, data: alerted(begin(world, False).send(data)), data)
    TABLE.add(f"t5-record-{name}-starttls", lambda world, data: alerted(begin(world, True).send(data)), data)


@TABLE.attack("t5-record-of-no-known-version")
def t5_version(world):
    """Whoever sent that, would not understand an alert either."""
    assert begin(world, False).send(b"\x16\x99\1\0\4\1\0\0\0").to_end() == ""


@TABLE.attack("t5-broken-off-and-over-again")
def t5_broken(world):
    """Handshakes broken off at each step, many times over, by end and by reset."""
    for how in ("one-byte", "half-hello", "after-hello", "half-finished"):
        for i in range(25):
            stall(world, how, i % 2 == 0).close(reset=i % 3 == 0)
            world.conns.pop()
    world.session("carol").ping()


@TABLE.attack("t5-data-behind-finished")
def t5_data(world):
    """A whole login in the packet of the handshake's last message is no attack: it is answered."""
    conn = world.plain(world.direct)
    conn.handshake(world.context, HOST)
    conn.send(header(HOST) + PLAIN).until("</stream:features>.*<success")


# ---- T6: ALPN and SNI --------------------------------------------------------------------------------------------------------------

def alpn(world, names, is_starttls=False):
    context = world.tls()
    context.set_alpn_protocols(names)
    conn = world.plain(None if is_starttls else world.direct)
    conn = conn.starttls(context, HOST) if is_starttls else conn.handshake(context, HOST)
    return conn


def t6_foreign(world, names, is_starttls):
    try:
        alpn(world, names, is_starttls)
        raise AssertionError(f"{names} was taken")
    except Refused as refused:
        assert "no application protocol" in refused.reason.lower().replace("_", " "), refused.reason


for name, names in {"http-1.1": ["http/1.1"], "http-2": ["h2", "http/1.1"], "smtp": ["smtp", "imap", "pop3"], "case": ["XMPP-client"],
                    "server": ["xmpp-server"], "prefix": ["xmpp", "xmpp-clien", "xmpp-client2"], "many": [f"p{i}" for i in range(2000)]}.items():
    TABLE.add(f"t6-alpn-{name}", t6_foreign, names, False)
    TABLE.add(f"t6-alpn-{name}-starttls", t6_foreign, names, True)


@TABLE.attack("t6-alpn-that-is-ours")
def t6_ours(world):
    for names in (["xmpp-client"], ["http/1.1", "xmpp-client"], ["h2", "xmpp-client", "xmpp-server"]):
        conn = alpn(world, names)
        assert conn.tls.selected_alpn_protocol() == "xmpp-client"
        conn.open(HOST)


@TABLE.attack("t6-http-under-xmpp-alpn")
def t6_http(world):
    conn = alpn(world, ["xmpp-client"]).send(b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n").error("not-well-formed")
    assert "HTTP" not in conn.text() and "GET" not in conn.text()


@TABLE.attack("t6-alpn-malformed")
def t6_malformed(world):
    for data in (b"\0\0", b"\0\1\0", b"\0\5\7http", b"\0\x0b\x0bxmpp-client", b"\0\x0c\0xmpp-client", b""):
        alerted(shake_by_hand(world, client_hello(more=extension(16, data))), DECODE_ERROR, NO_ALPN)


def shown(world, sni, is_starttls=False, to=HOST):
    """Name in the certificate that the server shows, and the connection."""
    context = world.careless()
    conn = world.plain(None if is_starttls else world.direct)
    conn = conn.starttls(context, to, sni) if is_starttls else conn.handshake(context, sni)
    der = conn.tls.getpeercert(True)
    return [host for host in (HOST, OTHER, THIRD) if host.encode() in der], conn


@TABLE.attack("t6-sni-chooses-the-certificate")
def t6_sni(world):
    for is_starttls in (False, True):
        for host in (HOST, OTHER, THIRD, "TWO.Test"):
            assert shown(world, host, is_starttls)[0] == [host.lower()]


@TABLE.attack("t6-unknown-sni")
def t6_unknown(world):
    """The default host's certificate, and nothing of what was asked for."""
    for sni in ("four.test", "a.one.test", "test", "xn--nxasmq6b.test", "a" * 60 + ".test", ".".join(["a" * 60] * 4), None):
        for is_starttls in (False, True):
            name = sni or ("127.0.0.1" if not is_starttls else "::1")  # an address is never sent
            names, conn = shown(world, name, is_starttls)
            assert names == [HOST], (sni, names)
            conn.open(HOST)


@TABLE.attack("t6-sni-of-another-host")
def t6_other(world):
    """Which host is spoken to, is said by the stream; a client sees by the certificate if it was lied to on the way."""
    names, conn = shown(world, OTHER)
    assert names == [OTHER]
    conn.open(HOST)
    assert conn.scram("eve", PASSWORD)[0] == "success"
    conn.open(HOST)
    conn.bind("sni")
    assert conn.jid == f"eve@{HOST}/sni"
    names, conn = shown(world, HOST)
    conn.open(OTHER)
    assert conn.scram("eve", PASSWORD) == ("failure", "not-authorized")


@TABLE.attack("t6-unknown-host-behind-known-sni")
def t6_stream(world):
    shown(world, OTHER)[1].send(header("four.test")).error("host-unknown")


@TABLE.attack("t6-sni-malformed")
def t6_bad_sni(world):
    for name in (b"", b"a\0b.test", b"\xff\xfe", b"a" * 300, b"a" * 16000, b"one.test\0.four.test", b"../../etc/passwd", b"%s%n", b"one.test."):
        conn = shake_by_hand(world, client_hello(sni=name))
        kind, body = conn.record()
        assert kind == HANDSHAKE or (kind == ALERT and body in (bytes([2, DECODE_ERROR]), bytes([2, UNRECOGNIZED]),
                                                                bytes([1, UNRECOGNIZED]))), (name, kind, body)
    for data in (b"\0\0", b"\0\3\0\0\0", b"\0\4\1\0\1a", b"\0\x08\0\0\1a\0\0\1b", b"\xff\xff"):
        conn = shake_by_hand(world, client_hello(sni=None, more=extension(0, data)))
        kind, body = conn.record()
        assert kind in (HANDSHAKE, ALERT), (data, kind, body)
