"""Scripts that do wrong (tests/zoo/lua), one after the other in a real server, while a hundred clients chat: each message is counted, must come
next and unchanged, and how long it took is printed beside what it takes without a beast."""
import asyncio
import json
import os
import re
import shutil
import sys
import time

from load_client import LIMIT_S, Client, body_of
from zoo_cases import HERE, MODULES, Zoo

BEASTS = os.path.join(HERE, "lua")
NS = "urn:stave:beast"
ACCOUNTS, RESOURCES = 4, 25  # a hundred clients
EACH_S = 0.25                # between two messages of one client
WINDOW = 400                 # messages at least that a figure is made of
QUIET_S = 3                  # of the crowd without any beast


class Member(Client):
    """One of the crowd: says numbered words to the next one, and hears those of the one before."""

    def __init__(self, server, user, resource):
        super().__init__(server, user, resource, on_stanza=self.heard)
        self.said, self.next_number, self.waits, self.wrong = 0, 1, [], None

    def heard(self, element):
        if not element.tag.endswith("}message"):
            return
        number, sent = (body_of(element) or "0 0").split()
        if element.get("type") == "error" or int(number) != self.next_number:
            self.wrong = self.wrong or f"{self.jid}: {element.get('type')} {number}, {self.next_number} was next"
        self.next_number = int(number) + 1
        self.waits.append(time.monotonic() - float(sent))

    def say(self, to):
        self.said += 1
        self.message(to, f"{self.said} {time.monotonic()}", f"c{self.said}")


class Crowd:
    def __init__(self, server):
        self.members = [Member(server, f"user00000{u}", f"crowd{r}") for u in range(ACCOUNTS) for r in range(RESOURCES)]
        self.is_over, self.talks = False, []

    async def begin(self):
        for member in self.members:
            await member.login(presence=False)
        pairs = list(zip(self.members, self.members[1:] + self.members[:1]))
        self.pairs = pairs
        self.talks = [asyncio.ensure_future(self.talk(a, b, i * EACH_S / len(pairs))) for i, (a, b) in enumerate(pairs)]

    async def talk(self, a, b, first_s):
        await asyncio.sleep(first_s)
        while not self.is_over:
            a.say(b.jid)
            await asyncio.sleep(EACH_S)

    def check(self):
        wrong = [m.wrong for m in self.members if m.wrong] + [f"{m.jid} was cut off" for m in self.members if m.is_closed.is_set()]
        assert not wrong, wrong[:3]
        for task in self.talks:
            if task.done() and not self.is_over:
                task.result()

    async def all_heard(self):
        """Returns when everything that was said up to now has come."""
        wanted, deadline = [(b, a.said) for a, b in self.pairs], time.monotonic() + LIMIT_S
        while any(b.next_number <= said for b, said in wanted):
            self.check()
            assert time.monotonic() < deadline, "messages of the crowd do not come"
            await asyncio.sleep(0.02)
        self.check()

    def take_waits(self):
        """How long each delivery took since the last call: how many, and the 50th and 99th of a hundred, in ms."""
        waits = sorted(w for m in self.members for w in m.waits)
        for m in self.members:
            m.waits = []
        at = lambda share: 1000 * waits[min(len(waits) - 1, int(len(waits) * share))] if waits else 0
        return len(waits), at(0.5), at(0.99)

    async def end(self):
        self.is_over = True
        await asyncio.gather(*self.talks)
        await self.all_heard()
        for member in self.members:
            await member.leave()
        return sum(m.said for m in self.members)


class Keeper:
    """Lets beasts in and out, and makes them do wrong."""

    def __init__(self, server, crowd):
        self.server, self.crowd, self.count, self.quiet = server, crowd, 0, (0, 0, 0)

    async def begin(self):
        self.client = await Client(self.server, "user000000", "keeper").login(presence=False)
        await asyncio.sleep(QUIET_S)
        await self.crowd.all_heard()
        self.quiet = self.crowd.take_waits()

    def configure(self, names, options):
        self.server.set_modules(*MODULES, *names)
        with open(self.server.config) as f:
            text = f.read()
        with open(self.server.config, "w") as f:
            f.write(re.sub(r"-- beast\n(.*\n)*?-- end\n", f"-- beast\n{options}\n-- end\n", text))

    async def let_in(self, *names, options="module_faults_max = 0"):
        self.configure(names, options)
        status, out = await self.server.ask("reload")
        assert status == 0, out

    async def refused(self, name, why, options=""):
        self.configure([name], options)
        status, out = await self.server.ask("reload")
        log = self.server.read_log()
        assert status == 1 and (why in out or why in log), out
        self.configure([], "")
        return await self.figures()

    async def ask(self, attributes):
        self.count += 1
        number = f"k{self.count}"
        answer = await self.client.ask(f"<iq type='set' id='{number}' to='localhost'><do xmlns='{NS}' {attributes}/></iq>", number)
        await self.client.ping()
        assert self.client.inbox_ids(number) == 0, "it was answered twice"
        error = next((e.tag.split("}")[1] for e in answer.iterfind("{jabber:client}error/*")), None)
        done = answer.find(f"{{{NS}}}done")
        return error or (done is not None and done.get("value")) or "done"

    async def figures(self):
        deadline = time.monotonic() + LIMIT_S
        while sum(len(m.waits) for m in self.crowd.members) < WINDOW:
            assert time.monotonic() < deadline, "the crowd is silent"
            await asyncio.sleep(0.02)
        await self.crowd.all_heard()
        count, _, p99 = self.crowd.take_waits()
        return f"({count} messages, p99 {p99:.0f} ms; {self.quiet[2]:.0f} ms without a beast)"

    async def misdeeds(self, name, cases):
        """`cases`: what is asked for, what must be answered, what must be logged."""
        await self.let_in(name)
        worker = self.server.worker()
        self.crowd.take_waits()
        for what, answer, logged in cases:
            mark = len(self.server.read_log())
            said = await self.ask(f"what='{what}'")
            assert answer in (said, "any"), (what, said)
            if answer == ERROR:
                line = (await self.server.await_log(mark, r"script-error .*")).group(0)
                assert re.search(logged or "", line) and f"module={name}" in line, (what, line)
        told = await self.figures()
        assert self.server.worker() == worker
        return told


ERROR = "internal-server-error"
ENDED = "ended: it ran for more than 50 ms without a wait"
MEMORY = "not enough memory|" + ENDED
STACK = "stack overflow|" + MEMORY
LOOPS = ("plain", "count", "tail", "iterator", "pcall", "coroutine", "resume", "nest", "xpcall", "handlers", "index", "tostring", "concat", "sort",
         "gsub", "json", "texts", "move", "length")
PATTERNS = ("backtrack", "optional", "gsub", "gmatch", "caught")
MISDEEDS = {
    "loops": [(what, ERROR, ENDED + "|takes at most 1000000 elements") for what in LOOPS] + [("close", ERROR, "__close"), ("gc", ERROR, "__gc")],
    "patterns": [(what, ERROR, "pattern takes too many steps|" + ENDED) for what in PATTERNS],
    "memory": [("text", ERROR, MEMORY), ("table", ERROR, MEMORY), ("rep", ERROR, None), ("concat", ERROR, MEMORY), ("caught", ERROR, MEMORY),
               ("coroutines", ERROR, MEMORY), ("number", ERROR, None), ("keeps", ERROR, MEMORY), ("frees", "done", None), ("little", "done", None)],
    "recursion": [("plain", ERROR, STACK), ("caught", ERROR, STACK), ("pcall", ERROR, STACK), ("coroutine", ERROR, "recursion.lua:9: "),
                  ("gsub", ERROR, STACK + "|error in error handling"), ("tostring", ERROR, STACK), ("index", ERROR, "chain too long"),
                  ("xpcall", ERROR, STACK), ("json", ERROR, None), ("literal", ERROR, "deeper in each other than 64")],
    "views": [("hold", "done", None)] + [(what, ERROR, "used after its handler returned") for what in
                                         ("event", "verdict", "stanza", "node", "literal", "session", "iterator")] + [("kept", "iq", None)],
    "yields": [("yield", ERROR, "a handler yields"), ("resumes", ERROR, "is the server's"), ("sort", ERROR, "can't inside sort"),
               ("gsub", ERROR, "can't inside sort"), ("coroutine", ERROR, "in a coroutine of the script's own"), ("pcall", "done", None)],
    "nests": [(what, "any", None) for what in ("gsub", "sort", "pcall", "wrap", "tostring")],
    "effects": [("items", ERROR, "more than 10000 effects|" + ENDED), ("names", ERROR, "more than 64 names"), ("fires", ERROR, ENDED),
                ("routes", ERROR, "makes more than 8388608 bytes|" + ENDED)],
    "literals": [("items", ERROR, "no item number"), ("deep", ERROR, "deeper in each other than 64"), ("text", ERROR, "more than 1048576 bytes"),
                 ("sum", ERROR, "more than 8388608 bytes|" + ENDED), ("unclean", ERROR, "literals.lua"), ("name", ERROR, "literals.lua")],
}


async def raises(keeper):
    """In handlers, timers and sv.save, and at each message on its way."""
    await keeper.let_in("raises")
    server, crowd = keeper.server, keeper.crowd
    crowd.take_waits()
    for what, answer in (("text", ERROR), ("table", ERROR), ("handler", ERROR), ("verdict", "done"), ("twice", "done"), ("sleeps", ERROR), ("timer", "done")):
        assert await keeper.ask(f"what='{what}'") == answer, what
    await server.await_log(0, "on purpose in a timer")
    await server.await_log(0, "on purpose at a message")
    status, out = await server.ask("reload", "raises")
    assert status == 0, out
    await server.await_log(0, "on purpose in save")
    return await keeper.figures()


async def unanswered(keeper):
    """The handler waits, and all others go on; in `make long` also for the end of it."""
    await keeper.let_in("unanswered")
    crowd = keeper.crowd
    crowd.take_waits()
    silent = await Client(keeper.server, "user000001", "silent").login(presence=False)
    patient = await Client(keeper.server, "user000002", "waits").login(presence=False)
    began = time.monotonic()
    answer = patient.ask_soon(f"<iq type='set' id='u' to='localhost'><do xmlns='{NS}' whom='user000001@localhost/silent'/></iq>", "u")
    assert (await silent.next()).get("type") == "get"
    await crowd.all_heard()
    status, out = await keeper.server.ask("modules", "show", "unanswered", "--json")
    assert status == 0 and json.loads(out)["about"]["waiting"] == 1 and not answer.done(), out
    if os.environ.get("STAVE_MODE") == "long":
        element = await asyncio.wait_for(answer, LIMIT_S)
        assert element.find(f"{{{NS}}}done").get("value") == "timeout" and time.monotonic() - began > 25
    answer.cancel()
    await silent.leave()
    await patient.leave()
    return await keeper.figures()


async def timers(keeper):
    await keeper.let_in("timers", options="module_faults_max = 0\nlua_handler_max = \"1s\"")
    keeper.crowd.take_waits()
    assert await keeper.ask("ms='500'") == "1000"
    deadline = time.monotonic() + LIMIT_S
    while await keeper.ask("") != "1000":
        assert time.monotonic() < deadline, "timers do not fire"
        await asyncio.sleep(0.05)
    return await keeper.figures()


async def breeds(keeper):
    """Two of each: it is bounded by the turn, and behind ten errors it is in quarantine."""
    server = keeper.server
    mark = len(server.read_log())
    keeper.crowd.take_waits()
    await keeper.let_in("breeds", options="")
    assert await keeper.ask("what='stanzas'") == "done"
    await server.await_log(mark, "script-error .*more than 5000 stanzas and occasions at once")
    await server.await_log(mark, "module-quarantined module=breeds")
    told = await keeper.figures()
    await keeper.let_in()
    return told


async def at_each_message(keeper, how):
    """All pass; behind ten faults it is in quarantine, and it is let out by the operator."""
    server, crowd = keeper.server, keeper.crowd
    mark = len(server.read_log())
    crowd.take_waits()
    await keeper.let_in("chats", options=f'chats_how = "{how}"')
    await server.await_log(mark, "module-quarantined module=chats")
    state = await server.module("chats")
    assert state["state"] == "quarantined" and state["kind"] == "lua" and state["faults"] >= 10, state
    await crowd.all_heard()
    mark = len(server.read_log())
    status, out = await server.ask("modules", "release", "chats")
    assert status == 0, out
    await server.await_log(mark, "module-quarantined module=chats")
    told = await keeper.figures()
    await keeper.let_in()  # the same code would stay in quarantine
    return told


async def autoreload(keeper):
    """A file that changes is taken over within seconds; one that is wrong is told once, and the former goes on."""
    server = keeper.server
    folder = server.path("scripts")
    head = 'sv.script {summary = "changes", changes = {"iq-set/host"}, autoreload = true}\n'
    body = 'sv.on("iq-set/host {urn:stave:beast}do", function(ev) return ev:reply {"done", xmlns = "urn:stave:beast", value = "%s"} end)\n'

    def write(text):
        with open(os.path.join(folder, "changing.new"), "w") as f:
            f.write(text)
        os.rename(os.path.join(folder, "changing.new"), os.path.join(folder, "changing.lua"))

    write(head + body % "one")
    await keeper.let_in("changing")
    keeper.crowd.take_waits()
    assert await keeper.ask("") == "one"
    mark = len(server.read_log())
    write(head + body % "two")
    await server.await_log(mark, "module-reloaded module=changing")
    assert await keeper.ask("") == "two"
    mark = len(server.read_log())
    write(head + "this is no Lua")
    await server.await_log(mark, "module-not-reloaded module=changing by=autoreload .*changing.lua:2")
    assert await keeper.ask("") == "two"
    write(head + body % "three")
    await server.await_log(mark, "module-reloaded module=changing")
    assert await keeper.ask("") == "three"
    assert server.log_since(mark).count("module-not-reloaded") == 1
    return await keeper.figures()


REFUSED = [
    ("top_loops", "top_loops.lua:3: ended: it ran for more than 250 ms", ""),
    ("undeclared", 'the script has no right to "message/account": name it in sv.script', ""),
    ("syntax", "syntax.lua:3: '}' expected", ""),
    ("require_loop", "require: ", ""),
    ("starts", "starts.lua:5: on purpose in start", 'starts_how = "raises"'),
    ("starts", "ended: it ran for more than 50 ms", 'starts_how = "loops"'),
    ("starts", "this host has no moon", 'starts_how = "refuses"'),
]


class LuaZoo(Zoo):
    def __init__(self):
        super().__init__('c2s_sessions_per_account = 40\nc2s_rate = "4M"\n-- beast\n-- end\n')
        os.mkdir(self.path("scripts"))
        with open(self.config) as f:
            text = f.read()
        with open(self.config, "w") as f:
            f.write(re.sub(r'module_paths = \{.*?\}', f'module_paths = {{ "{BEASTS}", "{self.path("scripts")}" }}', text))
        self.set_modules(*MODULES)


async def run(tell):
    async def one(name, doing):
        try:
            tell(f"lua-{name}", await asyncio.wait_for(doing, 4 * LIMIT_S))
        except Exception as problem:  # noqa: BLE001 (each is judged by itself)
            tell(f"lua-{name}", None, problem)

    server = LuaZoo()
    try:
        server.start()
        crowd = Crowd(server)
        await crowd.begin()
        keeper = Keeper(server, crowd)
        await keeper.begin()
        for name, why, options in REFUSED:
            await one(f"{name}-{options.split(chr(34))[1]}" if options else name, keeper.refused(name, why, options))
        for name, cases in MISDEEDS.items():
            await one(name, keeper.misdeeds(name, cases))
        for beast in (raises, unanswered, timers, breeds, autoreload):
            await one(beast.__name__, beast(keeper))
        for how in ("raises", "loops", "memory", "recursion", "pattern"):
            await one(f"each-message-{how}", at_each_message(keeper, how))
        await one("end", end(server, crowd, keeper))
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()


async def end(server, crowd, keeper):
    await keeper.client.leave()
    said = await crowd.end()
    await asyncio.get_running_loop().run_in_executor(None, server.end)
    return f"({said} messages of {len(crowd.members)} clients, each came next)"
