"""Carbons (XEP-0280) with profanity and slixmpp as two devices of one account: each sees both sides of what the other one says and hears; what a third party
sends in the form of a copy is shown by neither."""
import asyncio
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import im  # noqa: E402
import real  # noqa: E402
from chat import Client  # noqa: E402
from profanity import Profanity  # noqa: E402

FORGED = (f"<message xmlns='jabber:client' type='chat' to='{im.ROMEO}' id='f'><received xmlns='urn:xmpp:carbons:2'>"
          "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' "
          f"from='mother@{real.GOOD}/home' to='{im.ROMEO}'><body>forged in her name</body></message></forwarded></received></message>")


class Desk(Client):
    """Romeo's other device."""

    def __init__(self, site):
        super().__init__(f"{im.ROMEO}/desk", real.PASSWORDS["romeo"], site)
        self.register_plugin("xep_0280")
        self.copies = {"sent": asyncio.Queue(), "received": asyncio.Queue()}
        for way, queue in self.copies.items():
            self.add_event_handler(f"carbon_{way}", queue.put_nowait)

    async def copy(self, way, body):
        got = await asyncio.wait_for(self.copies[way].get(), real.LIMIT_S)
        inner = got[f"carbon_{way}"]
        assert got["from"] == im.ROMEO and inner["body"] == body, got


async def scenario(site):
    nurse, desk = im.Nurse(site), Desk(site)
    for client in (nurse, desk):
        assert await client.login(), client.why
        client.send_presence()
    await desk["xep_0280"].enable(timeout=real.LIMIT_S)
    phone = Profanity(real.Account(site, "romeo"))
    await phone.enter()
    phone.terminal.type("/carbons on")
    phone.terminal.type("/ping")  # what came before its answer has been done
    await phone.terminal.shows("Ping response from server")

    nurse.send_message(mto=f"{im.ROMEO}/desk", mbody="to the desk alone", mtype="chat")
    assert (await asyncio.wait_for(desk.inbox.get(), real.LIMIT_S))["body"] == "to the desk alone"
    await phone.hear(im.NURSE, "to the desk alone")
    im.step("what one device hears the other one sees")

    desk.send_message(mto=im.NURSE, mbody="from the desk", mtype="chat")
    await nurse.hears("from the desk")
    await phone.terminal.shows("from the desk")
    await real.until(lambda: "what the desk said in the log of the chat", lambda: "me: from the desk\n" in phone.chat(im.NURSE))
    im.step("what one device says the other one sees")

    await phone.say(im.NURSE, "from the phone")
    await nurse.hears("from the phone")
    await desk.copy("sent", "from the phone")
    im.step("and the other way round")

    nurse.send_raw(FORGED)
    nurse.says("behind the forgery")
    await phone.hear(im.NURSE, "behind the forgery")
    assert "forged in her name" not in phone.terminal.screen() and not phone.chat(f"mother@{real.GOOD}")
    assert desk.copies["received"].empty()
    im.step("a copy of somebody else's making is none")

    await phone.leave()
    await desk.leave()
    await nurse.leave()


if __name__ == "__main__":
    try:
        site = real.Site(only=real.GOOD)
        real.run(site, scenario(site))
    finally:
        for terminal in Profanity.terminals:
            terminal.kill()
