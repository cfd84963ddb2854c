"""kill -9 at any moment loses nothing that was confirmed (architecture, promise 1): every roster set whose result came is there after the
restart. Messages to somebody who is off line are under way as well; nothing confirms those without XEP-0198, so only that what comes is whole
and comes once is asked of them. STAVE_ROUNDS: how many kills (3)."""
import asyncio
import os
import random
import re
import signal
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from chat import Client  # noqa: E402
from server import Server  # noqa: E402

ROUNDS = int(os.environ.get("STAVE_ROUNDS", "3"))
WAIT = 30


def worker_pid(server):
    return int(re.findall(r"worker-start pid=(\d+)", server.read_log())[-1])


async def login(server, jid, password):
    for _ in range(200):
        client = Client(jid, password, server)
        try:
            if await client.login():
                return client
        except (OSError, TimeoutError):
            pass
        client.abort()
        await asyncio.sleep(0.05)
    raise RuntimeError("no login after the restart: " + server.read_log())


async def one_round(server, number, confirmed, rng):
    romeo = await login(server, "romeo@localhost/orchard", "right")
    confirmed_now, sent = [], []
    stop = asyncio.Event()

    async def add(i):
        iq = romeo.make_iq_set()
        iq["roster"]["items"] = {f"contact-{number}-{i}@localhost": {"name": f"n{i}", "subscription": "none", "groups": []}}
        romeo.send_message(mto="juliet@localhost", mbody=f"{number}-{i}", mtype="chat")
        sent.append(i)
        try:
            await iq.send(timeout=WAIT)
            confirmed_now.append(i)
        except Exception:  # the connection went: not confirmed
            pass

    async def chatter():
        i = 0
        while not stop.is_set():
            for _ in range(20):
                asyncio.ensure_future(add(i))
                i += 1
            await asyncio.sleep(0.01)

    task = asyncio.ensure_future(chatter())
    enough = rng.randint(5, 300)
    while len(confirmed_now) < enough or len(sent) == len(confirmed_now):
        await asyncio.sleep(0)
    os.kill(worker_pid(server), signal.SIGKILL)
    stop.set()
    await task
    confirmed |= {(number, i) for i in confirmed_now}
    romeo.abort()
    return len(sent) - len(confirmed_now)


async def check(server, confirmed):
    romeo = await login(server, "romeo@localhost/orchard", "right")
    roster = await romeo.get_roster(timeout=WAIT)
    items = {j.bare for j in roster["roster"]["items"]}
    lost = [c for c in confirmed if f"contact-{c[0]}-{c[1]}@localhost" not in items]
    assert not lost, f"{len(lost)} confirmed roster items were lost: {sorted(lost)[:10]}"
    await romeo.leave()
    juliet = await login(server, "juliet@localhost/balcony", "secret")
    juliet.send_presence()
    first = await asyncio.wait_for(juliet.inbox.get(), WAIT)  # the whole queue is sent at once, then answers what is asked now
    await juliet["xep_0199"].ping("localhost", timeout=WAIT)
    bodies = []
    for message in [first] + [juliet.inbox.get_nowait() for _ in range(juliet.inbox.qsize())]:
        assert message["delay"]["stamp"] and re.fullmatch(r"\d+-\d+", message["body"]), message
        bodies.append(message["body"])
    assert len(bodies) == len(set(bodies)), "a message came twice"
    await juliet.leave()


async def rounds(server, seed):
    rng, confirmed, in_flight = random.Random(seed), set(), 0
    for number in range(ROUNDS):
        in_flight += await one_round(server, number, confirmed, rng)
    await check(server, confirmed)
    print(f"seed {seed}: {ROUNDS} kills, {in_flight} sets in flight at the kills, {len(confirmed)} confirmed, 0 lost")
    assert in_flight > 0 and confirmed


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print("seed", seed)
    with Server("offline_max_messages = 100000\nroster_max_items = 100000") as server:
        server.add("romeo@localhost", "right")
        server.add("juliet@localhost", "secret")
        asyncio.get_event_loop().run_until_complete(asyncio.wait_for(rounds(server, seed), 300))


if __name__ == "__main__":
    main()
