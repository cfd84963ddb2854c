"""Instant messaging as a person does it (RFC 6121), with a client that is driven from outside and a slixmpp client as its partner: subscriptions,
presence, chat, blocking (XEP-0191), what is kept for who is away. Each step is asserted where it is done and where it arrives.

A client is a class, made with an Account, that has
  enter()         logs in, checking the certificate; returns when it is on line
  leave()         goes off line and ends
  approve(jid)    waits for the request of jid and lets it see our presence
  ask(jid)        asks to see the presence of jid
  away(text)      is away, and says why
  sees(jid, show, text)   waits until it shows jid so: "available", "away"; `text` is what jid says of it
  say(to, body), hear(sender, body)
and, if `blocks`, block(jid) and unblock(jid). A client that has what real.py wants, too, goes through both scenarios."""
import asyncio
import re

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

import real
from chat import Client, until

ROMEO, NURSE = f"romeo@{real.GOOD}", f"nurse@{real.GOOD}"


class Nurse(Client):
    """The partner. Does nothing by itself, and keeps all presence there is in one queue, in order."""

    def __init__(self, site):
        super().__init__(f"{NURSE}/friend", real.PASSWORDS["nurse"], site)
        for kind in ("available", "unavailable"):
            self.del_event_handler(f"presence_{kind}", self.presences.put_nowait)
        self.roster.auto_authorize = self.roster.auto_subscribe = None
        self.register_handler(Callback("all presence", MatchXPath("{jabber:client}presence"), self.presences.put_nowait))

    async def sees(self, kind, status=None):
        """Waits for a presence of romeo of this type or show."""
        def fits(p):
            return p["from"].bare == ROMEO and p["type"] == kind and status in (None, p["status"])

        try:
            return await asyncio.wait_for(until(self.presences, fits), real.LIMIT_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"the partner never saw romeo's {kind}, {status}") from None

    async def hears(self, body):
        got = await until(self.inbox, lambda m: m["body"])  # not a state of the chat
        assert got["from"].bare == ROMEO and got["type"] == "chat" and got["body"] == body, got

    def says(self, body):
        self.send_message(mto=ROMEO, mbody=body, mtype="chat")

    async def settled(self):
        """All that was sent has been routed."""
        await self["xep_0199"].ping(real.GOOD, timeout=real.LIMIT_S)

    async def has(self, subscription):
        """The server's roster has romeo so."""
        await self.get_roster(timeout=real.LIMIT_S)
        item = self.client_roster[ROMEO]
        assert item["subscription"] == subscription, (subscription, item)


def step(text):
    print(text, flush=True)


async def subscriptions(nurse, client):
    nurse.send_presence_subscription(pto=ROMEO)
    await client.approve(NURSE)
    await nurse.sees("subscribed")
    await nurse.sees("available")
    await nurse.has("to")
    await client.ask(NURSE)
    await nurse.sees("subscribe")
    nurse.send_presence(pto=ROMEO, ptype="subscribed")
    await client.sees(NURSE, "available", "")
    await nurse.has("both")
    step("each sees the other")


async def presence(nurse, client):
    await client.away("in Mantua")
    await nurse.sees("away", "in Mantua")
    nurse.send_presence(pshow="away", pstatus="at church")
    await client.sees(NURSE, "away", "at church")
    step("away is seen both ways")


async def chat(nurse, client):
    nurse.says("Good morrow to " + real.SHORT)
    await client.hear(NURSE, "Good morrow to " + real.SHORT)
    await client.say(NURSE, "Well met, " + real.SHORT)
    await nurse.hears("Well met, " + real.SHORT)
    step("a message went each way")


async def blocking(nurse, client):
    await client.block(NURSE)
    await nurse.sees("unavailable")
    nurse.says("why so angry")
    refused = await until(nurse.errors, lambda m: True)
    assert refused["from"].bare == ROMEO and refused["error"]["condition"] == "service-unavailable", refused
    await client.unblock(NURSE)
    await nurse.sees("away", "in Mantua")
    nurse.says("friends again")
    await client.hear(NURSE, "friends again")
    step("blocked and taken back")


async def kept(site, nurse, client):
    after = site.mark()
    await client.leave()
    await nurse.sees("unavailable")
    await site.line(" session-close ", f"jid={ROMEO}/", after=after)
    nurse.says("kept until you are back")
    await nurse.settled()
    await client.enter()
    await nurse.sees("available")
    await client.hear(NURSE, "kept until you are back")
    await client.sees(NURSE, "away", "at church")
    await client.leave()
    await nurse.sees("unavailable")
    step("what was sent meanwhile was kept")


async def scenario(site, make, blocks):
    nurse = Nurse(site)
    assert await nurse.login(), nurse.why
    await nurse.get_roster()
    nurse.send_presence()
    client = make(real.Account(site, "romeo"))
    after = site.mark()
    await client.enter()
    login = await site.line(" login ", "user=romeo", after=after)
    assert " tls=yes " in login, login
    await subscriptions(nurse, client)
    await presence(nurse, client)
    await chat(nurse, client)
    if blocks:
        await blocking(nurse, client)
    await kept(site, nurse, client)
    # slixmpp of Debian 13, poezio's too, tries TLS without STARTTLS on any port first
    wrong = [line for line in site.lines("stream-error") if "step=header" not in line]
    assert not wrong, wrong
    await nurse.leave()


def test(make, blocks):
    site = real.Site(only=real.GOOD)
    real.run(site, scenario(site, make, blocks))


async def refused(site, make, host):
    said = await make(real.Account(site, "romeo", host=host)).refusal()
    assert re.search(real.DISTRUST[host], said), said
    assert not site.lines(" login"), site.read_log()
    step(f"{host} was refused by the client")


def distrust(make, hosts=(real.STRANGER, real.MISNAMED)):
    """The client, which has refusal() as in real.py, does not log in where the certificate does not fit. Only for one that does not go through real.test."""
    for host in hosts:
        site = real.Site(only=host)
        real.run(site, refused(site, make, host))
