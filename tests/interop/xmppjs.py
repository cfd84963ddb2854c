"""xmpp.js (@xmpp/client) on Node against certificates, passwords and long messages.

0.14 asks for Node 20 but runs on the Node 18 of Debian 12, with what xmppjs.js lends it.
"""
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import im  # noqa: E402
import real  # noqa: E402

PACKAGES = os.path.join(HERE, "../../build/interop-node")  # of all kinds of build; fetched again when what is pinned changes
PINNED = ("package.json", "package-lock.json", ".npmrc")


def fetch():
    os.makedirs(PACKAGES, exist_ok=True)
    with open(os.path.join(PACKAGES, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = hashlib.sha256(b"".join(open(os.path.join(HERE, name), "rb").read() for name in PINNED)).hexdigest()
        complete = os.path.join(PACKAGES, "complete")
        if os.path.exists(complete) and open(complete).read() == digest:
            return
        for name in PINNED:
            shutil.copy(os.path.join(HERE, name), PACKAGES)
        done = subprocess.run(["npm", "ci"], cwd=PACKAGES, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(f"npm ci failed in {PACKAGES}:\n{done.stdout}")
        with open(complete, "w") as f:
            f.write(digest)


class XmppJs:
    hears = "Wherefore art thou Romeo? "  # it decodes each piece that it reads by itself: characters that are cut are lost

    def __init__(self, account):
        self.account = account
        scheme = {"starttls": "xmpp", "direct": "xmpps"}[account.transport]
        self.program = real.Program(
            "xmpp.js", "node", os.path.join(HERE, "xmppjs.js"), f"{scheme}://{account.host}:{account.port}", account.host, account.user,
            account.password, env={"NODE_PATH": os.path.join(PACKAGES, "node_modules"), "NODE_EXTRA_CA_CERTS": account.site.ca})

    async def enter(self):
        self.program.printed = ""  # of a life before
        await self.program.start()
        await self.program.prints('{"online":')

    async def refusal(self):
        await self.program.start()
        assert await self.program.ends() == 1, self.program.printed
        return " ".join(json.loads(line)["error"] for line in self.program.printed.splitlines())

    async def say(self, to, body):
        await self.program.tell(json.dumps({"say": {"to": to, "body": body}}) + "\n")

    async def hear(self, sender, body):
        end = json.dumps(body, ensure_ascii=False) + "}}\n"
        await self.program.prints(end)
        assert re.search(rf'"from":"{sender}/[^"]+","body":{re.escape(end)}', self.program.printed), self.program.printed

    async def tell(self, **what):
        await self.program.tell(json.dumps(what) + "\n")

    async def approve(self, jid):
        await self.program.prints(f'{{"presence":{{"from":"{jid}","type":"subscribe"')
        await self.tell(presence={"to": jid, "type": "subscribed"})

    async def ask(self, jid):
        await self.tell(presence={"to": jid, "type": "subscribe"})

    async def away(self, text):
        await self.tell(presence={"show": "away", "status": text})

    async def sees(self, jid, show, text):
        shown = "" if show == "available" else show
        await self.program.prints(f'{{"presence":{{"from":"{jid}/friend","type":"available","show":"{shown}","status":"{text}"}}}}')

    async def block(self, jid):
        await self.tell(block=jid)
        await self.program.prints('{"done":"block"}')

    async def unblock(self, jid):
        await self.tell(unblock=jid)
        await self.program.prints('{"done":"unblock"}')

    async def leave(self):
        await self.program.tell(json.dumps({"leave": True}) + "\n")
        assert await self.program.ends() == 0, self.program.printed


ROUNDS, EACH = 3, 10


async def resumption(site):
    """It loses its connection again and again, and gets what is said to it once, in order (XEP-0198 5)."""
    nurse, client = im.Nurse(site), XmppJs(real.Account(site, "romeo"))
    assert await nurse.login(), nurse.why
    nurse.send_presence()
    await client.enter()
    for turn in range(ROUNDS):
        for i in range(EACH):
            nurse.send_message(mto=f"romeo@{client.account.host}", mbody=f"{turn} {i}", mtype="chat")
            if i == EACH // 2:
                await client.program.prints(f'"body":"{turn} {i - 1}"')
                await client.tell(lose=True)
        await client.program.prints(f'"body":"{turn} {EACH - 1}"')
    assert client.program.printed.count('{"resumed":true}') == ROUNDS, client.program.printed
    heard = re.findall(r'"body":"(\d+ \d+)"', client.program.printed)
    assert heard == [f"{turn} {i}" for turn in range(ROUNDS) for i in range(EACH)], heard
    assert len(site.lines("session-back ")) == ROUNDS, site.read_log()
    await client.leave()
    await nurse.leave()


if __name__ == "__main__":
    fetch()
    site = real.Site(only=real.GOOD)
    real.run(site, resumption(site))
    im.test(XmppJs, blocks=True)
    real.test(XmppJs, mechanism="mechanism=SCRAM-SHA-1 binding=none", names_host=False)
