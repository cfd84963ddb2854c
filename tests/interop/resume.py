"""Stream management with slixmpp: a client whose connection is lost again and again takes its session up, and gets every message once."""
import asyncio
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from chat import WAIT, Client, until  # noqa: E402
from server import Server  # noqa: E402

ROUNDS = 5
ids = set()
EACH = 20


class Lossy(Client):
    def __init__(self, server):
        super().__init__("romeo@localhost/phone", "right", server)
        self.register_plugin("xep_0198")
        self.enabled, self.resumed, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.sm_failed = False
        self.add_event_handler("sm_enabled", lambda _: self.enabled.set())
        self.add_event_handler("session_resumed", lambda _: self.resumed.set())
        self.add_event_handler("sm_failed", self.fails)
        self.add_event_handler("disconnected", lambda _: self.lost.set())

    def fails(self, _):
        self.sm_failed = True

    async def lose(self):
        """The connection breaks: nothing more is written, not even the end of the stream."""
        self.lost.clear()
        self.transport.abort()
        await asyncio.wait_for(self.lost.wait(), WAIT)

    async def come_back(self):
        self.resumed.clear()
        self._dns_answers = iter(())
        try:  # as Client.login
            self.connect(("127.0.0.1", self.stave.port), use_ssl=False, disable_starttls=False, force_starttls=True)
        except TypeError:
            self.connect("127.0.0.1", self.stave.port)
        await asyncio.wait_for(self.resumed.wait(), WAIT)


async def talk(server):
    romeo, juliet = Lossy(server), Client("juliet@localhost/balcony", "secret", server)
    assert await romeo.login() and await juliet.login()
    await asyncio.wait_for(romeo.enabled.wait(), WAIT)
    ids.add(romeo["xep_0198"].sm_id)
    for client in (romeo, juliet):
        client.send_presence()
        await client["xep_0199"].ping("localhost", timeout=WAIT)
    romeo.send_presence(pto="juliet@localhost/balcony")
    await until(juliet.presences, lambda p: p["from"].full == "romeo@localhost/phone")
    heard = []
    for turn in range(ROUNDS):
        for i in range(EACH):
            juliet.send_message(mto="romeo@localhost", mbody=f"{turn} {i}", mtype="chat")
            if i == EACH // 3:  # some are read, some on their way, some come meanwhile
                await until(romeo.inbox, lambda m: heard.append(m["body"]) or m["body"] == f"{turn} {i // 2}")
                await romeo.lose()
        await juliet["xep_0199"].ping("localhost", timeout=WAIT)
        assert juliet.presences.empty(), juliet.presences.get_nowait()
        await romeo.come_back()
        assert not romeo.sm_failed
        await until(romeo.inbox, lambda m: heard.append(m["body"]) or m["body"] == f"{turn} {EACH - 1}")
        romeo.send_message(mto="juliet@localhost", mbody=f"back {turn}", mtype="chat")
        await until(juliet.inbox, lambda m: m["body"] == f"back {turn}")
    assert heard == [f"{turn} {i}" for turn in range(ROUNDS) for i in range(EACH)], heard
    rows = server.command("sessions", "--user", "romeo@localhost", "--json").stdout
    assert rows.count("romeo@localhost/phone") == 1, rows
    await romeo.leave()
    await until(juliet.presences, lambda p: p["type"] == "unavailable" and p["from"].full == "romeo@localhost/phone")
    await juliet.leave()
    assert server.read_log().count("session-back ") == ROUNDS


if __name__ == "__main__":
    for threads in (0, 2):
        with Server(f"io_threads = {threads}") as stave:
            stave.add("romeo@localhost", "right")
            stave.add("juliet@localhost", "secret")
            asyncio.get_event_loop().run_until_complete(talk(stave))
    # XEP-0198 5: not used again, opaque, and not to be guessed
    assert len(ids) == 2 and all(re.fullmatch("[0-9a-f]{32}", i) for i in ids), ids
    print("ok")
