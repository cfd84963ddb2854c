"""The archive with slixmpp: it pages through what was said while it was away, and neither misses anything nor gets it twice."""
import asyncio
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from chat import WAIT, Client  # noqa: E402
from server import Server  # noqa: E402

MESSAGES = 47


class Archived(Client):
    def __init__(self, jid, server):
        super().__init__(jid, "right", server)
        for plugin in ("xep_0004", "xep_0059", "xep_0297", "xep_0313", "xep_0359"):
            self.register_plugin(plugin)

    async def settle(self):
        for _ in range(2):
            await self["xep_0199"].ping("localhost", timeout=WAIT)

    async def fetch(self, **options):
        """Bodies, with the ids of the archive."""
        found = []
        async for message in self["xep_0313"].iterate(rsm={"max": 10}, **options):
            result = message["mam_result"]
            found.append((result["id"], result["forwarded"]["stanza"]["body"]))
        return found


async def say(server, first, last):
    romeo = Archived("romeo@localhost/orchard", server)
    assert await romeo.login(), romeo.why
    for n in range(first, last):
        romeo.send_message(mto="juliet@localhost", mbody=f"line {n}", mtype="chat")
    await romeo.settle()
    # what was said to juliet is in romeo's archive as well
    mine = await romeo.fetch(with_jid="juliet@localhost")
    assert [body for _, body in mine] == [f"line {n}" for n in range(last)], mine
    await romeo.leave()


async def away_and_back(server):
    await say(server, 0, MESSAGES)
    juliet = Archived("juliet@localhost/balcony", server)
    assert await juliet.login(), juliet.why
    there = await juliet.fetch()
    assert [body for _, body in there] == [f"line {n}" for n in range(MESSAGES)], there
    assert len({ident for ident, _ in there}) == MESSAGES
    backward = await juliet.fetch(reverse=True)
    assert sorted(backward) == sorted(there), backward
    juliet.send_presence()
    await juliet.settle()
    assert juliet.inbox.empty(), "what was fetched came once more"
    fields = await juliet["xep_0313"].get_fields(jid="juliet@localhost")
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields.get_fields()), fields
    metadata = await juliet["xep_0313"].get_archive_metadata(jid="juliet@localhost")
    assert metadata["mam_metadata"]["end"]["id"] == there[-1][0], metadata
    await juliet.leave()
    return there


async def over_a_restart(server, before):
    server.stop()
    server.log = open(server.path("log"), "a+")
    server.start()
    await say(server, MESSAGES, MESSAGES + 3)
    juliet = Archived("juliet@localhost/balcony", server)
    assert await juliet.login(), juliet.why
    found = await juliet.fetch()
    assert found[:MESSAGES] == before, found
    assert [body for _, body in found[MESSAGES:]] == [f"line {MESSAGES + n}" for n in range(3)], found
    await juliet.leave()


async def main(server):
    await over_a_restart(server, await away_and_back(server))


if __name__ == "__main__":
    with Server() as stave:
        for name in ("romeo", "juliet"):
            stave.add(f"{name}@localhost", "right")
        asyncio.get_event_loop().run_until_complete(main(stave))
    print("ok")
