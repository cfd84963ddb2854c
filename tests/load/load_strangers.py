"""Ten thousand connections that never log in: what each costs the server, in what it counts itself and in resident memory. Used by the
suite `load` (every build) and by tests/bench/run (the holds of architecture 11)."""
import resource
import select
import socket
import ssl
import struct
import time

COUNT, TLS_COUNT, STALLED = 10000, 1000, 200
LIMIT_S = 120
HEADER = (b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          b"xmlns:stream='http://etherx.jabber.org/streams'>")
STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
# as much as an element may hold before login, and no end
UNFINISHED = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + b"A" * 4700
# as many levels, names and namespaces as fit
NESTED = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + b"".join(
    b"<p%d:e%d xmlns:p%d='urn:n%d' p%d:a%d='v' b%d='w'>" % ((n,) * 7) for n in range(8)) + b"".join(
    b"<p0:f%d g%d='1'/>" % (n, n) for n in range(11))
# a large header, a large tag, a large text
ALL = HEADER[:-1] + b"".join(b" xmlns:p%d='%s'" % (n, b"u" * 75) for n in range(6)) + b">"
ALL += b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" + b"A" * 900 + b"'>" + b"B" * 3700
CONFIG = f"c2s_strangers = {2 * COUNT}\nc2s_login_timeout = \"10m\"\nc2s_step_timeout = \"10m\"\n"


def raise_limit():
    """Two sockets' worth of descriptors here; the server raises its own limit, up to the same hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = COUNT + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    elif soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Strangers:
    """Connections to one port that all do the same thing at the same time."""

    def __init__(self, port):
        self.port, self.sockets = port, []

    def open(self, count):
        """That many more; each is accepted (a queue of the kernel's would not do)."""
        for _ in range(count):
            self.sockets.append(socket.create_connection(("127.0.0.1", self.port), LIMIT_S))

    def say(self, text, socks=None):
        for sock in socks or self.sockets:
            sock.sendall(text)

    def hear(self, end, socks=None):
        """Waits until each has been told something that ends so; nobody may be closed."""
        waiting = {sock.fileno(): (sock, b"") for sock in socks or self.sockets}
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + LIMIT_S
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} were told nothing that ends with {end}"
            for fd, _ in poll.poll(1000):
                sock, text = waiting[fd]
                got = sock.recv(65536)
                assert got, f"closed after {text}"
                waiting[fd] = (sock, text + got)
                if (text + got).endswith(end):
                    del waiting[fd]
                    poll.unregister(fd)

    def close(self):
        """By a reset: closed in order, each would keep its port from the next crowd for a minute."""
        for sock in self.sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.sockets = []

    def is_unread(self):
        """True while the kernel holds bytes for the server that it has not read."""
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        port = f":{self.port:04X}"
        to_read = any(row[1].endswith(port) and not row[4].endswith(":00000000") for row in rows if row[3] == "01")
        return to_read or any(row[2].endswith(port) and not row[4].startswith("00000000:") for row in rows)


def unchecked():
    """The certificate is the test's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def begin_tls(strangers, finish):
    """STARTTLS on each; without `finish` the client's hello is its last word."""
    context = unchecked()
    strangers.say(HEADER + STARTTLS)
    strangers.hear(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    for i, sock in enumerate(strangers.sockets):
        sock.setblocking(finish)
        strangers.sockets[i] = context.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=finish)
        if finish:
            continue
        try:
            strangers.sockets[i].do_handshake()
        except ssl.SSLWantReadError:
            pass


def resident(case, server_memory, port):
    """Resident memory that a stranger takes, in the unit of server_memory(). The server is fresh: what one crowd leaves, another fills."""
    def costs(count, act):
        crowd = Strangers(port)
        before = server_memory()
        crowd.open(count)
        act(crowd)
        while crowd.is_unread():
            time.sleep(0.05)
        time.sleep(1)  # until it is at rest
        each = (server_memory() - before) / count
        crowd.close()
        return each

    def saying(text):
        def act(crowd):
            crowd.say(text)
            crowd.hear(b"</stream:features>")
        return act

    def in_tls(crowd):
        begin_tls(crowd, True)
        saying(ALL)(crowd)
    raise_limit()
    cases = {"text": (COUNT, saying(HEADER + UNFINISHED)), "names": (COUNT, saying(HEADER + NESTED)), "all": (COUNT, saying(ALL)),
             "handshake": (STALLED, lambda crowd: begin_tls(crowd, False)), "tls": (TLS_COUNT, in_tls)}
    return costs(*cases[case])
