"""A peer's end of one connection: bytes in any shape, TLS by hand where wanted, the steps of XMPP, SASL down to each letter."""
import base64
import functools
import hashlib
import hmac
import os
import re
import select
import socket
import ssl
import struct
import time
import xml.etree.ElementTree as ET

LIMIT_S = 30  # of waiting for one event
NS_STREAM = "http://etherx.jabber.org/streams"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
CLIENT = "{jabber:client}"
STARTTLS = f"<starttls xmlns='{NS_TLS}'/>"
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
ERROR = re.compile(r"(?s)(.*)<stream:error><([a-z-]+) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>(?:<text [^>]*>[^<]*</text>)?"
                   r"</stream:error></stream:stream>")
OPENED = re.compile(r"(?:<\?xml version='1.0'\?><stream:stream [^>]*>)?")


class Refused(Exception):
    """The TLS handshake failed; `reason` is OpenSSL's, or `closed`."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def header(to, more="", prefix="stream"):
    return (f"<?xml version='1.0'?><{prefix}:stream to='{to}' version='1.0' xmlns='jabber:client' "
            f"xmlns:{prefix}='{NS_STREAM}'{more}>")


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


class Conn:
    """Reads while it writes, so that no flood of its own can lock it up. What came and was not asked for yet is in `seen`."""

    def __init__(self, port, receive_bytes=None):
        self.port, self.tls, self.is_shaking = port, None, False
        self.out, self.seen, self.raw = bytearray(), bytearray(), bytearray()
        self.is_over = self.is_deaf = False  # the peer's end came; the peer takes nothing any more
        self.why, self.jid, self.parser = "", None, None
        self.sock = socket.socket()
        if receive_bytes:  # before the connection, or the window is large already
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll = select.poll()

    # ---- bytes ----

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def decrypt(self):
        try:
            while got := self.tls.read(65536):
                self.seen += got
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as problem:
            self.why, self.is_over = problem.reason or "tls", True
        self.out += self.tls_out.read()

    def take(self, data):
        if self.tls is None:
            self.seen += data
            self.raw += data
            return
        self.tls_in.write(data)
        if not self.is_shaking:
            self.decrypt()

    def step(self, wait_s):
        """Waits for the socket and does once what it allows."""
        self.poll.register(self.sock, select.POLLIN | (select.POLLOUT if self.out else 0))
        for _, event in self.poll.poll(max(wait_s, 0) * 1000):
            if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
                try:
                    data = self.sock.recv(1 << 18)
                except BlockingIOError:
                    continue
                except OSError as problem:
                    self.is_over, self.why = True, problem.strerror
                    return
                if not data:
                    self.is_over, self.why = True, "end"
                    return
                self.take(data)
            if event & select.POLLOUT and self.out:
                try:
                    del self.out[:self.sock.send(self.out[:1 << 18])]
                except BlockingIOError:
                    continue
                except OSError:
                    self.out.clear()
                    self.is_deaf = True

    def pump(self, is_done, limit=LIMIT_S):
        """Reads and writes until `is_done()`; false if the peer's end came first."""
        deadline = time.monotonic() + limit
        while not is_done():
            if self.is_over:
                return False
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain; seen: {bytes(self.seen[-2000:])!r}"
            self.step(left)
        return True

    def put(self, data):
        """Queues; goes with the next wait or send."""
        data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        if self.is_deaf or self.is_over:
            return
        if self.tls is None:
            self.out += data
            return
        for at in range(0, len(data), 16384):
            try:
                self.tls.write(data[at:at + 16384])
            except ssl.SSLError:
                self.is_deaf = True  # it was closed
        self.out += self.tls_out.read()

    def send(self, data):
        self.put(data)
        self.pump(lambda: not self.out)
        return self

    def send_until_over(self, data):
        """Writes for as long as the peer takes it. The bytes are for a peer that ends before they do."""
        self.put(data)
        self.pump(lambda: not self.out)
        return self

    def trickle(self, data, size):
        """In pieces, each a packet (and a record) of its own; stops when the peer has ended."""
        data = data.encode() if isinstance(data, str) else data
        for at in range(0, len(data), size):
            self.send(data[at:at + size])
            self.step(0)
            if self.is_over:
                break
        return self

    def text(self):
        return self.seen.decode("utf-8", "replace")

    def until(self, pattern):
        """The match of what comes next; it and what stood before it are used up."""
        found = None

        def look():
            nonlocal found
            found = re.search(pattern.encode(), self.seen, re.S)
            return found is not None

        assert self.pump(look), f"over ({self.why}) before {pattern}: {self.text()[-2000:]}"
        whole = self.seen[found.start():found.end()].decode("utf-8", "replace")
        del self.seen[:found.end()]
        return re.search(pattern, whole, re.S)

    def to_end(self):
        """All that still comes until the peer's end."""
        self.pump(lambda: False)
        return self.text()

    def error(self, *conditions, before=OPENED):
        """The stream must end with this one error, and nothing else may have been said but what `before` matches."""
        text = self.to_end()
        found = ERROR.fullmatch(text)
        assert found, f"no stream error at the end ({self.why}): {text[-2000:]!r}"
        assert found.group(2) in conditions, f"{found.group(2)} instead of {conditions}"
        assert re.compile(before).fullmatch(found.group(1)), f"said before the error: {found.group(1)[-2000:]!r}"
        return self

    # ---- TLS ----

    def handshake(self, context, name, piece=None):
        """Raises Refused; what the server sent instead is in `raw` only if it was no TLS."""
        self.tls_in, self.tls_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.tls_in, self.tls_out, server_hostname=name)
        self.is_shaking = True
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as problem:
                self.out += self.tls_out.read()
                raise Refused(problem.reason or str(problem)) from problem
            data = self.tls_out.read()
            if piece:
                self.trickle_raw(data, piece)
            else:
                self.out += data
            if self.is_over or not self.pump(lambda: self.tls_in.pending):
                raise Refused("closed")
        self.is_shaking = False
        self.out += self.tls_out.read()
        self.pump(lambda: not self.out)
        self.decrypt()
        return self

    def trickle_raw(self, data, size):
        for at in range(0, len(data), size):
            self.out += data[at:at + size]
            self.pump(lambda: not self.out)

    def record(self):
        """The next TLS record as type and body, None at the end; only for handshakes made by hand."""
        whole = lambda: len(self.seen) >= 5 and len(self.seen) >= 5 + struct.unpack(">H", self.seen[3:5])[0]
        if not self.pump(whole):
            return None
        size = struct.unpack(">H", self.seen[3:5])[0]
        kind, body = self.seen[0], bytes(self.seen[5:5 + size])
        del self.seen[:5 + size]
        return kind, body

    # ---- steps of XMPP ----

    def open(self, to, more=""):
        """Header, and the answer up to its features, which are returned."""
        self.send(header(to, more))
        return self.until(r"<stream:features>.*?</stream:features>").group(0)

    def starttls(self, context, to, name=None):
        self.open(to)
        self.send(STARTTLS)
        self.until(r"<proceed[^>]*>")
        assert not self.seen, self.text()
        return self.handshake(context, name or to)

    def auth(self, mechanism, data=None):
        """<auth/> with `data` (text is sent as it is, bytes as base64; None: without), then the answer."""
        text = "" if data is None else data if isinstance(data, str) else (b64(data) or "=")
        self.send(f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>{text}</auth>")
        return self.sasl()

    def respond(self, data):
        text = data if isinstance(data, str) else (b64(data) or "=")
        self.send(f"<response xmlns='{NS_SASL}'>{text}</response>")
        return self.sasl()

    def sasl(self):
        """What the server said: challenge, success or failure, and the decoded data or the condition."""
        found = self.until(rf"<(challenge|success|failure) xmlns='{NS_SASL}'(?:/>|>(.*?)</(?:challenge|success|failure)>)")
        kind, text = found.group(1), found.group(2) or ""
        if kind == "failure":
            return kind, re.match(r"<([a-z-]+)/>", text).group(1)
        return kind, base64.b64decode("" if text == "=" else text)

    def scram(self, user, password, mechanism="SCRAM-SHA-256", **odd):
        """A whole exchange; what the server said at last. `odd`: see Scram."""
        exchange = Scram(user, password, mechanism, **odd)
        kind, data = self.auth(mechanism, exchange.first())
        if kind != "challenge":
            return kind, data
        kind, data = self.respond(exchange.final(data))
        if kind == "success":
            assert data == exchange.signature(), "the server's signature is wrong"
        return kind, data

    def log_in(self, to, user, password):
        """SCRAM, then the second header; features."""
        answer = self.scram(user, password)
        assert answer[0] == "success", answer
        return self.open(to)

    def bind(self, resource=""):
        self.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                  f"<resource>{resource}</resource></bind></iq>")
        found = self.until(r"<iq type='(result|error)' id='bind'>(.*?)</iq>")
        assert found.group(1) == "result", found.group(0)
        self.bound(found.group(2))
        return self

    def bound(self, answer):
        self.jid = re.search(r"<jid>(.*?)</jid>", answer).group(1)
        self.parser = ET.XMLPullParser(("start", "end"))
        self.parser.feed(f"<stream:stream xmlns='jabber:client' xmlns:stream='{NS_STREAM}'>")
        self.depth, self.root, self.ready = 0, None, []

    # ---- stanzas, once bound ----

    def parse(self):
        if self.seen:
            self.parser.feed(bytes(self.seen))
            self.seen.clear()
        for what, element in self.parser.read_events():
            self.depth += 1 if what == "start" else -1
            if what == "start" and self.depth == 1:
                self.root = element
            elif what == "end" and self.depth == 1:
                self.root.remove(element)
                self.ready.append(element)

    def stanza(self, limit=LIMIT_S):
        """The next one, as an element."""
        def look():
            self.parse()
            return bool(self.ready)
        assert self.pump(look, limit) or look(), f"{self.jid}: over ({self.why})"
        return self.ready.pop(0)

    def ping(self, number="p"):
        """Alive, and all sent before is done."""
        self.send(f"<iq type='get' id='{number}'><ping xmlns='urn:xmpp:ping'/></iq>")
        answer = self.stanza()
        assert answer.tag == CLIENT + "iq" and answer.get("type") == "result" and answer.get("id") == number, ET.tostring(answer)
        return self


@functools.lru_cache(maxsize=1000)
def salted(hash_name, password, salt, iterations):
    return hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)


def fields(message):
    return dict(part.split("=", 1) for part in message.decode().split(","))


class Scram:
    """One SCRAM exchange (RFC 5802), each part of which can be bent."""

    def __init__(self, user, password, mechanism="SCRAM-SHA-256", gs2="n,,", nonce=None, binding=b"", change=None, proof=None):
        self.password, self.hash = password, HASHES[mechanism.removesuffix("-PLUS")]
        self.gs2, self.binding, self.change, self.proof = gs2, binding, change, proof
        self.nonce = nonce or b64(os.urandom(18))
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"

    def first(self):
        return (self.gs2 + self.bare).encode()

    def final(self, challenge):
        """`change(c, r)` returns other values for both; `proof(bytes)` another proof."""
        told = fields(challenge)
        key = salted(self.hash, self.password, base64.b64decode(told["s"]), int(told["i"]))
        c, r = b64(self.gs2.encode() + self.binding), told["r"]
        if self.change:
            c, r = self.change(c, r)
        without = f"c={c},r={r}"
        self.signed = f"{self.bare},{challenge.decode()},{without}".encode()
        client_key = hmac.digest(key, b"Client Key", self.hash)
        signature = hmac.digest(hashlib.new(self.hash, client_key).digest(), self.signed, self.hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.key = key
        return f"{without},p={b64(self.proof(proof) if self.proof else proof)}".encode()

    def signature(self):
        server_key = hmac.digest(self.key, b"Server Key", self.hash)
        return b"v=" + b64(hmac.digest(server_key, self.signed, self.hash)).encode()
