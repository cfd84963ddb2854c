"""Rude clients: each storm goes on until `until` is done and returns how many acts it did. Users from 50 on are theirs."""
import asyncio
import socket
import struct

from load_client import HEADER, LIMIT_S, STARTTLS, Client, Closed, client_hello

BROKEN = (Closed, OSError, asyncio.TimeoutError)


async def safely(client, doing):
    """Whatever happens to the connection is part of the storm; assertions are not."""
    try:
        await doing
    except BROKEN:
        pass
    finally:
        client.abort()


async def chatter(client, others, rng):
    """Messages to whomever, until the connection goes."""
    while not client.is_closed.is_set():
        for _ in range(rng.randint(1, 20)):
            client.message(rng.choice(others).jid, "x" * rng.randint(1, 2000))
        try:
            await client.ping()
        except BROKEN:
            return


async def reconnect_one(server, rng, user):
    """Logs in, or breaks off at any step of it; talks a little; goes in one of three ways."""
    client = Client(server, user, f"r{rng.randint(0, 2)}", on_stanza=None)

    async def life():
        for step in (client.connect, client.ask_for_tls if rng.random() < 0.1 else client.start_tls, client.authenticate, client.bind):
            await step()
            if rng.random() < 0.08 or step == client.ask_for_tls:
                return
        client.send("<presence/><iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        for _ in range(rng.randint(0, 10)):
            client.message(f"user{rng.randint(50, 70):06d}@localhost", "y" * rng.randint(1, 500))
        if rng.random() < 0.5:
            await client.ping()
        if rng.random() < 0.3:
            await client.leave()
    try:
        await life()
    except BROKEN:
        pass
    finally:
        client.abort(reset=rng.random() < 0.5)


async def reconnects(server, rng, until):
    """Crowds of logins at once: same accounts, some with the same resource (conflict)."""
    count = 0
    while not until.done():
        crowd = [reconnect_one(server, rng, f"user{rng.randint(50, 70):06d}") for _ in range(15)]
        await asyncio.gather(*crowd)
        count += len(crowd)
    return count


async def cut_stanzas(server, rng, until):
    """Connections that go in the middle of a stanza, with answers on their way."""
    text = ("<iq type='get' id='a' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" * 5 +
            "<message to='user000071@localhost' type='chat'><body>" + "z" * 3000 + "</body></message>")
    count = 0
    while not until.done():
        client = Client(server, "user000071", f"cut{count % 3}")

        async def cut():
            await client.login()
            client.send(text[:rng.randint(1, len(text) - 1)])
            await asyncio.sleep(rng.choice((0, 0, 0.01)))
        await safely(client, cut())
        count += 1
    return count


async def cut_handshakes(server, rng, until):
    """TLS handshakes that break off after any byte, by FIN or RST, or go on as garbage."""
    loop, hello, count = asyncio.get_running_loop(), client_hello(), 0
    while not until.done():
        with socket.socket() as sock:
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, ("127.0.0.1", server.port))
                await loop.sock_sendall(sock, (HEADER + STARTTLS).encode())
                got = b""
                while b"<proceed" not in got and (data := await asyncio.wait_for(loop.sock_recv(sock, 4096), LIMIT_S)):
                    got += data
                cut = hello[:rng.randint(0, len(hello))]
                await loop.sock_sendall(sock, cut + (rng.randbytes(50) if rng.random() < 0.3 else b""))
                if rng.random() < 0.5:
                    await asyncio.wait_for(loop.sock_recv(sock, 100), 0.05)
            except BROKEN:
                pass
            if rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        count += 1
        await asyncio.sleep(0)
    return count


async def single_bytes(server, rng, until):
    """A client that writes byte by byte, inside TLS too."""
    count = 0
    while not until.done():
        client = Client(server, "user000072", byte_by_byte=True)
        try:
            await client.login()
            client.message("user000072@localhost", "to myself")
            await client.ping()
            await client.leave()
        except Closed as problem:
            raise AssertionError(f"a slow writer was closed: {problem}") from problem
        finally:
            client.abort()
        count += 1
    return count


async def never_reads(server, rng, until):
    """A client that reads nothing while 20 others send to it; then it breaks off."""
    count = 0
    senders = [Client(server, f"user{i:06d}", "n", on_stanza=lambda _: None) for i in range(75, 95)]
    await asyncio.gather(*(c.login() for c in senders))
    while not until.done():
        deaf = Client(server, "user000074", "deaf", on_stanza=lambda _: None)

        async def flood():
            await deaf.login(receive_bytes=4096)
            deaf.transport.pause_reading()
            for _ in range(30):
                for sender in senders:
                    sender.send(f"<message to='{deaf.jid}'><body>{'n' * 4000}</body></message>"
                                f"<presence to='{deaf.jid}'/>")
                await asyncio.gather(*(sender.ping() for sender in senders))
                if until.done() or rng.random() < 0.02:
                    return
        await safely(deaf, flood())
        count += 1
    await asyncio.gather(*(c.leave() for c in senders))
    return count


CONFIGS = ("", "offline_max_bytes = \"1M\"\nroster_name_bytes = 500\n",
           'modules_enabled = { "ping", "roster", "presence", "message", "offline" }\n',
           "c2s_guests_max = 7\nVirtualHost \"guests.localhost\"\nauthentication = \"anonymous\"\n")


async def commands(server, rng, until):
    """Operators at work: reload with other options, modules and hosts each time, status, modules, accounts that come and go while
    somebody logs in to them."""
    count = rounds = 0
    with open(server.config, encoding="utf-8") as file:
        base = file.read().split("-- changed\n")[0]
    while not until.done():
        rounds += 1
        with open(server.config, "w", encoding="utf-8") as file:
            file.write(base + "-- changed\n" + CONFIGS[rounds % len(CONFIGS)])
        for words, stdin in ((("reload",), None), (("status",), None), (("modules",), None), (("user", "add", "extra@localhost"), "one\n"),
                             (("user", "passwd", "extra@localhost"), "bench\n"), (("user", "list"), None)):
            status, out = await server.ask(*words, stdin=stdin)
            assert status == 0, f"{words}: {status} {out}"
            count += 1
        extra = Client(server, "extra")
        await extra.login()
        status, out = await server.ask("user", "delete", "extra@localhost")
        assert status == 0, out
        await asyncio.wait_for(extra.is_closed.wait(), LIMIT_S)  # a deleted account's streams end
    return count


def all_storms(server, rng, until):
    return [one(server, rng, until) for one in (reconnects, cut_stanzas, cut_handshakes, single_bytes, never_reads, commands)]
