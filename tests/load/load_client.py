"""A small XMPP client for storms: STARTTLS, SCRAM-SHA-256, bind (RFC 6120 5 to 7), and rude in all ways that a network is."""
import asyncio
import base64
import functools
import hashlib
import hmac
import logging
import os
import re
import socket
import ssl
import struct
import xml.etree.ElementTree as ET

LIMIT_S = 40  # of waiting for one answer
CLIENT = "{jabber:client}"
HEADER = ("<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
BIND = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{}</resource></bind></iq>"

logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of writes to a connection that went


class Closed(Exception):
    """The server ended the connection."""


@functools.lru_cache(maxsize=1000)
def salted(password, salt, iterations):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def scram_final(password, first_bare, challenge):
    """The client's last message and the signature that the server must show (RFC 5802 3)."""
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    key = salted(password, base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(key, b"Client Key", "sha256")
    bare = f"c=biws,r={fields['r']}"
    signed = ",".join((first_bare, challenge, bare)).encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    server = hmac.digest(hmac.digest(key, b"Server Key", "sha256"), signed, "sha256")
    return f"{bare},p={base64.b64encode(proof).decode()}", f"v={base64.b64encode(server).decode()}"


@functools.lru_cache(maxsize=4)
def tls_context(ca):
    context = ssl.create_default_context(cafile=ca)
    return context


class Client(asyncio.Protocol):
    """`on_stanza` is called with each stanza after login, as an element; without it they go to `inbox`."""

    def __init__(self, server, user, resource="r", password="bench", byte_by_byte=False, on_stanza=None):
        self.server, self.user, self.resource, self.password = server, user, resource, password
        self.byte_by_byte, self.on_stanza = byte_by_byte, on_stanza
        self.is_bound, self.transport, self.is_closed, self.inbox = False, None, asyncio.Event(), asyncio.Queue()
        self.pings, self.count = {}, 0
        self.fresh_parser()

    @property
    def jid(self):
        return f"{self.user}@localhost/{self.resource}"

    # ---- bytes ----

    def fresh_parser(self):
        self.parser, self.depth, self.root = ET.XMLPullParser(("start", "end")), 0, None

    def data_received(self, data):
        try:
            self.parser.feed(data)
            for what, element in self.parser.read_events():
                self.depth += 1 if what == "start" else -1
                if what == "start" and self.depth == 1:
                    self.root = element
                elif what == "end" and self.depth == 1:
                    self.root.clear()
                    self.took(element)
        except ET.ParseError:
            self.abort()

    def took(self, element):
        waiting = self.pings.pop(element.get("id"), None) if element.tag == CLIENT + "iq" else None
        if waiting:
            if not waiting.done():
                waiting.set_result(element)
        elif self.on_stanza and self.is_bound:
            self.on_stanza(element)
        else:
            self.inbox.put_nowait(element)

    def connection_lost(self, exc):
        self.is_closed.set()
        self.inbox.put_nowait(None)
        for waiting in self.pings.values():
            if not waiting.done():
                waiting.set_exception(Closed(self.jid))
        self.pings = {}

    def send(self, text):
        data = text.encode()
        if not self.byte_by_byte:
            self.transport.write(data)
            return
        for i in range(len(data)):
            self.transport.write(data[i:i + 1])

    async def next(self):
        element = await asyncio.wait_for(self.inbox.get(), LIMIT_S)
        if element is None:
            raise Closed(self.jid)
        return element

    async def expect(self, name):
        element = await self.next()
        assert element.tag.endswith("}" + name), f"{self.jid}: {name} expected, came {ET.tostring(element)}"
        return element

    # ---- login ----

    async def connect(self, receive_bytes=None):
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes:  # before the connection, or the window is large already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(sock, ("127.0.0.1", self.server.port)), LIMIT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.create_connection(lambda: self, sock=sock)
        except BaseException:
            sock.close()
            raise
        self.sock = sock

    def connection_made(self, transport):
        self.transport = transport

    async def ask_for_tls(self):
        self.send(HEADER)
        await self.expect("features")
        self.send(STARTTLS)
        await self.expect("proceed")

    async def start_tls(self):
        await self.ask_for_tls()
        loop = asyncio.get_running_loop()
        self.fresh_parser()
        try:
            transport = await loop.start_tls(self.transport, self, tls_context(self.server.path("cert.pem")), server_hostname="localhost",
                                             ssl_handshake_timeout=LIMIT_S)
        except (OSError, ConnectionError) as problem:
            raise Closed(f"{self.jid}: {problem}") from problem
        if transport is None:
            raise Closed(self.jid)
        self.transport = transport

    async def authenticate(self):
        self.send(HEADER)
        await self.expect("features")
        bare = f"n={self.user},r={base64.b64encode(os.urandom(18)).decode()}"
        first = base64.b64encode(f"n,,{bare}".encode()).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>{first}</auth>")
        challenge = base64.b64decode((await self.expect("challenge")).text).decode()
        last, signature = scram_final(self.password, bare, challenge)
        self.send(f"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{base64.b64encode(last.encode()).decode()}</response>")
        success = await self.expect("success")
        assert base64.b64decode(success.text).decode() == signature
        self.fresh_parser()

    async def bind(self):
        self.send(HEADER)
        await self.expect("features")
        answer = await self.ask(BIND.format(self.resource), "bind")
        assert answer.get("type") == "result", ET.tostring(answer)
        self.is_bound = True

    async def login(self, receive_bytes=None, presence=True):
        await self.connect(receive_bytes)
        await self.start_tls()
        await self.authenticate()
        await self.bind()
        if presence:
            self.send("<presence/>")
        return self

    # ---- life ----

    def ask_soon(self, text, number):
        """Sends an IQ; its answer as a future."""
        waiting = asyncio.get_running_loop().create_future()
        if self.is_closed.is_set():
            waiting.set_exception(Closed(self.jid))
        else:
            self.pings[number] = waiting
            self.send(text)
        return waiting

    async def ask(self, text, number):
        return await asyncio.wait_for(self.ask_soon(text, number), LIMIT_S)

    async def ping(self):
        self.count += 1
        number = f"ping{self.count}"
        answer = await self.ask(f"<iq type='get' id='{number}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>", number)
        assert answer.get("type") == "result", ET.tostring(answer)

    def message(self, to, body, number=""):
        self.send(f"<message to='{to}' type='chat' id='{number}'><body>{body}</body></message>")

    async def leave(self):
        """Ends the stream in order."""
        if not self.is_closed.is_set():
            self.send("</stream:stream>")
            self.transport.close()
        await asyncio.wait_for(self.is_closed.wait(), LIMIT_S)

    def abort(self, reset=False):
        """Ends the connection as a broken one does; with `reset` by RST."""
        if not self.transport or self.is_closed.is_set():
            return
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def client_hello():
    """The first bytes of a TLS handshake."""
    out = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def body_of(element):
    body = element.find(CLIENT + "body")
    return None if body is None else body.text


def ledger(text):
    """Numbers of `stave status` by name."""
    status = {name: int(value) for name, value in re.findall(r"^ *([a-z-]+) +(\d+)(?: KiB .*)?$", text, re.M)}
    status["balanced"] = bool(re.search(r"^ *balanced +yes$", text, re.M))
    return status
