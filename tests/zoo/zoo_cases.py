"""The zoo: modules that do wrong, one misdeed after the other, while two by-standers chat. Each message between them must come next,
unchanged and once; one that was answered is never lost. Only a misdeed that ends the worker may cut them off, and they come back."""
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "load"))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
from load_client import LIMIT_S, Client, Closed, body_of
from server import Server

MODULES = ("roster", "presence", "message", "offline", "disco", "ping")
RESTART_S = 8  # from the end of a worker until both by-standers talk again, on a busy machine


class Chat:
    """Two who talk all the time, each with an answer to each message."""

    def __init__(self, server):
        self.server, self.pair, self.confirmed, self.sent, self.losses = server, [], 0, 0, 0
        self.is_over, self.task = False, None

    async def begin(self):
        await self.connect()
        self.task = asyncio.ensure_future(self.talk())

    async def connect(self):
        self.pair = []
        for user in ("user000000", "user000001"):
            client = Client(self.server, user, "talk")
            client.heard = asyncio.Queue()
            client.on_stanza = lambda e, c=client: c.heard.put_nowait(e) if e.tag.endswith("}message") else None
            await client.login()
            self.pair.append(client)
        for client in self.pair:
            await client.ping()

    async def one(self, sender, receiver):
        """A message and its answer: then it is confirmed."""
        self.sent += 1
        number = f"n{self.sent}"
        sender.message(receiver.jid, f"text {number}", number)
        for a, b, text in ((receiver, sender, f"text {number}"), (sender, receiver, f"answer {number}")):
            heard = asyncio.ensure_future(a.heard.get())
            gone = [asyncio.ensure_future(c.is_closed.wait()) for c in (a, b)]
            await asyncio.wait([heard, *gone], timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            for task in gone:
                task.cancel()
            if not heard.done():
                heard.cancel()
                assert any(c.is_closed.is_set() for c in self.pair), f"{text} never came"
                raise Closed(a.jid)
            element = heard.result()
            assert element.get("type") != "error" and body_of(element) == text, (body_of(element), text)
            if a is receiver:
                receiver.message(sender.jid, f"answer {number}", number)
        self.confirmed += 1

    async def talk(self):
        turn = 0
        while not self.is_over:
            try:
                await self.one(self.pair[turn], self.pair[1 - turn])
                turn = 1 - turn
                await asyncio.sleep(0.005)
            except Closed:
                self.losses += 1
                for client in self.pair:
                    client.abort()
                await self.come_back()

    async def come_back(self):
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                return await self.connect()
            except (OSError, Closed, asyncio.TimeoutError):
                assert time.monotonic() < deadline, "nobody lets the by-standers in again"
                await asyncio.sleep(0.02)

    async def goes_on(self, count=5):
        """Returns when so many more were confirmed."""
        wanted, deadline = self.confirmed + count, time.monotonic() + LIMIT_S
        while self.confirmed < wanted:
            if self.task.done():
                self.task.result()
            assert time.monotonic() < deadline, "the by-standers are silent"
            await asyncio.sleep(0.01)

    async def end(self):
        self.is_over = True
        await asyncio.wait_for(self.task, 2 * LIMIT_S)
        for client in self.pair:
            await client.leave()


class Zoo(Server):
    """A server with the module `zoo`, and what can be asked of it."""

    def __init__(self, config=""):
        super().__init__(f'module_paths = {{ "{os.path.abspath(os.environ["STAVE_BUILD"])}/tests/mods" }}\nio_threads = 1\n{config}')
        self.set_modules(*MODULES, "zoo")
        self.deaths = 0  # of the worker, that are wanted
        for user in range(4):
            self.add(f"user00000{user}@localhost", "bench")

    async def ask(self, *words):
        """Status and output of a command, while others go on."""
        process = await asyncio.create_subprocess_exec(self.stave, *words, "--config", self.config, stdin=subprocess.DEVNULL,
                                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        return process.returncode, out.decode(errors="replace")

    def worker(self):
        return int(re.findall(r"worker-start pid=(\d+)", self.read_log())[-1])

    def set_modules(self, *names):
        with open(self.config) as f:
            text = f.read()
        listed = ", ".join(f'"{n}"' for n in names)
        with open(self.config, "w") as f:
            f.write(re.sub(r"modules_enabled = \{.*?\}", f"modules_enabled = {{ {listed} }}", text))

    async def module(self, name="zoo"):
        status, out = await self.ask("modules", "--json")
        assert status == 0, out
        return next(m for m in json.loads(out)["modules"] if m["name"] == name)

    def log_since(self, mark):
        return self.read_log()[mark:]

    async def await_log(self, mark, pattern):
        deadline = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.log_since(mark))):
            assert time.monotonic() < deadline, f"never logged: {pattern}\n{self.log_since(mark)[-3000:]}"
            await asyncio.sleep(0.01)
        return found

    def end(self):
        """In order, with nothing in disorder but what was wanted."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(LIMIT_S) == 0, self.read_log()[-4000:]
        log = self.read_log()
        assert re.search(r"server-stop .*balanced=yes", log), log[-4000:]
        wrong = re.search(r"ERROR: LeakSanitizer|runtime error:|assert-failed|ledger-double", log)
        assert not wrong, log[wrong.start():wrong.start() + 8000]
        deaths = len(re.findall("worker-crash", log))
        assert deaths == self.deaths, f"{deaths} deaths, {self.deaths} wanted:\n{log[-8000:]}"


class Visitor:
    """Somebody who makes the zoo do wrong, while two others chat."""

    def __init__(self, server):
        self.server, self.count = server, 0

    async def begin(self):
        self.client = await Client(self.server, "user000002", "visit").login()

    async def tell(self, what):
        """The answer to a request for a misdeed: type, and what the error is or what was found."""
        self.count += 1
        number = f"z{self.count}"
        answer = await self.client.ask(f"<iq type='set' id='{number}' to='localhost'><do xmlns='urn:stave:zoo' what='{what}'/></iq>", number)
        await self.client.ping()  # a second answer would have come by now
        assert self.client.inbox_ids(number) == 0, "it was answered twice"
        error = next((e.tag.split("}")[1] for e in answer.iterfind("{jabber:client}error/*")), None)
        found = next((e.get("value") for e in answer.iterfind("{urn:stave:zoo}done")), None)
        return answer.get("type"), error or found

    async def release(self):
        if (await self.server.module())["state"] == "quarantined":
            status, out = await self.server.ask("modules", "release", "zoo")
            assert status == 0, out


def inbox_ids(self, number):
    """How many stanzas of that id lie in the inbox; all are taken out."""
    count = 0
    while not self.inbox.empty():
        element = self.inbox.get_nowait()
        count += element is not None and element.get("id") == number
    return count


Client.inbox_ids = inbox_ids

# ---- misdeeds that the worker outlives: what is answered, what is logged --------------------------------------------------

MISDEEDS = [
    ("answer-twice", ("result", "1"), r"handler-fault rule=\"?a request is answered once"),
    ("refuse-too", ("result", "1"), r"handler-fault rule=\"?a request is answered once"),
    ("done-without-answer", None, r"handler-fault"),
    ("later-twice", ("result", "1"), None),  # what comes behind the answer is not called
    ("answer-twice-behind", ("result", "1"), r"handler-fault rule=\"?a request is answered once"),
    ("pass-too", ("result", "1"), r"handler-fault rule=\"?only a waiting event is passed on"),
    ("monitor-acts", ("result", "0"), r"handler-fault rule=\"?a MONITOR handler only looks"),
    ("fire", ("result", None), r"handler-nesting"),
    ("write-elsewhere", ("result", "-10"), r"module-refused"),
]


async def misdeed(server, chat, visitor, what, wanted, logged):
    await visitor.release()
    mark, losses, worker = len(server.read_log()), chat.losses, server.worker()
    answer = await visitor.tell(what)
    if wanted:
        assert answer[0] == wanted[0] and wanted[1] in (None, answer[1]), (what, answer)
    else:
        assert answer[0] == "error", (what, answer)
    if logged:
        line = (await server.await_log(mark, logged + r".*")).group(0)
        assert "zoo" in line, line
    else:
        assert "handler-fault" not in server.log_since(mark)
    await chat.goes_on()
    assert server.worker() == worker and chat.losses == losses, "the by-standers were cut off"
    return f"{answer[0]} {answer[1]}"


# ---- modules that are never started ---------------------------------------------------------------------------------------

REFUSED = [
    ("bad_thread", "it calls pthread_create: a module never starts a thread"),
    ("bad_exports", "it exports helper_that_clashes: only sv_module_entry may be seen"),
    ("bad_tls", "it has thread-local variables"),
    ("bad_constructor", "it has a constructor: nothing may run before the module's entry"),
    ("bad_library", "it needs the library libuv.so.1, whose code would run unchecked"),
    ("bad_call_fopen", "it calls fopen: a module sees no files or descriptors"),
    ("bad_abi", "it is made for module interface 9.0, this server has 0.1: build it again with this server's headers"),
    ("bad_minor", "it is made for module interface 0.99, this server has 0.1: upgrade the server"),
    ("bad_start", 'module "bad_start" does not start: denied'),
    ("zoo_budget", "zoo_budget_memory_max"),
    ("needs_tls", 'module "needs_tls" needs module "bad_tls": add it to modules_enabled'),
]


async def refused(server, chat, name, why):
    mark, losses, worker = len(server.read_log()), chat.losses, server.worker()
    server.set_modules(*MODULES, "zoo", name)
    status, out = await server.ask("reload")
    assert status == 1 and why in out, (name, status, out)
    listed = json.loads((await server.ask("modules", "--json"))[1])["modules"]
    assert name not in [m["name"] for m in listed], "it is there all the same"
    server.set_modules(*MODULES, "zoo")
    await chat.goes_on()
    assert server.worker() == worker and chat.losses == losses and "worker-crash" not in server.log_since(mark)
    return ""


# ---- an answer that never comes ----------------------------------------------------------------------------------------------

async def never(server, chat):
    """Who asked waits, and all others go on; so does he, elsewhere. In `make long` also for the end of it, after a minute."""
    losses, began = chat.losses, time.monotonic()
    patient = await Client(server, "user000003", "waits").login()
    answer = patient.ask_soon("<iq type='set' id='never' to='localhost'><do xmlns='urn:stave:zoo' what='never'/></iq>", "never")
    patient.message("user000003@localhost/waits", "to myself", "mine")
    while (element := await patient.next()).get("id") != "mine":
        continue
    await chat.goes_on()
    assert not answer.done() and chat.losses == losses
    if os.environ.get("STAVE_MODE") == "long":
        element = await asyncio.wait_for(answer, 2 * LIMIT_S)
        assert element.get("type") == "error" and time.monotonic() - began > 50, element
        assert element.find("{jabber:client}error/*").tag.endswith("}internal-server-error"), element
        await server.await_log(0, "event-timeout .*zoo")
        await patient.leave()
        return "an error after a minute"
    answer.cancel()
    await patient.leave()
    return ""


# ---- memory -----------------------------------------------------------------------------------------------------------------

async def leaks(server, chat, visitor):
    """A mebibyte at each request: warned, in quarantine, and the memory stays its own until it goes."""
    await visitor.release()
    mark, losses = len(server.read_log()), chat.losses
    for _ in range(100):
        if (await visitor.tell("leak"))[0] == "error":
            break
    else:
        raise AssertionError("it had 100 MiB and goes on")
    await server.await_log(mark, "module-budget .*zoo")
    await server.await_log(mark, "module-quarantined .*zoo")
    state = await server.module()
    assert state["state"] == "quarantined" and "memory" in state["quarantine"]["reason"], state
    held = state["bytes"]
    assert held >= 8 << 20, held
    for word in ("answer-twice", "crash"):  # it is not asked any more
        assert await visitor.tell(word) == ("error", "service-unavailable")
    server.set_modules(*MODULES)
    status, out = await server.ask("reload")  # unplugged: what it held is given back
    assert status == 0, out
    server.set_modules(*MODULES, "zoo")
    status, out = await server.ask("reload")
    assert status == 0, out
    state = await server.module()
    assert state["bytes"] < 1 << 20 and state["state"] == "running", state
    assert await visitor.tell("nothing") == ("result", "0")
    await chat.goes_on()
    assert chat.losses == losses
    return f"{held >> 20} MiB held"


# ---- misdeeds that end the worker -------------------------------------------------------------------------------------------

DEADLY = [
    ("crash", "how=ABRT", 0),
    ("loop", "how=ABRT", 2),
]
KEPT = [
    ("keep-event", "how=ABRT", 0),
    ("keep-stanza", "how=ABRT", 0),
]


async def kept_for(server, count):
    """Returns when so many messages wait for user000003, durably."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        status, out = await server.ask("offline", "show", "user000003@localhost", "--json")
        assert status == 0, out
        rows = json.loads(out)["rows"]
        if rows and rows[0]["messages"] == count:
            return
        assert time.monotonic() < deadline, out
        await asyncio.sleep(0.02)


async def deadly(server, chat, visitor, what, how, least_s):
    """The worker ends, the report names module and hook, the next one serves; what was confirmed is there."""
    mark, losses, worker = len(server.read_log()), chat.losses, server.worker()
    for i in range(3):
        visitor.client.message("user000003@localhost", f"kept {what} {i}", f"{what}{i}")
    await kept_for(server, 3)
    server.deaths += 1
    began = time.monotonic()
    visitor.client.send(f"<iq type='set' id='deadly' to='localhost'><do xmlns='urn:stave:zoo' what='{what}'/></iq>")
    line = (await server.await_log(mark, r"worker-crash .*")).group(0)
    hook = "hook=timer" if what.startswith("keep") else 'hook="iq-set/host {urn:stave:zoo}do"'
    assert "module=zoo" in line and hook in line and "host=localhost" in line and how in line, line
    ended = time.monotonic()
    assert ended - began >= least_s, f"ended after {ended - began} s"
    report = re.search(r"report=(\S+)", line).group(1)
    with open(report) as f:
        text = f.read()
    assert "module: zoo\n" in text and "kept" not in text, text
    await server.await_log(mark, r"server-ready")
    ready = time.monotonic()
    await chat.goes_on()
    assert server.worker() != worker and chat.losses == losses + 1, "the by-standers did not come back once"
    assert time.monotonic() - ended < RESTART_S
    await visitor.begin()
    friend = await Client(server, "user000003", "kept").login()
    bodies = []
    while len(bodies) < 3:
        element = await friend.next()
        if element.tag.endswith("}message"):
            bodies.append(body_of(element))
    assert bodies == [f"kept {what} {i}" for i in range(3)], bodies
    await friend.ping()
    await friend.leave()
    return f"ready again {ready - ended:.1f} s after the end"


async def third_time(server, chat, visitor):
    """Three workers ended in it: it begins in quarantine, and all others serve."""
    await deadly(server, chat, visitor, "crash", "how=ABRT", 0)
    state = await server.module()
    assert state["state"] == "quarantined" and "three workers ended in it" in state["quarantine"]["reason"], state
    assert await visitor.tell("crash") == ("error", "service-unavailable")
    await chat.goes_on()
    return ""


async def crash_in_start(server, chat):
    """A reload brings a module that ends the worker in its start: three times, then it is left out, and all others serve."""
    mark, losses = len(server.read_log()), chat.losses
    server.deaths += 3
    server.set_modules(*MODULES, "zoo", "zoo_start")
    status, out = await server.ask("reload")
    assert status != 0, out
    await server.await_log(mark, "module-quarantined .*zoo_start")
    await server.await_log(mark, r"server-ready")
    crashes = re.findall(r"worker-crash .*", server.log_since(mark))
    assert len(crashes) == 3 and all("module=zoo_start" in c and "hook=start" in c for c in crashes), crashes
    await chat.goes_on()
    state = await server.module("zoo_start")
    assert state["state"] == "quarantined" and "it is not started" in state["quarantine"]["reason"], state
    server.set_modules(*MODULES, "zoo")
    status, out = await server.ask("reload")
    assert status == 0, out
    await chat.goes_on()
    return f"cut off {chat.losses - losses} times"


async def run(tell):
    """All of them, each part on a server of its own; `tell(name, note)` for each, `tell(name, None)` behind a failure."""
    async def one(name, doing):
        try:
            tell(name, await asyncio.wait_for(doing, 4 * LIMIT_S))
        except Exception as problem:  # noqa: BLE001 (each is judged by itself)
            tell(name, None, problem)

    for part in (living, dying, keeping, starting):
        server = Zoo('module_memory_max = "8M"\n')
        try:
            server.start()
            chat, visitor = Chat(server), Visitor(server)
            await chat.begin()
            await visitor.begin()
            await part(server, chat, visitor, one)
            await one(f"{part.__name__}-end", finish(server, chat, visitor))
        finally:
            if server.process and server.process.poll() is None:
                server.process.kill()
                server.process.wait()


async def finish(server, chat, visitor):
    await chat.end()
    await visitor.client.leave()
    await asyncio.get_running_loop().run_in_executor(None, server.end)
    assert chat.confirmed > 20
    return f"{chat.confirmed} messages and their answers, {chat.losses} times cut off"


async def living(server, chat, visitor, one):
    for name, why in REFUSED:
        await one(name, refused(server, chat, name, why))
    for what, wanted, logged in MISDEEDS:
        await one(what, misdeed(server, chat, visitor, what, wanted, logged))
    await one("leaks", leaks(server, chat, visitor))
    await one("never", never(server, chat))


async def dying(server, chat, visitor, one):
    for what, how, least_s in DEADLY:
        await one(what, deadly(server, chat, visitor, what, how, least_s))
    await one("third-time", third_time(server, chat, visitor))


async def keeping(server, chat, visitor, one):
    for what, how, least_s in KEPT:
        await one(what, deadly(server, chat, visitor, what, how, least_s))


async def starting(server, chat, visitor, one):
    await one("crash-in-start", crash_in_start(server, chat))
    await visitor.begin()
