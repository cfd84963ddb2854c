"""What the suite `load` does to a server. Each case has a server of its own and ends with the same questions: did a sanitizer or an assertion
speak, did the worker die, is everybody gone, is nothing in flight, does the ledger balance."""
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
import load_storm as storm
import load_strangers as strangers
from load_client import LIMIT_S, Client, Closed, body_of, ledger
from server import Server

FAULT = re.compile(r"WARNING: ThreadSanitizer|ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|assert-failed|worker-crash|"
                   r"ledger-leak|ledger-double|worker-backoff")
ACCOUNTS = 120
STRANGER_BYTES = 24 * 1024  # architecture 11
MEMORY_ROUNDS, MEMORY_SLACK_KIB = 5, 8192


class Loaded(Server):
    """A server with accounts user000000 ... of the load generator, and the questions at the end."""

    def __init__(self, threads, config=""):
        super().__init__(f"io_threads = {threads}\nlog_level = \"info\"\n" + config)
        self.deaths = 0  # of the worker, that are wanted
        store = self.path("data/store")
        os.makedirs(store, 0o700)
        os.chmod(self.path("data"), 0o700)
        subprocess.run([f"{self.build}/tests/bench/bench_accounts", store, "localhost", str(ACCOUNTS), "bench"], check=True,
                       capture_output=True)

    async def ask(self, *words, stdin=None):
        """Status and output of a command, while others go on."""
        process = await asyncio.create_subprocess_exec(self.stave, *words, "--config", self.config, stdin=subprocess.PIPE,
                                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = await asyncio.wait_for(process.communicate(stdin and stdin.encode()), LIMIT_S)
        return process.returncode, out.decode(errors="replace")

    async def ledger(self):
        status, out = await self.ask("status")
        assert status == 0, out
        return ledger(out)

    async def until(self, what, test):
        """The first ledger that passes the test."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            now = await self.ledger()
            if test(now):
                return now
            assert time.monotonic() < deadline, f"never came: {what}: {now}"
            await asyncio.sleep(0.05)

    async def deserted(self):
        """The ledger when all have left: nothing may be in flight, and it must balance."""
        now = await self.until("nobody here, nothing in flight",
                               lambda s: s["sessions"] == 0 and s["connections"] == 0 and s["in-flight"] == 0)
        assert now["balanced"], now
        return now

    def worker(self):
        return int(re.findall(r"worker-start pid=(\d+)", self.read_log())[-1])

    def check_log(self):
        log = self.read_log()
        faults = [m for m in FAULT.finditer(log)]
        wanted = sum(m.group() == "worker-crash" for m in faults)
        if len(faults) != wanted or wanted != self.deaths:
            at = faults[0].start() if faults else 0
            raise AssertionError(f"{wanted} deaths of the worker, {self.deaths} wanted:\n{log[at:at + 8000]}")
        return log

    def end(self, is_asked=False):
        """SIGTERM, if it was not sent already (a second one ends it at once); it must end in order."""
        if not is_asked:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("no end after SIGTERM:\n" + self.read_log()[-4000:])
        log = self.check_log()
        assert status == 0, f"status {status}:\n{log[-4000:]}"
        return log


# ---- chat and storms at once ----

async def bench_chat(server, run_ms, count=40):
    """The load generator's chat: every message must come, in order."""
    process = await asyncio.create_subprocess_exec(
        f"{server.build}/tests/bench/bench_chat", "chat", f"port={server.port}", f"pid={server.worker()}", f"count={count}", "parallel=10",
        f"run_ms={run_ms}", "warm_ms=100", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(b"\n\n"), LIMIT_S + run_ms / 1000)
    values = dict(line.rsplit(" ", 1) for line in out.decode().splitlines() if " " in line)
    assert process.returncode == 0, err.decode() + out.decode()
    assert int(values["received"]) == int(values["sent"]) > 0 and values["others"] == "0", values
    return int(values["sent"])


async def chat_and_storms(server, rng, run_ms):
    chat = asyncio.ensure_future(bench_chat(server, run_ms))
    storms = [asyncio.ensure_future(s) for s in storm.all_storms(server, rng, chat)]
    try:
        sent = await chat
        return sent, sum(await asyncio.gather(*storms))
    finally:
        for task in [chat, *storms]:
            task.cancel()
        await asyncio.gather(chat, *storms, return_exceptions=True)


async def case_storm(server, rng, long):
    """Chat in order through reconnects, cut stanzas, cut handshakes, single bytes, a client that never reads, and commands."""
    sent, rude = await chat_and_storms(server, rng, 20000 if long else 5000)
    await server.deserted()
    return f"{sent} messages in order, {rude} rude acts"


def anonymous_kib(pid):
    """Resident memory without what is mapped from files: the store's map grows with what is kept."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^RssAnon:\s+(\d+) kB$", file.read(), re.M).group(1))


async def case_memory(server, rng, long):
    """What storms took is given back: the server is no larger after further rounds than after the first."""
    sizes, accounted = [], []
    for _ in range(MEMORY_ROUNDS * (3 if long else 1)):
        await chat_and_storms(server, rng, 2000)
        await server.deserted()
        sizes.append(anonymous_kib(server.worker()))
        accounted.append(int(re.search(r"(\d+) KiB accounted", (await server.ask("status"))[1]).group(1)))
    text = f"KiB after each round: {sizes}, accounted {accounted}"
    # the first round fills caches, pools and the store's tail, which stay
    assert sizes[-1] < sizes[0] * 1.25 + MEMORY_SLACK_KIB, text
    return text


# ---- SIGTERM in the middle ----

async def case_sigterm(server, rng, long):
    """Ends in order while all send; who logs in is told, nothing is lost or left."""
    clients = [Client(server, f"user{i:06d}", on_stanza=lambda _: None) for i in range(20)]
    await asyncio.gather(*(c.login() for c in clients))
    tasks = [asyncio.ensure_future(storm.chatter(c, clients, rng)) for c in clients]
    tasks.append(asyncio.ensure_future(storm.reconnects(server, rng, tasks[0])))
    await asyncio.gather(*(c.ping() for c in clients))
    os.kill(server.process.pid, signal.SIGTERM)
    await asyncio.gather(*(asyncio.wait_for(c.is_closed.wait(), LIMIT_S) for c in clients))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    loop = asyncio.get_running_loop()
    log = await loop.run_in_executor(None, server.end, True)
    last = [line for line in log.splitlines() if "server-stop received=" in line][-1]
    assert "balanced=yes" in last and "in_flight=0 " in last, last
    return last.split("server-stop ")[1]


# ---- kill -9 ----

async def sets(client, number, confirmed, stop):
    """Roster sets until the connection goes; notes what was confirmed."""
    async def one(i):
        contact = f"c{number}-{i}@localhost"
        try:
            answer = await client.ask_soon(
                f"<iq type='set' id='s{i}'><query xmlns='jabber:iq:roster'><item jid='{contact}'/></query></iq>", f"s{i}")
        except Closed:
            return
        assert answer.get("type") == "result"
        confirmed.add((client.user, contact))
    i = 0
    running = []
    while not client.is_closed.is_set() and not stop.is_set():
        running += [asyncio.ensure_future(one(i + k)) for k in range(4)]
        i += 4
        await asyncio.wait(running[-4:])
    await asyncio.gather(*running)


async def login_again(server, user):
    deadline = time.monotonic() + LIMIT_S
    while True:
        client = Client(server, user)
        try:
            return await client.login(presence=False)
        except (Closed, OSError, asyncio.TimeoutError):
            client.abort()
            assert time.monotonic() < deadline, f"{user} is not let in again:\n{server.read_log()[-4000:]}"
            await asyncio.sleep(0.05)


async def case_kill(server, rng, long):
    """kill -9 of the worker under 50 clients: all are let in again by the same listener, and no confirmed roster item is lost."""
    confirmed, users = set(), [f"user{i:06d}" for i in range(50)]
    rounds = 5 if long else 2
    for number in range(rounds):
        clients = await asyncio.gather(*(login_again(server, user) for user in users))
        stop = asyncio.Event()
        tasks = [asyncio.ensure_future(sets(c, number, confirmed, stop)) for c in clients]
        before, enough = len(confirmed), rng.randint(50, 400)
        while len(confirmed) - before < enough:
            await asyncio.sleep(0.001)
        os.kill(server.worker(), signal.SIGKILL)
        server.deaths += 1
        await asyncio.gather(*tasks)
        for client in clients:
            client.abort()
    clients = await asyncio.gather(*(login_again(server, user) for user in users))
    for client in clients:
        answer = await client.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "r")
        items = {item.get("jid") for item in answer.iter("{jabber:iq:roster}item")}
        lost = [contact for user, contact in confirmed if user == client.user and contact not in items]
        assert not lost, f"{client.user}: {len(lost)} confirmed roster items were lost: {lost[:10]}"
    await asyncio.gather(*(c.leave() for c in clients))
    await server.deserted()
    return f"{rounds} kills, {len(confirmed)} confirmed items, none lost"


# ---- slow recipient (architecture 3.7) ----

class Slow:
    """A recipient that stops reading, and 20 senders."""
    BODY = "x" * 4000

    def __init__(self, server):
        self.server, self.got, self.presences = server, [], []
        self.slow = Client(server, "user000000", "slow", on_stanza=self.take)
        self.senders = [Client(server, f"user{i:06d}", "s", on_stanza=lambda _: None) for i in range(1, 21)]
        self.pair = [Client(server, f"user{i:06d}", "p") for i in (21, 22)]
        self.sent, self.waits = [], []

    def take(self, stanza):
        if stanza.tag.endswith("}message"):
            self.got.append(stanza.get("id"))
        elif stanza.tag.endswith("}presence"):
            self.presences.append((stanza.get("from"), stanza.findtext("{jabber:client}status")))

    async def login(self):
        await self.slow.login(receive_bytes=4096)
        await asyncio.gather(*(c.login() for c in self.senders + self.pair))
        await asyncio.gather(*(c.ping() for c in [self.slow] + self.senders + self.pair))
        for one in self.pair:  # own presence, and those of nobody else
            while not one.inbox.empty():
                one.inbox.get_nowait()

    async def send_from(self, sender, count):
        """Messages, then a ping: answered only if the sender is still read, so if its credit came back."""
        for _ in range(count):
            number = f"{sender.user}-{len(self.sent)}"
            self.sent.append(number)
            sender.message(self.slow.jid, self.BODY, number)
        began = time.monotonic()
        await sender.ping()
        self.waits.append(time.monotonic() - began)

    async def flood(self, count):
        await asyncio.gather(*(self.send_from(sender, count) for sender in self.senders))

    async def turn_around_ms(self):
        """Median time of a message between two others, there and back."""
        took = []
        for i in range(15):
            began = time.monotonic()
            self.pair[0].message(self.pair[1].jid, "there", f"t{i}")
            got = await self.pair[1].next()
            assert got.get("id") == f"t{i}", (i, ET.tostring(got))
            self.pair[1].message(self.pair[0].jid, "back", f"b{i}")
            assert (await self.pair[0].next()).get("id") == f"b{i}"
            took.append((time.monotonic() - began) * 1000)
        return sorted(took)[len(took) // 2]

    async def block_until(self, in_flight):
        """The recipient stops reading, until so many copies wait for it in the server."""
        self.slow.transport.pause_reading()
        while (await self.server.ledger())["in-flight"] < in_flight:
            assert len(self.sent) < 5000, "the kernel takes everything"
            await self.flood(2)

    async def wait_for(self, what, test):
        deadline = time.monotonic() + LIMIT_S
        while not test():
            assert time.monotonic() < deadline, f"never came: {what}: {len(self.got)} of {len(self.sent)} messages"
            await asyncio.sleep(0.02)


SOFT_COPIES = 100  # of 4 KB bodies: above the soft bound of 256 KiB, far below the hard one of 1 MiB


async def coalescing(s):
    """Presence above the soft bound: of each sender only the last waits; all messages come, in each sender's order."""
    await s.block_until(SOFT_COPIES)
    before = await s.server.ledger()
    rounds = 40
    for i in range(rounds):
        for sender in s.senders:
            sender.send(f"<presence to='{s.slow.jid}'><status>{i}</status></presence>")
    await asyncio.gather(*(sender.ping() for sender in s.senders))
    after = await s.server.ledger()
    dropped = after["dropped"] - before["dropped"]
    assert dropped >= (rounds - 1) * len(s.senders), f"{dropped} presences were coalesced: {after}"
    assert after["in-flight"] <= before["in-flight"] + len(s.senders), after
    s.presences = []
    s.slow.transport.resume_reading()
    await s.wait_for("the messages", lambda: len(s.got) == len(s.sent))
    await s.slow.ping()
    assert sorted(s.got) == sorted(s.sent)
    for sender in s.senders:
        mine = [m for m in s.got if m.startswith(sender.user)]
        assert mine == [m for m in s.sent if m.startswith(sender.user)], "out of order"
    assert sorted(s.presences) == sorted((sender.jid, str(rounds - 1)) for sender in s.senders), s.presences
    return dropped


async def overflow(s):
    """Above the hard bound the connection is closed; what was not written comes at the next login."""
    calm_ms = await s.turn_around_ms()
    s.got, s.sent, s.waits = [], [], []
    s.slow.transport.pause_reading()
    flood_ms = []
    while "session-slow" not in s.server.read_log():
        assert len(s.sent) < 5000, "the hard bound never came"
        await s.flood(5)
        flood_ms.append(await s.turn_around_ms())
    await s.flood(5)  # behind the end: to offline at once
    after_ms = await s.turn_around_ms()
    assert max(s.waits) < 10, f"a sender was held up for {max(s.waits)} s"
    assert max(*flood_ms, after_ms) < max(20 * calm_ms, 250), f"others waited: {calm_ms} ms, then {flood_ms}, {after_ms}"
    await s.server.until("the slow session's end", lambda now: now["sessions"] == len(s.senders + s.pair) and now["in-flight"] == 0)
    stored = (await s.server.ledger())["stored"]
    assert stored > 0
    s.slow.transport.resume_reading()
    await asyncio.wait_for(s.slow.is_closed.wait(), LIMIT_S)
    first = list(s.got)
    left = set(s.sent) - set(first)
    assert len(left) <= stored, f"{len(s.sent)} sent, {len(first)} read, {stored} stored: {len(left) - stored} lost between kernel and reader"
    s.slow = Client(s.server, "user000000", "slow", on_stanza=s.take)
    await s.slow.login()
    await s.wait_for("what was kept", lambda: set(s.got) >= set(s.sent))
    await s.slow.ping()
    late = s.got[len(first):]
    assert len(late) == len(set(late)) == stored, f"{len(late)} late, {stored} stored"
    return f"{len(first)} read, {stored} kept; others {calm_ms:.1f} ms, {max(flood_ms):.1f} ms in the flood"


async def case_slow(server, rng, long):
    s = Slow(server)
    await s.login()
    dropped = await coalescing(s)
    text = await overflow(s)
    await asyncio.gather(*(c.leave() for c in [s.slow] + s.senders + s.pair))
    await server.deserted()
    return f"{dropped} presences coalesced, {text}"


# ---- ten thousand strangers ----

REST_S = 1


async def each_costs(server, crowd, count, settle):
    """Bytes by the server's own account that each of `count` further ones takes, and the last nine tenths of them."""
    async def accounted():
        """When it has read all and is at rest (parsers are given back after 0.1 s of silence, SVI_REST_US): what it counts stays the same."""
        last, since = None, 0
        while last is None or time.monotonic() - since < REST_S:
            now = int(re.search(r"(\d+) KiB accounted", (await server.ask("status"))[1]).group(1)) * 1024
            if now != last:
                last, since = now, time.monotonic()
        return last
    before = await accounted()
    crowd.open(count // 10)
    await settle(count // 10)
    first = await accounted()
    crowd.open(count - count // 10)
    await settle(count)
    last = await accounted()
    return (first - before) / (count // 10), (last - first) / (count - count // 10)


async def case_strangers(server, rng, long):
    """Each of 10,000 connections that never log in costs the same number of bytes, whatever it has begun, and somebody can log in
    among them."""
    strangers.raise_limit()
    notes = []
    for text in (b"", strangers.HEADER, strangers.HEADER + strangers.UNFINISHED, strangers.HEADER + strangers.NESTED, strangers.ALL):
        crowd = strangers.Strangers(server.port)

        async def settle(count):
            fresh = crowd.sockets[-(count - settled[0]):]
            settled[0] = count
            if text:
                crowd.say(text, fresh)
                crowd.hear(b"</stream:features>", fresh)
            while crowd.is_unread():
                await asyncio.sleep(0.05)
            await server.until(f"{count} connections", lambda s: s["connections"] == count)
        settled = [0]
        first, later = await each_costs(server, crowd, strangers.COUNT, settle)
        guest = await Client(server, "user000000").login()
        await guest.ping()
        await guest.leave()
        crowd.close()
        await server.deserted()
        assert abs(first - later) < 256, f"{first:.0f} bytes each, {later:.0f} later"
        assert 0 < later < STRANGER_BYTES, f"{later:.0f} bytes each"
        notes.append(f"{later:.0f}")
    return "bytes each, silent {}, header said {}, in a long text {}, in many names {}, all at its limit {}".format(*notes)


CASES = {"strangers": case_strangers, "storm": case_storm, "slow": case_slow, "sigterm": case_sigterm, "kill": case_kill, "memory": case_memory}


async def run(name, threads, rng, long):
    """Runs a case against a fresh server; a note for the result."""
    kept = 10 if name == "memory" else 100000
    more = strangers.CONFIG if name == "strangers" else ""
    server = Loaded(threads, f"offline_max_messages = {kept}\nroster_max_items = 100000\n{more}")
    try:
        server.start()
        note = await CASES[name](server, rng, long)
        if server.process.poll() is None:
            await asyncio.get_running_loop().run_in_executor(None, server.end)
        return note
    except BaseException as problem:
        print(f"{name}.{threads}: {problem!r}; the end of the log:")
        print("\n".join(server.read_log().splitlines()[-60:])[-6000:])
        raise
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
