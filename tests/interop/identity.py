"""slixmpp logs in without a password: by its certificate (EXTERNAL), and as nobody (ANONYMOUS), and finds what it may do then."""
import asyncio
import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from chat import Client  # noqa: E402
from server import Server  # noqa: E402


def openssl(server, *words):
    subprocess.run(["openssl", *words], cwd=server.dir, check=True, capture_output=True)


def make_certificates(server):
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(server, "req", "-x509", *ec, "-days", "2", "-subj", "/CN=Ours", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign")
    with open(server.path("ext"), "w") as f:
        f.write("subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@localhost\n")
    openssl(server, "req", *ec, "-subj", "/CN=romeo", "-keyout", "romeo.key", "-out", "romeo.csr")
    openssl(server, "x509", "-req", "-in", "romeo.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "ext", "-out", "romeo.pem")


class Bearer(Client):
    """Has a certificate and no password that fits."""

    def __init__(self, jid, server):
        super().__init__(jid, "not the password", server)
        self.certfile, self.keyfile = server.path("romeo.pem"), server.path("romeo.key")
        self["feature_mechanisms"].use_mech = "EXTERNAL"


class Guest(Client):
    def __init__(self, server):
        super().__init__("localhost", "", server)
        self["feature_mechanisms"].use_mech = "ANONYMOUS"


async def play(server):
    romeo = Bearer("romeo@localhost", server)
    assert await romeo.login(), "romeo's certificate was not taken"
    assert romeo.boundjid.bare == "romeo@localhost", romeo.boundjid
    romeo.send_presence()
    juliet = Bearer("juliet@localhost", server)
    assert await juliet.login() and juliet.boundjid.bare == "romeo@localhost", "romeo's certificate was taken for juliet"
    await juliet.leave()
    guest = Guest(server)
    assert await guest.login(), "a guest was refused"
    assert re.fullmatch("[0-9a-f-]{36}", guest.boundjid.user), guest.boundjid
    assert not (await guest.get_roster())["roster"]["items"]
    info = await guest["xep_0030"].get_info(jid=guest.boundjid.bare)
    assert ("account", "anonymous", None, None) in info["disco_info"]["identities"], info
    guest.send_message(mto="romeo@localhost", mbody="psst", mtype="chat")
    heard = await asyncio.wait_for(romeo.inbox.get(), 20)
    assert heard["body"] == "psst" and heard["from"] == guest.boundjid, heard
    await guest.leave()
    await romeo.leave()


def main():
    server = Server('c2s_client_ca = "ca.pem"\nauthentication = "both"')
    make_certificates(server)
    with server:
        server.add("romeo@localhost", "wherefore")
        server.add("juliet@localhost", "art thou")
        asyncio.get_event_loop().run_until_complete(asyncio.wait_for(play(server), 120))


if __name__ == "__main__":
    main()
