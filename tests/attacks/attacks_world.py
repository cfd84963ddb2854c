"""What is attacked: a server of several hosts with two by-standers who chat all the while and must feel nothing.

A variant is a function of the world; it is run like this: a round of the chat, the attack, a round while everything that the attack opened is
still open, all of it closed, a round again. A round is a numbered message each way; each must come as it was sent, next and within the limit."""
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import traceback
import xml.etree.ElementTree as ET

from attacks_conn import CLIENT, LIMIT_S, Conn, header

HOST, OTHER, THIRD = "one.test", "two.test", "three.test"
PASSWORD = "correct horse"
PAUSE_S = 0.02  # between rounds that nobody waits for
PASSAGE_S = 8  # for one message of the by-standers, on a machine that is busy with a sanitizer's build
FAULT = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|assert-failed|worker-crash|"
                   r"worker-backoff|ledger-leak|ledger-double|handler-fault")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:error|warn |info |debug) [a-z][a-z0-9-]*"
                  r"(?: [A-Za-z0-9_.-]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"=\\]+))*")
UNSAFE = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\udc80-\udcff]")


HELD = []  # sockets that keep the ports that were given out from other programs


def free_ports(count):
    """Ports that only servers may take, which say SO_REUSEADDR as the sockets that hold them do."""
    socks = [socket.socket() for _ in range(count)]
    HELD.extend(socks)
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return [sock.getsockname()[1] for sock in socks]


def wait_for(what, test, limit=LIMIT_S):
    """Asks until `test` gives something true; the clock just ends a hopeless wait."""
    deadline = time.monotonic() + limit
    while not (found := test()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.01)
    return found


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def make_certificates(folder):
    """A CA, and a certificate for each host: elliptic curves, but RSA for the second, which old suites would need."""
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl("req", "-x509", *ec, "-nodes", "-days", "30", "-subj", "/CN=test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout",
            f"{folder}/ca.key", "-out", f"{folder}/ca.pem")
    for host in (HOST, OTHER, THIRD):
        kind = ["-newkey", "rsa:2048"] if host == OTHER else ec
        openssl("req", "-x509", *kind, "-nodes", "-days", "30", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-addext",
                "basicConstraints=critical,CA:FALSE", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-keyout",
                f"{folder}/{host}.key", "-out", f"{folder}/{host}.pem")


class Pair(threading.Thread):
    """Two sessions under TLS that chat until told to stop."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.changed, self.hurry = threading.Condition(), threading.Event()
        self.begun = self.done = 0
        self.slowest_s, self.failure, self.is_ending = 0, None, False  # the slowest message of late
        self.ends = [world.session("alice", "a"), world.session("bob", "b")]
        self.alice, self.bob = (end.jid for end in self.ends)
        for end in self.ends:
            world.conns.remove(end)  # nobody closes these between attacks
        self.start()

    def pass_on(self, sender, receiver, number):
        body = f"{number} of {sender.jid}, <as> it was 'sent'"
        sender.send(f"<message to='{receiver.jid}' type='chat' id='{number}'><body>"
                    f"{body.replace('<', '&lt;').replace('>', '&gt;')}</body></message>")
        began = time.monotonic()
        got = receiver.stanza(PASSAGE_S)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        wanted = {"from": sender.jid, "to": receiver.jid, "type": "chat", "id": str(number)}
        children = [(child.tag, child.attrib, child.text) for child in got]
        lang = got.attrib.pop("{http://www.w3.org/XML/1998/namespace}lang", "en")
        fits = got.tag == CLIENT + "message" and got.attrib == wanted and children == [(CLIENT + "body", {}, body)] and lang == "en"
        assert fits, f"{receiver.jid} expected message {number} and got {ET.tostring(got)}"
        receiver.parse()
        assert not receiver.ready and not receiver.seen, f"{receiver.jid} got more: {[ET.tostring(e) for e in receiver.ready]}"

    def run(self):
        try:
            while not self.is_ending:
                self.hurry.clear()
                with self.changed:
                    self.begun += 1
                self.pass_on(self.ends[0], self.ends[1], self.begun)
                self.pass_on(self.ends[1], self.ends[0], self.begun)
                with self.changed:
                    self.done = self.begun
                    self.changed.notify_all()
                self.hurry.wait(PAUSE_S)
        except Exception:
            with self.changed:
                self.failure = traceback.format_exc()
                self.changed.notify_all()

    def round(self):
        """Waits for a round that has begun after the call."""
        with self.changed:
            begun = self.begun
            self.hurry.set()
            self.changed.wait_for(lambda: self.failure or self.done > begun, 4 * LIMIT_S)
            assert not self.failure, f"the by-standers felt it in round {self.begun}:\n{self.failure}"
            assert self.done > begun, "the by-standers' chat stands still"

    def drop(self):
        self.is_ending = True
        for end in self.ends:
            end.close()

    def end(self):
        """Both leave in order: the server answers the end of each stream."""
        self.is_ending = True
        self.hurry.set()
        self.join(4 * LIMIT_S)
        assert not self.failure, self.failure
        for end in self.ends:
            rest = end.send("</stream:stream>").to_end()
            assert rest == "</stream:stream>", rest
            end.close()


class World:
    """A server in a folder of its own, ended by pid."""

    def __init__(self, name, accounts=(), listeners=None, more=""):
        self.build = os.path.abspath(os.environ.get("STAVE_BUILD", "build/asan"))
        self.dir = os.path.join(os.path.abspath(os.environ["STAVE_TMP"]), name)
        os.makedirs(self.dir)
        make_certificates(self.dir)
        self.listeners = listeners  # sockets that serve instead of the ports: by `c2s` and `direct`
        if listeners:
            self.port, self.direct, self.public = (sock.getsockname()[1] for sock in listeners)
        else:
            self.port, self.direct = free_ports(2)
        self.conns, self.pair, self.process, self.count = [], None, None, 0
        self.write_config(more)
        self.context = self.tls()
        for account in ("alice", "bob", "carol", "eve", *accounts):
            self.add(account)

    def write_config(self, more):
        user = 'user = "root"\n' if os.geteuid() == 0 else ""  # root must say so
        hosts = "".join(f'VirtualHost "{h}"\n  certificate = "{h}.pem"\n  key = "{h}.key"\n' for h in (HOST, OTHER, THIRD))
        with open(self.dir + "/stave.cfg.lua", "w") as out:
            out.write('data_path = "data"\nlog_level = "debug"\nio_threads = 2\ndurability = "none"\nc2s_interfaces = { "127.0.0.1" }\n'
                      f'c2s_ports = {{ {self.port} }}\nc2s_direct_tls_ports = {{ {self.direct} }}\n{user}{more}'
                      'modules_enabled = { "roster", "presence", "message", "offline", "blocking", "disco", "caps", "ping" }\n' + hosts)

    def command(self, *words, stdin=""):
        done = subprocess.run([self.build + "/stave", *words, "--config", self.dir + "/stave.cfg.lua"], input=stdin, text=True,
                              capture_output=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def add(self, name, host=HOST, password=PASSWORD):
        status, out = self.command("user", "add", f"{name}@{host}", stdin=password + "\n")
        assert status == 0, out

    # ---- life ----

    def start(self):
        words, more, before = [self.build + "/stave", "serve", "--config", self.dir + "/stave.cfg.lua"], {}, self.log().count("server-ready")
        if self.listeners:  # as systemd gives them (sd_listen_fds(3))
            def place():
                for i, sock in enumerate(self.listeners):
                    os.dup2(sock.fileno(), 50 + i)
                for i in range(len(self.listeners)):
                    os.dup2(50 + i, 3 + i)
            words = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *words]
            names = {"LISTEN_FDS": str(len(self.listeners)), "LISTEN_FDNAMES": "c2s:c2s-direct-tls:c2s"}
            more = {"env": {**os.environ, **names}, "preexec_fn": place, "close_fds": False}
        workers = self.log().count("worker-start")
        with open(self.dir + "/log", "ab") as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=out, **more)
        wait_for("server-ready", lambda: self.log().count("server-ready") > before or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.log()
        wait_for("worker-start", lambda: self.log().count("worker-start") > workers)
        self.first_worker = self.worker()
        return self

    def worker(self):
        return int(re.findall(r"worker-start pid=(\d+)", self.log())[-1])

    def log(self, since=0):
        if not os.path.exists(self.dir + "/log"):
            return ""
        with open(self.dir + "/log", "rb") as log:
            log.seek(since)
            return log.read().decode("utf-8", "surrogateescape")

    def log_size(self):
        return os.path.getsize(self.dir + "/log")

    def log_of(self, before):
        """All that the worker has logged since `before`: what it logs goes out later, but in order."""
        conn = self.plain()
        mark = f"stream-open peer=127.0.0.1:{conn.sock.getsockname()[1]} "
        wait_for(mark, lambda: mark in self.log(before))
        text = self.log(before)
        return text[:text.rfind("\n") + 1]

    def check_log(self, text):
        """Every line is one that the server writes, and none holds what could steer a terminal (threats X15)."""
        for line in text.splitlines(keepends=True):
            line = line.removesuffix("\n")
            assert LINE.fullmatch(line) and not UNSAFE.search(line), f"no line of the log: {line!r}"

    def status(self):
        status, out = self.command("status")
        assert status == 0, out
        numbers = {name: int(value) for name, value in re.findall(r"^ *([a-z-]+) +(\d+)(?: KiB .*)?$", out, re.M)}
        return {**numbers, "balanced": bool(re.search(r"^ *balanced +yes$", out, re.M))}

    def settle(self):
        """When all have left nothing is in flight, and the ledger balances."""
        wait_for("nobody here", lambda: (s := self.status())["sessions"] == s["connections"] == s["in-flight"] == 0 and s["balanced"])

    def check_health(self):
        log = self.log()
        found = FAULT.search(log)
        assert not found, log[max(found.start() - 500, 0):found.start() + 8000]
        assert self.worker() == self.first_worker, "another worker"
        self.check_log(log)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        before = self.log_size()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("no end after SIGTERM") from None
        log = self.log(before)
        assert status == 0 and "server-stop" in log and "balanced=yes" in log, log[-4000:]

    # ---- connections; all are closed at the end of a variant ----

    def tls(self, **settings):
        """A client's context that trusts the test's CA."""
        context = ssl.create_default_context(cafile=self.dir + "/ca.pem")
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do by themselves
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def careless(self, ciphers=None, **settings):
        """One that takes whatever the server takes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers(ciphers or "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def plain(self, port=None, **settings):
        conn = Conn(port or self.port, **settings)
        self.conns.append(conn)
        return conn

    def secure(self, host=HOST, **settings):
        """Direct TLS, nothing said yet."""
        return self.plain(self.direct, **settings).handshake(self.context, host)

    def stage(self, where, host=HOST):
        """A connection at a step of its life."""
        if where == "first":  # nothing was said
            return self.plain()
        if where == "open":  # header and features, no TLS
            conn = self.plain()
            conn.open(host)
            return conn
        if where == "tls":  # the same after STARTTLS
            conn = self.plain().starttls(self.context, host)
            conn.open(host)
            return conn
        if where == "direct":
            conn = self.secure(host)
            conn.open(host)
            return conn
        if where == "success":  # logged in, the new header is due
            conn = self.stage("direct", host)
            assert conn.scram("eve", PASSWORD)[0] == "success"
            return conn
        if where == "authed":  # logged in, nothing bound
            conn = self.stage("direct", host)
            conn.log_in(host, "eve", PASSWORD)
            return conn
        assert where == "bound"
        return self.session("eve")

    def session(self, user, resource="", **settings):
        conn = self.secure(**settings)
        conn.open(HOST)
        conn.log_in(HOST, user, PASSWORD)
        return conn.bind(resource)

    def close_all(self):
        for conn in self.conns:
            conn.close()
        self.conns = []


class Table:
    """The variants of one table of the threats, in order."""

    def __init__(self, name):
        self.name, self.variants = name, []

    def add(self, name, function, *args):
        assert name not in [v[0] for v in self.variants], f"two variants {name}"
        self.variants.append((name, function, args))

    def attack(self, name):
        def keep(function):
            self.add(name, function)
            return function
        return keep


def run_variant(world, function, args):
    """Raises if the attack has an effect that it must not have."""
    if world.pair is None:
        world.pair = Pair(world)
    world.pair.slowest_s = 0
    try:
        world.pair.round()
        function(world, *args)
        world.pair.round()
        world.close_all()
        world.pair.round()
        assert world.worker() == world.first_worker, "another worker"
    except Exception:
        world.close_all()
        if world.pair.failure:
            world.pair.drop()
            world.pair = None  # the next variant gets new by-standers
        world.first_worker = world.worker()
        raise


__all__ = ["CLIENT", "HOST", "LIMIT_S", "OTHER", "PASSWORD", "THIRD", "Conn", "Table", "World", "header", "run_variant", "wait_for"]
