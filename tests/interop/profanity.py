"""profanity in a terminal of tmux, driven by keys: contacts, presence, blocking, what was kept; certificates, passwords and long messages."""
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import im  # noqa: E402
import real  # noqa: E402


class Terminal:
    """A screen of tmux with a server of its own, below `folder`. The server is our child and no daemon, so that what ends us ends it, too."""

    def __init__(self, folder, env):
        self.env = {**os.environ, "TMUX_TMPDIR": folder, **env}
        self.env.pop("TMUX", None)
        self.server = subprocess.Popen(["tmux", "-u", "-f", "/dev/null", "-D"], env=self.env, stdin=subprocess.DEVNULL)

    async def start(self, *words):
        session = ("new-session", "-d", "-x", "200", "-y", "50", *words)
        done = None

        def begin():
            nonlocal done
            done = self.tmux(*session, check=False)
            return done.returncode == 0

        await real.until(lambda: f"a terminal: {done.stderr}", begin)

    def tmux(self, *words, check=True, **how):
        return subprocess.run(["tmux", "-u", "-N", *words], env=self.env, check=check, capture_output=True, text=True, timeout=real.LIMIT_S, **how)

    def screen(self):
        return self.tmux("capture-pane", "-p", check=False).stdout

    async def shows(self, text):
        """Waits for a text on the screen; gives all that is on it."""
        await real.until(lambda: f"{text!r} on the screen:\n{self.screen()}", lambda: re.search(text, self.screen()))
        return self.screen()

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    def paste(self, text):
        self.tmux("load-buffer", "-", input=text)
        self.tmux("paste-buffer")
        self.tmux("send-keys", "Enter")

    async def gone(self):
        """Waits for the program to end by itself."""
        await real.until(lambda: f"the end of the program:\n{self.screen()}", lambda: self.tmux("has-session", check=False).returncode)
        self.kill()

    def kill(self):
        """Ends all of it; once more does nothing."""
        if self.server.poll() is not None:
            return
        for pid in self.tmux("list-panes", "-a", "-F", "#{pane_pid}", check=False).stdout.split():
            os.kill(int(pid), signal.SIGKILL)  # poezio outlives its terminal when it is not on line
        self.server.terminate()
        self.server.wait(real.LIMIT_S)


class Profanity:
    terminals = []

    def __init__(self, account):
        self.account = account
        self.home = tempfile.mkdtemp(prefix="p-", dir=os.environ.get("STAVE_TMP"))
        os.makedirs(os.path.join(self.home, "config/profanity"))
        with open(os.path.join(self.home, "config/profanity/profrc"), "w") as f:
            f.write(f"[connection]\ntls.certpath={account.site.ca_folder}\n[logging]\nchlog=true\n")

    async def connect(self):
        account = self.account
        self.terminal = Terminal(self.home, {
            "HOME": self.home, "XDG_CONFIG_HOME": os.path.join(self.home, "config"), "XDG_DATA_HOME": os.path.join(self.home, "data"),
            "LC_ALL": "C.UTF-8", "TERM": "xterm"})
        Profanity.terminals.append(self.terminal)
        await self.terminal.start("profanity")
        await self.terminal.shows("Type '/help'")
        tls = {"starttls": "force", "direct": "legacy"}[account.transport]
        self.terminal.type(f"/connect {account.jid} server 127.0.0.1 port {account.port} tls {tls}")
        await self.terminal.shows("Enter password:")
        self.terminal.type(account.password)

    async def enter(self):
        await self.connect()
        await self.terminal.shows("logged in successfully")

    async def refusal(self):
        await self.connect()
        said = await self.terminal.shows("Login failed|'/tls deny'")
        if "'/tls deny'" in said:
            self.terminal.type("/tls deny")
            await self.terminal.shows("Login failed")
        self.terminal.kill()
        return said

    async def say(self, to, body):
        self.terminal.type(f"/msg {to}")
        await self.terminal.shows(f"^ {re.escape(to)}")  # the window's title
        self.terminal.paste(body)

    async def hear(self, sender, body):
        self.terminal.type(f"/msg {sender}")
        await self.terminal.shows(re.escape(body if len(body) < 100 else body.split()[-1]))  # no line breaks in what is looked for
        await real.until(lambda: f"{body[-40:]!r} whole in the log of the chat", lambda: f"{sender}: {body}\n" in self.chat(sender))

    def chat(self, other):
        """All that it has logged of what was said with `other`, who has no / in the address."""
        logs = glob.glob(os.path.join(self.home, "data/profanity/chatlogs/**", other.replace("@", "_at_"), "*.log"), recursive=True)
        return "".join(open(log).read() for log in logs)

    async def approve(self, jid):
        await self.terminal.shows(f"authorization request from {jid}")
        self.terminal.type(f"/sub allow {jid}")

    async def ask(self, jid):
        self.terminal.type(f"/sub request {jid}")

    async def away(self, text):
        self.terminal.type(f'/status set away "{text}"')

    async def sees(self, jid, show, text):
        self.terminal.type("/win 1")
        word = {"available": "online"}.get(show, show)
        await self.terminal.shows(rf"{word.capitalize()} \(0\)\n.*{jid}")  # in the list of contacts at the right
        self.terminal.type(f"/who {word}")
        await self.terminal.shows(rf"{jid}.* is {word}.*{text}")

    async def block(self, jid):
        self.terminal.type("/win 1")  # the answer comes there
        self.terminal.type(f"/blocked add {jid}")
        await self.terminal.shows("successfully blocked")

    async def unblock(self, jid):
        self.terminal.type("/win 1")  # the answer comes there
        self.terminal.type(f"/blocked remove {jid}")
        await self.terminal.shows("successfully unblocked")

    async def leave(self):
        self.terminal.type("/disconnect")
        await self.terminal.shows("logged out successfully")
        self.terminal.kill()  # its own end takes 0.15 five seconds


if __name__ == "__main__":
    try:
        im.test(Profanity, blocks=True)
        real.test(Profanity, refused="Login failed")
    finally:
        for terminal in Profanity.terminals:
            terminal.kill()
