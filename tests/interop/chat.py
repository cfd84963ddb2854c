"""Two slixmpp clients as they come: STARTTLS, SCRAM, add each other, see presence, chat on line and off, block, on a server with 0 and 2 I/O threads."""
import asyncio
import ssl
import sys

import slixmpp

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from server import Server  # noqa: E402

WAIT = 20


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, server, transport="starttls"):
        super().__init__(jid, password)
        self.transport_kind = transport
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0191")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0203")
        self.auto_reconnect = False
        self.ca_certs = server.ca
        self.inbox = asyncio.Queue()
        self.presences = asyncio.Queue()
        self.errors = asyncio.Queue()
        self.started = asyncio.Event()
        self.failed = asyncio.Event()
        self.why = []  # it failed
        self.add_event_handler("session_start", lambda _: self.started.set())
        # slixmpp tries one mechanism after the other: it has failed when none is left, or the server ends it meanwhile
        self.refusals = 0
        self.add_event_handler("failed_auth", self.refused)
        self.add_event_handler("ssl_invalid_chain", self.distrusts)
        self.add_event_handler("connection_failed", self.distrusts)
        self.add_event_handler("failed_all_auth", lambda _: self.failed.set())
        self.add_event_handler("disconnected", lambda _: self.refusals > 0 and self.failed.set())
        self.add_event_handler("message", self.inbox.put_nowait)
        self.add_event_handler("message_error", self.errors.put_nowait)
        self.add_event_handler("presence_available", self.presences.put_nowait)
        self.add_event_handler("presence_unavailable", self.presences.put_nowait)
        self.stave = server

    async def login(self):
        direct, port = self.transport_kind == "direct", self.stave.port_of(self.transport_kind)
        self.default_domain = self.boundjid.host  # the name in the certificate: given an address alone, slixmpp would ask for none
        self._dns_answers = iter(())  # and before 1.9 would look that name up
        try:  # slixmpp before 1.9 takes a pair, later ones a host and a port
            self.connect(("127.0.0.1", port), use_ssl=direct, disable_starttls=False, force_starttls=not direct)
        except TypeError:
            self.enable_direct_tls, self.enable_starttls, self.enable_plaintext = direct, not direct, False
            self.connect("127.0.0.1", port)
        started, failed = asyncio.ensure_future(self.started.wait()), asyncio.ensure_future(self.failed.wait())
        done, rest = await asyncio.wait({started, failed}, timeout=WAIT, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        if not done:
            raise TimeoutError(f"{self.boundjid} neither started nor failed")
        return self.started.is_set()

    def refused(self, failure):
        self.refusals += 1
        self.why.append(failure["condition"])

    def distrusts(self, error):
        self.why.append(str(error))
        self.failed.set()
        self.cancel_connection_attempt()  # it would try again

    def abort(self):
        try:
            super().abort()
        except AttributeError:  # of Python's TLS transport, when the server was first to end the connection
            pass

    async def leave(self):
        await asyncio.wait_for(self.disconnect(wait=2), WAIT)


async def until(queue, test):
    while True:
        got = await asyncio.wait_for(queue.get(), WAIT)
        if test(got):
            return got


async def talk(server):
    romeo = Client("romeo@localhost/orchard", "right", server)
    juliet = Client("juliet@localhost/balcony", "secret", server)
    assert await romeo.login() and await juliet.login()
    tls = romeo.transport.get_extra_info("ssl_object")
    assert isinstance(tls, (ssl.SSLObject, ssl.SSLSocket)) and tls.version() in ("TLSv1.2", "TLSv1.3"), tls
    for client in (romeo, juliet):
        await client.get_roster()
        client.send_presence()

    # they add each other; slixmpp approves and subscribes back by itself
    romeo.send_presence_subscription(pto="juliet@localhost")
    await until(juliet.presences, lambda p: p["from"].bare == "romeo@localhost")
    await until(romeo.presences, lambda p: p["from"].bare == "juliet@localhost")
    await romeo["xep_0199"].ping("localhost", timeout=WAIT)
    await juliet["xep_0199"].ping("localhost", timeout=WAIT)
    # slixmpp tells the version of what it has been pushed: nothing has changed since (RFC 6121 2.6.3)
    roster = await romeo.get_roster()
    assert not roster["roster"]["items"], roster
    item = romeo.client_roster["juliet@localhost"]
    assert item["subscription"] == "both", item

    # chat
    for i in range(20):
        romeo.send_message(mto="juliet@localhost", mbody=f"message {i}", mtype="chat")
    for i in range(20):
        got = await until(juliet.inbox, lambda m: m["type"] == "chat")
        assert got["body"] == f"message {i}" and got["from"] == "romeo@localhost/orchard", got
    juliet.send_message(mto="romeo@localhost/orchard", mbody="answer", mtype="chat")
    assert (await until(romeo.inbox, lambda m: True))["body"] == "answer"

    # service discovery
    info = await romeo["xep_0030"].get_info("localhost", timeout=WAIT)
    assert "urn:xmpp:ping" in info["disco_info"]["features"], info

    # blocking: juliet is gone for romeo until she takes him back
    block_list = juliet["xep_0191"]
    await block_list.block("romeo@localhost", timeout=WAIT)
    blocked = (await block_list.get_blocked(timeout=WAIT))["blocklist"]["items"]
    assert blocked == {slixmpp.JID("romeo@localhost")}, blocked
    await until(romeo.presences, lambda p: p["type"] == "unavailable" and p["from"].bare == "juliet@localhost")
    romeo.send_message(mto="juliet@localhost", mbody="are you angry?", mtype="chat")
    assert (await until(romeo.errors, lambda m: True))["error"]["condition"] == "service-unavailable"
    juliet.send_message(mto="romeo@localhost", mbody="who?", mtype="chat")
    refused = await until(juliet.errors, lambda m: True)
    assert refused["error"]["condition"] == "not-acceptable" and "urn:xmpp:blocking:errors" in str(refused), refused
    await block_list.unblock("romeo@localhost", timeout=WAIT)
    await until(romeo.presences, lambda p: p["type"] == "available" and p["from"].bare == "juliet@localhost")
    romeo.send_message(mto="juliet@localhost", mbody="good", mtype="chat")
    assert (await until(juliet.inbox, lambda m: True))["body"] == "good"

    # off line: the end is seen, what is sent waits and comes stamped
    await juliet.leave()
    await until(romeo.presences, lambda p: p["type"] == "unavailable" and p["from"].bare == "juliet@localhost")
    romeo.send_message(mto="juliet@localhost", mbody="are you there?", mtype="chat")
    await romeo["xep_0199"].ping("localhost", timeout=WAIT)
    juliet = Client("juliet@localhost/balcony", "secret", server)
    assert await juliet.login()
    juliet.send_presence()
    got = await until(juliet.inbox, lambda m: True)
    assert got["body"] == "are you there?" and got["delay"]["stamp"], got
    await until(romeo.presences, lambda p: p["type"] == "available" and p["from"].bare == "juliet@localhost")

    # a wrong password
    tybalt = Client("romeo@localhost", "wrong", server)
    assert not await tybalt.login()
    await juliet.leave()
    await romeo.leave()


def main():
    for threads in (0, 2):
        with Server(f"io_threads = {threads}") as server:
            server.add("romeo@localhost", "right")
            server.add("juliet@localhost", "secret")
            asyncio.get_event_loop().run_until_complete(asyncio.wait_for(talk(server), 120))
            print(f"two slixmpp clients chatted, io_threads = {threads}")


if __name__ == "__main__":
    main()
