"""Where tests of real clients meet: a server with three hosts behind two ports, and the authority that the clients are told to trust.

chat.test is as it should be. stranger.test has a certificate from an authority that nobody knows, misnamed.test one from the known
authority for another name: a client must not go on there. All are reached at 127.0.0.1.
"""
import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from chat import Client
from server import Server

GOOD, STRANGER, MISNAMED = "chat.test", "stranger.test", "misnamed.test"
LIMIT_S = 60  # of waiting for one event; a busy machine under a sanitizer is slow


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """A certificate authority of a test."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.file = os.path.join(folder, name + ".pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=" + name,
                     "-addext", "keyUsage=critical,keyCertSign", "-keyout", self.path("key"), "-out", self.file)

    def path(self, name):
        return os.path.join(self.folder, f"{self.name}-{name}.pem")

    def issue(self, host):
        """Lines of a configuration that name a new certificate for `host`."""
        key, request, cert = (self.path(f"{host}-{what}") for what in ("key", "request", "cert"))
        with open(self.path("extensions"), "w") as f:
            f.write(f"subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + host, "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.path("key"), "-CAcreateserial", "-days", "30",
                     "-extfile", self.path("extensions"), "-out", cert)
        return f'certificate = "{cert}"\nkey = "{key}"\n'


class Site(Server):
    """With `only`, that host alone: for a client that does not name in its TLS hello whom it wants."""

    def __init__(self, only=None):
        pki = tempfile.mkdtemp(prefix="pki-", dir=os.environ.get("STAVE_TMP"))
        known, unknown = Authority(pki, "known"), Authority(pki, "unknown")
        super().__init__(hosts=(only,) if only else (GOOD, STRANGER, MISNAMED), settings={
            GOOD: known.issue(GOOD), STRANGER: unknown.issue(STRANGER), MISNAMED: known.issue("another.test")})
        self.ca = known.file
        self.ca_folder = os.path.join(pki, "authorities")  # the same as OpenSSL wants a folder: named by hash
        os.mkdir(self.ca_folder)
        shutil.copy(self.ca, self.ca_folder)
        openssl("rehash", self.ca_folder)

    def lines(self, *words, after=0):
        """Lines of the log that hold all of `words`, from line number `after` on."""
        return [line for line in self.read_log().splitlines()[after:] if all(word in line for word in words)]

    def mark(self):
        """The number of lines that the log has: `after` for what comes from now on."""
        return self.read_log().count("\n")

    async def line(self, *words, after=0):
        return (await until(lambda: f"line of the log with {words}", lambda: self.lines(*words, after=after)))[0]

    def check_log(self):
        """After the end: all that was opened was closed, nothing was lost, and nobody complained but of wrong passwords, root and the misnamed certificate."""
        odd = [line for line in self.read_log().splitlines()
               if not re.match(r"\S+Z (info  \S|warn  (login-failed|config-warning|certificate-unfit) )", line) or " worker-crash " in line]
        assert not odd, odd
        assert len(self.lines(" session-open ")) == len(self.lines(" session-close "))
        assert self.lines(" server-stop ", "balanced=yes"), self.read_log()


async def until(what, test):
    """Asks until `test` gives something true; the clock just ends a hopeless wait, and then `what` tells what for."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        found = test()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what()}")
        await asyncio.sleep(0.02)


def heed_interrupts():
    """In a child: a shell that runs us in the background lets us ignore SIGINT, and what we start as well."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Program:
    """A client that is a process. What it prints is kept line by line; it must end by itself or is killed at the end of the test."""

    everyone = []

    def __init__(self, name, *words, env=None, stdin=None):
        self.name, self.words, self.env, self.stdin = name, words, env, stdin
        self.printed, self.process = "", None

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            *self.words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **(self.env or {})}, preexec_fn=heed_interrupts)
        Program.everyone.append(self.process)
        self.reader = asyncio.ensure_future(self.read())
        return self

    async def read(self):
        while True:
            some = await self.process.stdout.read(65536)
            if not some:
                return
            self.printed += some.decode("utf-8", "replace")

    async def tell(self, text, last=False):
        self.process.stdin.write(text.encode())
        await self.process.stdin.drain()
        if last:
            self.process.stdin.close()

    async def prints(self, text):
        await until(lambda: f"{self.name} prints {text[-80:]!r}, not just {self.printed[-2000:]!r}", lambda: text in self.printed)

    async def ends(self):
        """Its status; all that it printed has been read."""
        status = await asyncio.wait_for(self.process.wait(), LIMIT_S)
        await asyncio.wait_for(self.reader, LIMIT_S)
        return status

    @staticmethod
    def kill_all():
        for process in Program.everyone:
            if process.returncode is None:
                process.kill()


SHORT = "Grüße, 世界 🌹 — a < b & \"c\" > 'd'"


LETTER_BYTES = 60000


def letter(number, text="Wherefore art thou Romeo? Ünïcode — 薔薇. "):
    """A long text with an end that no other letter has. Its words are so short that a terminal breaks none."""
    end = f" fin{number}"
    return (text.encode() * LETTER_BYTES)[:LETTER_BYTES - len(end)].decode("utf-8", "ignore") + end


class Account:
    def __init__(self, site, user, host=GOOD, password=None, transport="starttls"):
        self.site, self.user, self.host, self.transport = site, user, host, transport
        self.password = password or PASSWORDS[user]
        self.jid = f"{user}@{host}"
        self.port = site.port_of(transport)


PASSWORDS = {"romeo": "But soft, what light?", "nurse": "Jule, quoth he"}
DISTRUST = {  # what clients say of the certificate
    STRANGER: r"(?i)unknown authority|local issuer|unable to verify|self.signed|first certificate|not trusted",
    MISNAMED: r"(?i)mismatch|is valid for|altname|not valid for|does not match",
}


class Friend:
    """The other one in a conversation: a slixmpp client."""

    def __init__(self, account):
        self.client = Client(f"{account.jid}/friend", account.password, account.site, account.transport)

    async def enter(self):
        assert await self.client.login(), self.client.why
        self.client.send_presence()

    async def refusal(self):
        assert not await self.client.login()
        self.client.abort()
        return " ".join(self.client.why)

    async def say(self, to, body):
        self.client.send_message(mto=to, mbody=body, mtype="chat")

    async def hear(self, sender, body):
        while True:
            got = await asyncio.wait_for(self.client.inbox.get(), LIMIT_S)
            if got["body"]:  # not a state of the chat
                assert got["from"].bare == sender and got["body"] == body, (got["from"], got["body"][-200:])
                return

    async def leave(self):
        await self.client.leave()


async def conversation(site, make, mechanism, farewell, friend, transport):
    """The client logs in, both talk, it leaves."""
    hears = {"text": make.hears} if hasattr(make, "hears") else {}
    romeo, after = Account(site, "romeo", transport=transport), site.mark()
    client = make(romeo)
    await client.enter()
    login = await site.line(" login ", "user=romeo", after=after)
    how = re.search(r"tls=yes (mechanism=\S+ binding=\S+)", login).group(1)
    assert re.fullmatch(mechanism, how), login
    session = re.search(r"jid=(\S+)", await site.line(" session-open ", f"jid={romeo.jid}/", after=after)).group(1)
    for body in (SHORT, letter(1), "short again"):
        await client.say(f"nurse@{GOOD}", body)
        await friend.hear(romeo.jid, body)
    for body in (SHORT + " too", letter(2, **hears), "an answer"):
        await friend.say(romeo.jid, body)
        await client.hear(f"nurse@{GOOD}", body)
    await client.leave()
    end = await site.line(" session-close ", f"jid={session} ", after=after)
    assert re.search(f'why="?({farewell})"?$', end), end
    peer = re.search(r"peer=\S+", login).group(0) + " "  # the one that had a wrong password may still be leaving
    assert not site.lines("stream-error", peer, after=after), site.lines("stream-error", peer, after=after)
    print(f"{transport}: talked, {how}", flush=True)


async def distrust(site, make, host, transport):
    """The client must not go on with a server of this certificate; the server takes that with one line."""
    after = site.mark()
    said = await make(Account(site, "romeo", host=host, transport=transport)).refusal()
    assert re.search(DISTRUST[host], said), said
    told = await site.line(" tls-failed ", after=after)
    assert re.search(r'reason=".*(certificate|unknown ca|closed the connection)', told), told
    assert not site.lines(" login", after=after)
    print(f"{transport}: {host} was refused by the client", flush=True)


async def wrong_password(site, make, refused, transport):
    after = site.mark()
    said = await make(Account(site, "romeo", password="wrong", transport=transport)).refusal()
    assert re.search(refused, said), said
    await site.line(" login-failed ", "user=romeo reason=not-authorized", after=after)
    assert not site.lines(" login ", after=after)
    print(f"{transport}: a wrong password was refused", flush=True)


async def scenario(site, make, mechanism, refused, farewell, names_host):
    friend = Friend(Account(site, "nurse"))
    await friend.enter()
    await site.line(" session-open ", "nurse@")  # what is looked for in the log comes behind
    for transport in ("starttls", "direct"):
        await wrong_password(site, make, refused, transport)
        await conversation(site, make, mechanism, farewell, friend, transport)
    for host in (STRANGER, MISNAMED) if names_host else ():
        for transport in ("starttls", "direct"):
            await distrust(site, make, host, transport)
    await friend.client["xep_0199"].ping(GOOD, timeout=LIMIT_S)  # the server serves on
    await friend.leave()


async def distrust_alone(site, make, host):
    for transport in ("starttls", "direct"):
        await distrust(site, make, host, transport)


def run(site, coroutine):
    with site:
        for host in site.hosts:
            for user, password in PASSWORDS.items():
                site.add(f"{user}@{host}", password)
        try:
            asyncio.get_event_loop().run_until_complete(asyncio.wait_for(coroutine, 10 * LIMIT_S))
        finally:
            Program.kill_all()
    site.check_log()


def test(make, mechanism=r"mechanism=SCRAM-\S+ binding=\S+", refused="not-authorized", farewell="closed", names_host=True):
    """Runs everything. `make(account)` gives a client with enter(), say(to, body), hear(sender, body) and leave(), or refusal(), which
    tries to log in and returns what the client says when that fails; `make.hears`, if any, is what long letters to it are made of. `mechanism`: expression for how it may log in, of the server's log;
    `refused`: for what it says of a wrong password; `farewell`: for how its sessions end; `names_host`: if it sends server_name in its
    TLS hello (RFC 6066 3)."""
    site = Site()
    run(site, scenario(site, make, mechanism, refused, farewell, names_host))
    for host in () if names_host else (STRANGER, MISNAMED):
        alone = Site(only=host)
        run(alone, distrust_alone(alone, make, host))
