"""poezio in a terminal of tmux, driven by commands: subscriptions, presence, chat, blocking, what was kept."""
import atexit
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import im  # noqa: E402
import real  # noqa: E402
from profanity import Terminal  # noqa: E402


NOBODY = 65534


class Poezio:
    terminals = []
    SHOWS = {"available": r"\|", "away": "away"}

    def __init__(self, account):
        self.account = account
        self.home = tempfile.mkdtemp(prefix="z-", dir="/tmp")  # where others than root get
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        self.is_root = os.geteuid() == 0
        ca = os.path.join(self.home, "ca.pem")
        shutil.copy(account.site.ca, ca)
        self.config = os.path.join(self.home, "poezio.cfg")
        with open(self.config, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(f"[Poezio]\njid = {account.jid}\npassword = {account.password}\ncustom_host = 127.0.0.1\ncustom_port = {account.port}\n"
                    f"ca_cert_path = {ca}\nlog_dir = {self.home}/log\nshow_roster_subscriptions = all\nuse_log = false\nsave_status = false\n"
                    "auto_reconnect = false\ninformation_buffer_popup_on =\n[var]\ninfo_win_height = 20\n")

    async def connect(self):
        self.terminal = Terminal(self.home, {
            "HOME": self.home, **{f"XDG_{what}_HOME": os.path.join(self.home, what.lower()) for what in ("CONFIG", "DATA", "CACHE")},
            "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"})
        self.terminals.append(self.terminal)
        # it refuses to be root's
        guise = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if self.is_root else ()
        if self.is_root:
            for folder, _, files in os.walk(self.home):
                if "/tmux-" in folder:  # the terminal stays root's
                    continue
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, NOBODY, NOBODY)
        await self.terminal.start(*guise, "poezio", "-f", self.config)

    async def refusal(self):
        await self.connect()
        said = await self.terminal.shows("(?i)certificate|verif")
        self.terminal.kill()
        return said

    async def enter(self):
        await self.connect()
        await self.terminal.shows("Authentication success")

    async def command(self, words):
        # in its roster the / alone opens the line of commands
        self.terminal.tmux("send-keys", "-l", "/")
        await self.terminal.shows(r"│/\s*\Z")
        await self.line(words, shown="/" + words)

    async def line(self, text, shown):
        # what comes at once with more is taken for pasted text: so Enter comes when the rest is there, and the next when it was heeded
        entered = rf"│{re.escape(shown)}\s*\Z"
        self.terminal.tmux("send-keys", "-l", text)
        await self.terminal.shows(entered)
        self.terminal.tmux("send-keys", "Enter")
        await real.until(lambda: f"the line is taken:\n{self.terminal.screen()}", lambda: not re.search(entered, self.terminal.screen()))

    async def approve(self, jid):
        await self.terminal.shows(f"{jid} wants to subscribe")
        await self.command(f"accept {jid}")

    async def ask(self, jid):
        pass  # /accept asks back

    async def away(self, text):
        await self.command(f"status away {text}")

    async def sees(self, jid, show, text):
        await self.command(f"message {jid}")
        await self.terminal.shows(rf"\[{jid}\] \[{self.SHOWS[show]} ?{text}")

    async def say(self, to, body):
        await self.command(f"message {to}")
        await self.line(body, shown=body)

    async def hear(self, sender, body):
        await self.command(f"message {sender}")
        await self.terminal.shows("> " + re.escape(body))

    async def block(self, jid):
        await self.command(f"block {jid}")

    async def unblock(self, jid):
        await self.command(f"unblock {jid}")

    async def leave(self):
        await self.command("quit")
        await self.terminal.gone()


if __name__ == "__main__":
    try:
        im.test(Poezio, blocks=True)
        im.distrust(Poezio, hosts=(real.STRANGER,))  # 0.14 asks for no name in the certificate when it is told an address to go to
    finally:
        for terminal in Poezio.terminals:
            terminal.kill()
