"""Threats, table "Exhaustion" as far as streams go: R1 (strangers), R2 (who never reads), R5 (descriptors)."""
import os
import re
import resource

from attacks_conn import STARTTLS, Conn, Scram, b64
from attacks_world import HOST, PASSWORD, Table, World, header, wait_for

TABLE = Table("flood")
POOL = 1000  # strangers that the server keeps
FAST = 'c2s_rate = "0"\n'  # attackers of any speed
SHORT = 'c2s_step_timeout = "1s"\nc2s_login_timeout = "5s"\n'
DEAF_BYTES = 4096  # what the system takes for one who never reads
PING = "<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>"


def make_world():
    return World("flood", more=FAST)


def descriptors(world):
    return len(os.listdir(f"/proc/{world.worker()}/fd"))


def raise_own_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536, hard))


def login_works(world):
    world.session("carol").ping()


def settled(world, before):
    """All that was held for the attack is given back."""
    world.close_all()
    wait_for("descriptors given back", lambda: descriptors(world) <= before)


# ---- R1: strangers -----------------------------------------------------------------------------------------------------------------

@TABLE.attack("r1-silent-connections")
def r1_silent(world):
    before = descriptors(world)
    for port in (world.port, world.direct):
        for _ in range(200):
            world.plain(port)
    login_works(world)
    world.pair.round()
    settled(world, before)


@TABLE.attack("r1-silent-at-every-step")
def r1_steps(world):
    """Eighty each: after the header, after <proceed/>, within TLS, within SASL, before bind."""
    before = descriptors(world)
    for _ in range(80):
        world.plain().open(HOST)
        conn = world.plain()
        conn.open(HOST)
        conn.send(STARTTLS).until("<proceed[^>]*>")
        world.secure()
        conn = world.stage("direct")
        assert conn.auth("SCRAM-SHA-256", Scram("eve", PASSWORD).first())[0] == "challenge"
    held = [world.stage("authed") for _ in range(20)]
    login_works(world)
    world.pair.round()
    assert not any(conn.step(0) or conn.is_over for conn in held)
    settled(world, before)


@TABLE.attack("r1-more-than-the-pool-holds")
def r1_pool(world):
    """The oldest makes room, with a reason; whoever comes is still served, and who has logged in is no stranger."""
    raise_own_limit()
    before = descriptors(world)
    held = [world.plain() for _ in range(POOL + 60)]
    for conn in held[:20]:
        conn.error("resource-constraint")
    login_works(world)
    held[-1].open(HOST)
    world.pair.round()
    settled(world, before)


@TABLE.attack("r1-one-byte-senders")
def r1_bytes(world):
    """A hundred headers, a byte of each in turn."""
    crowd = [world.plain() for _ in range(100)]
    text = header(HOST)
    for i, letter in enumerate(text):
        for conn in crowd:
            conn.send(letter)
        if i % 40 == 0:
            world.pair.round()
    for conn in crowd:
        conn.until("</stream:features>")


@TABLE.attack("r1-one-byte-senders-under-tls")
def r1_bytes_tls(world):
    crowd = [world.secure() for _ in range(25)]
    for letter in header(HOST):
        for conn in crowd:
            conn.send(letter)
    for conn in crowd:
        conn.until("</stream:features>")


@TABLE.attack("r1-left-at-every-step")
def r1_left(world):
    """Gone without a word, by end and by reset, over and over; nothing of them stays."""
    before = descriptors(world)
    for i in range(60):
        for where in ("first", "open", "tls", "direct", "success", "authed"):
            if where in ("first", "open") or i < 8:
                world.stage(where).close(reset=i % 2 == 0)
                world.conns.pop()
    conn = world.plain()
    for _ in range(200):
        world.plain().close(reset=True)
        world.conns.pop()
    conn.open(HOST)
    settled(world, before)
    assert world.status()["connections"] <= 2


@TABLE.attack("r1-left-while-keys-are-looked-up")
def r1_lookup(world):
    """PLAIN's derivation goes on in a pool of threads when its stream has gone."""
    before = descriptors(world)
    for i in range(40):
        conn = world.stage("direct")
        conn.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGV2ZQA=</auth><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                  "mechanism='PLAIN'>AGV2ZQBjb3JyZWN0IGhvcnNl</auth>").close(reset=i % 2 == 0)
        world.conns.pop()
    settled(world, before)
    login_works(world)


@TABLE.attack("r1-many-headers-at-once")
def r1_headers(world):
    crowd = [world.plain().send(header(HOST)) for _ in range(300)]
    for conn in crowd:
        conn.until("</stream:features>")


@TABLE.attack("r1-deadlines")
def r1_deadlines(world):
    """Whoever stands still at a step is told so and closed; a byte now and then is no step. On a server with short deadlines."""
    short = World("short", more=SHORT).start()
    try:
        silent, opened, exchange, slow, proceeding = (Conn(short.port) for _ in range(5))
        for conn in (opened, exchange, proceeding):
            conn.open(HOST)
        assert exchange.auth("SCRAM-SHA-256", Scram("eve", PASSWORD).first())[0] == "challenge"
        proceeding.send(STARTTLS).until("<proceed[^>]*>")
        text = header(HOST, f" a='{'x' * 2000}'").encode()
        for i in range(len(text)):
            slow.send(text[i:i + 1])
            slow.step(0.1)
            if slow.is_over:
                break
        assert i < len(text) - 1, "its header was waited for"
        for conn in (silent, opened, exchange, slow):
            conn.error("connection-timeout")
        assert proceeding.to_end() == ""
        tireless = Conn(short.port)  # each step in time, and never at an end
        tireless.open(HOST)
        while not tireless.is_over:
            tireless.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>{b64(Scram('a', 'b').first())}</auth>")
            tireless.step(0.3)
        assert re.search("<(connection-timeout|policy-violation) ", tireless.text()), tireless.text()
        for conn in (silent, opened, exchange, slow, proceeding, tireless):
            conn.close()
        short.settle()
        short.check_health()
    finally:
        short.stop()


# ---- R2: who never reads -----------------------------------------------------------------------------------------------------------

def closed_as_slow(world, before):
    wait_for("session-slow", lambda: "session-slow" in world.log(before))


@TABLE.attack("r2-asks-and-never-reads")
def r2_asks(world):
    """Its answers wait to a bound, then the session is over; it cannot send more than it reads for ever."""
    conn = world.session("eve", receive_bytes=DEAF_BYTES)
    conn.take = lambda data: None
    ping = PING.format("i" * 2000) * 50
    held = world.log_size()
    for _ in range(400):
        conn.put(ping)
        if not push(conn):
            break
    closed_as_slow(world, held)
    world.pair.round()


def push(conn, limit_s=1):
    """Writes without ever reading; false if the other end takes nothing for `limit_s`, or has gone."""
    conn.sock.settimeout(limit_s)
    try:
        while conn.out:
            del conn.out[:conn.sock.send(conn.out[:65536])]
        return True
    except OSError:
        return False


def messages(to, size):
    return f"<message to='{to}' type='chat'><body>{'m' * size}</body></message>"


@TABLE.attack("r2-recipient-never-reads")
def r2_recipient(world):
    """Eve floods one of her own who sleeps: that session ends at its bound with what waited, hers goes on."""
    deaf = world.session("carol", "deaf", receive_bytes=DEAF_BYTES)
    sender, before = world.stage("bound"), world.log_size()
    for i in range(200):
        sender.send(messages(deaf.jid, 20000))
        if i % 20 == 0:
            world.pair.round()
            sender.pump(lambda: not sender.out)
        if "session-slow" in world.log(before):
            break
    closed_as_slow(world, before)
    sender.send(PING.format("after"))
    while sender.stanza().get("id") != "after":  # bounces of what could not be handed over
        pass


@TABLE.attack("r2-by-stander-is-flooded-by-none-of-it")
def r2_presence(world):
    """A sleeper with many stanzas of all kinds on the way to him; by-standers share his I/O thread and his account's host."""
    deaf = [world.session("carol", f"d{i}", receive_bytes=DEAF_BYTES) for i in range(4)]
    sender, before = world.stage("bound"), world.log_size()
    for i in range(400):
        for end in deaf:
            sender.put(messages(end.jid, 9000) * 2 + f"<presence to='{end.jid}'><status>{'s' * 2000}</status></presence>")
        sender.pump(lambda: not sender.out)
        if i % 10 == 0:
            world.pair.round()
        if world.log(before).count("session-slow") == len(deaf):
            break
    wait_for("all are over", lambda: world.log(before).count("session-slow") == len(deaf))


@TABLE.attack("r2-stranger-never-reads")
def r2_stranger(world):
    """Whoever asks before login and does not listen: there are only so many questions that a stranger may ask."""
    before = world.log_size()
    conn = world.plain(receive_bytes=DEAF_BYTES)
    conn.open(HOST)
    conn.take = lambda data: None
    for _ in range(200):
        conn.out += b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'/>" * 50
        if not push(conn, 0.2):
            break
    wait_for("its end", lambda: "error=policy-violation" in world.log(before))


@TABLE.attack("r2-sleeps-in-a-handshake")
def r2_handshake(world):
    """Never reads the server's flight."""
    from attacks_tls import client_hello
    held = [world.plain(world.direct, receive_bytes=DEAF_BYTES).send(client_hello()) for _ in range(30)]
    login_works(world)
    world.pair.round()
    assert len(held) == 30


@TABLE.attack("r2-never-ends")
def r2_ends(world):
    """The server has said its end; the peer neither reads nor closes. Its session is over all the same."""
    held = [world.session("eve", receive_bytes=DEAF_BYTES) for _ in range(5)]
    before = world.log_size()
    for conn in held:
        conn.take = lambda data: None
        conn.send("<!-- -->")
    wait_for("errors", lambda: world.log(before).count("error=restricted-xml") == 5)
    world.pair.round()
    login_works(world)


# ---- R5: descriptors ---------------------------------------------------------------------------------------------------------------

@TABLE.attack("r5-no-descriptors-left")
def r5(world):
    """Accepting pauses without spinning; who is here goes on; who waited is served when there is room again."""
    worker, before = world.worker(), world.log_size()
    old = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    numbers = [int(fd) for fd in os.listdir(f"/proc/{worker}/fd")]
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (max(numbers) + 8, old[1]))
    try:
        waiting = [world.plain() for _ in range(40)]
        wait_for("the pause", lambda: "listener-failed" in world.log(before))
        used = cpu_ticks(worker)
        for _ in range(30):
            world.pair.round()
        told = world.log(before).count("listener-failed")
        assert told < 10, f"told {told} times"
        assert cpu_ticks(worker) - used < 400, "it spins"
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, old)
    for conn in waiting:
        conn.open(HOST)
    login_works(world)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])
