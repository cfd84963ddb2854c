"""mcabber in a terminal of tmux, driven by commands: subscriptions, presence, chat, what was kept. It has no blocking."""
import os
import re
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import im  # noqa: E402
from profanity import Terminal  # noqa: E402


class Mcabber:
    terminals = []
    LETTERS = {"available": "o", "away": "a"}

    def __init__(self, account):
        self.account = account
        self.home = tempfile.mkdtemp(prefix="m-", dir=os.environ.get("STAVE_TMP"))
        self.config = os.path.join(self.home, "mcabberrc")
        with open(self.config, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(f"set jid = {account.jid}\nset password = {account.password}\nset server = 127.0.0.1\nset port = {account.port}\n"
                    f"set tls = 1\nset ssl_ca = {account.site.ca}\nset ssl_ignore_checks = 0\nset resource = balcony\n"
                    "set roster_display_filter = *\n")

    async def connect(self):
        self.terminal = Terminal(self.home, {"HOME": self.home, "LC_ALL": "C.UTF-8", "TERM": "xterm"})
        self.terminals.append(self.terminal)
        await self.terminal.start("mcabber", "-f", self.config)

    async def refusal(self):
        await self.connect()
        said = await self.terminal.shows("Certificate .*!")
        self.terminal.kill()
        return said

    async def enter(self):
        await self.connect()
        await self.terminal.shows(r"Your status has been set: \[_>o\]")

    async def approve(self, jid):
        await self.terminal.shows(f"<{jid}> wants to subscribe")
        self.terminal.type("/event * accept")

    async def ask(self, jid):
        self.terminal.type(f"/authorization request {jid}")

    async def away(self, text):
        self.terminal.type(f"/status away {text}")

    async def sees(self, jid, show, text):
        await self.terminal.shows(rf"\[{self.LETTERS[show]}\] {jid}")  # in the roster, where it can be searched for
        self.terminal.type(f"/roster search {jid}")
        await self.terminal.shows(rf"\[{self.LETTERS[show]}\] Buddy: {jid}.*{text}")

    async def say(self, to, body):
        self.terminal.paste(f"/say_to {to} {body}")

    async def hear(self, sender, body):
        await self.terminal.shows(rf"\] {sender}")
        self.terminal.type(f"/roster search {sender}")
        self.terminal.type("")  # shows the chat
        await self.terminal.shows("<== " + re.escape(body))

    async def leave(self):
        self.terminal.type("/quit")
        await self.terminal.gone()


if __name__ == "__main__":
    try:
        im.test(Mcabber, blocks=False)
        im.distrust(Mcabber)
    finally:
        for terminal in Mcabber.terminals:
            terminal.kill()
