"""Entity capabilities with slixmpp: it proves what the server shows, and the server learns once what it can do."""
import asyncio
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from chat import WAIT, Client  # noqa: E402
from server import Server  # noqa: E402

INFO = "{http://jabber.org/protocol/disco#info}query"


class Capable(Client):
    """Counts the questions it gets from the host, and shows when it has answered one."""

    def __init__(self, resource, server, feature="urn:example:one"):
        super().__init__("romeo@localhost/" + resource, "right", server)
        self.register_plugin("xep_0115")
        self["xep_0030"].add_feature(feature)
        self.asked = []
        self.answered = asyncio.Event()
        self.add_filter("in", self.seen)
        self.add_filter("out", self.sent)

    def seen(self, stanza):
        if stanza.name == "iq" and stanza["type"] == "get" and stanza["id"].startswith("caps-"):
            self.asked.append(stanza["id"])
        return stanza

    def sent(self, stanza):
        if stanza.name == "iq" and stanza["id"].startswith("caps-"):
            assert stanza["type"] == "result" and stanza.xml.find(INFO) is not None, stanza
            self.answered.set()
        return stanza

    async def enter(self):
        assert await self.login(), self.why
        await self["xep_0115"].update_caps(broadcast=False)
        self.send_presence()

    async def settle(self):
        """What was sent before has been handled."""
        for _ in range(2):
            await self["xep_0199"].ping("localhost", timeout=WAIT)


async def proves_the_host(client):
    """slixmpp asks for the node of the stream feature and makes the hash of what it gets (XEP-0115 6.3)."""
    caps = client["xep_0115"]
    assert "caps" in client.features, client.features
    for _ in range(200):  # its own question, of which it tells nothing
        info = await caps.get_caps("localhost")
        if info is not None:
            break
        await client.settle()
    assert info is not None, "the host's hash was not proved"
    assert "urn:xmpp:ping" in info["features"], info
    assert any(i[:2] == ("server", "im") for i in info["identities"]), info


async def talk(server):
    first, second = Capable("one", server), Capable("two", server)
    await first.enter()
    await asyncio.wait_for(first.answered.wait(), WAIT)
    await first.settle()
    await proves_the_host(first)
    await second.enter()
    await second.settle()
    assert len(first.asked) == 1 and not second.asked, (first.asked, second.asked)
    await second.leave()
    await first.leave()
    server.stop()
    server.log = open(server.path("log"), "a+")
    server.start()
    third, other = Capable("three", server), Capable("four", server, "urn:example:another")
    await third.enter()
    await third.settle()
    assert not third.asked, third.asked  # known over the restart
    await other.enter()
    await asyncio.wait_for(other.answered.wait(), WAIT)
    await other.leave()
    await third.leave()


if __name__ == "__main__":
    with Server('contact_admin = { "mailto:b@localhost", "mailto:a@localhost" }', modules=("contact",)) as stave:
        stave.add("romeo@localhost", "right")
        asyncio.get_event_loop().run_until_complete(talk(stave))
    print("ok")
