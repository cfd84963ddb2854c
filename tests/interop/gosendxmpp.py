"""go-sendxmpp against certificates, passwords and long messages: one process listens, one sends each message."""
import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import real  # noqa: E402


class GoSendxmpp:
    def __init__(self, account):
        self.home = tempfile.mkdtemp(prefix="go-", dir=os.environ.get("STAVE_TMP"))
        self.account, self.direct = account, ["--tls"] if account.transport == "direct" else []
        self.config = os.path.join(self.home, "config")
        with open(self.config, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(f"username: {account.jid}\njserver: 127.0.0.1\nport: {account.port}\npassword: {account.password}\n")
        self.listener = self.program("--listen")

    def program(self, *words):
        return real.Program("go-sendxmpp", "go-sendxmpp", "--file", self.config, *self.direct, *words, env={
            "SSL_CERT_FILE": self.account.site.ca, "SSL_CERT_DIR": self.home,  # nobody is trusted but our authority
            "HOME": self.home, "XDG_CONFIG_HOME": self.home, "XDG_DATA_HOME": self.home})

    async def enter(self):
        after = self.account.site.mark()
        await self.listener.start()
        await self.account.site.line(" session-open ", f"jid={self.account.jid}/", after=after)  # it says nothing when it is in

    async def refusal(self):
        await self.listener.start()
        assert await self.listener.ends() != 0, self.listener.printed
        return self.listener.printed

    async def say(self, to, body):
        sender = await self.program(to).start()
        await sender.tell(body, last=True)
        assert await sender.ends() == 0, sender.printed

    async def hear(self, sender, body):
        await self.listener.prints(f" {sender}: {body}\n")

    async def leave(self):
        self.listener.process.send_signal(signal.SIGINT)
        await self.listener.ends()


if __name__ == "__main__":
    # from 0.6 on it knows SCRAM, from 0.7 on channel bindings; from 0.9 on it closes its stream
    knows = subprocess.run(["go-sendxmpp", "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    real.test(GoSendxmpp, farewell="closed( by peer)?", mechanism=r"mechanism=SCRAM-SHA-\d+-PLUS binding=tls-\S+"
              if "--scram-mech-pinning" in knows else "mechanism=PLAIN binding=none")
