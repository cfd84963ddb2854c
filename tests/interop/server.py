"""A Stave of its own for a test: a free port, a folder, accounts; ended by pid."""
import os
import signal
import socket
import subprocess
import tempfile
import time


HELD = []  # sockets that keep the ports that were given out from other programs


def free_ports(count):
    """Ports that only servers may take, which say SO_REUSEADDR as the sockets that hold them do."""
    sockets = [socket.socket() for _ in range(count)]
    HELD.extend(sockets)
    for s in sockets:
        s.bind(("127.0.0.1", 0))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return [s.getsockname()[1] for s in sockets]


USUAL = ("roster", "presence", "message", "offline", "archive", "carbons", "csi", "blocking", "disco", "caps", "sm", "ping")


class Server:
    def __init__(self, config="", hosts=("localhost",), settings=None, interfaces=("127.0.0.1",), modules=()):
        """`settings`: lines of the configuration that stand behind a VirtualHost, by its name. 127.0.0.1 is among `interfaces`.
        `modules`: enabled besides the usual ones."""
        self.hosts = hosts
        self.build = os.environ.get("STAVE_BUILD", "build/release")
        self.stave = os.path.join(self.build, "stave")
        self.dir = tempfile.mkdtemp(prefix="stave-", dir=os.environ.get("STAVE_TMP"))
        self.port, self.direct_port = free_ports(2)
        self.ca = self.path("cert.pem")  # what clients trust
        self.config = os.path.join(self.dir, "stave.cfg.lua")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", self.path("key.pem"),
                        "-out", self.path("cert.pem")], check=True, capture_output=True)
        with open(self.config, "w") as f:
            f.write(f'data_path = "{self.dir}/data"\nuser = "root"\n'  # it matters only if root starts the server
                    'modules_enabled = { ' + ", ".join(f'"{module}"' for module in dict.fromkeys((*USUAL, *modules))) + ' }\n'
                    f'c2s_interfaces = {{ {", ".join(chr(34) + address + chr(34) for address in interfaces)} }}\n'
                    f'c2s_ports = {{ {self.port} }}\nc2s_direct_tls_ports = {{ {self.direct_port} }}\n'
                    f'certificate = "{self.dir}/cert.pem"\nkey = "{self.dir}/key.pem"\n' + config + "\n" +
                    "".join(f'VirtualHost "{h}"\n{(settings or {}).get(h, "")}\n' for h in hosts))
        self.log = open(self.path("log"), "w+")
        self.process = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def port_of(self, transport):
        return {"starttls": self.port, "direct": self.direct_port}[transport]

    def command(self, *args, stdin=None, check=True):
        return subprocess.run([self.stave, *args, "--config", self.config], input=stdin, text=True, capture_output=True, check=check)

    def start(self):
        self.process = subprocess.Popen([self.stave, "serve", "--config", self.config], stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("the server ended: " + self.read_log())
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if self.command("status", check=False).returncode == 0:
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("the server does not start: " + self.read_log())

    def add(self, jid, password):
        done = self.command("user", "add", jid, stdin=password + "\n", check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)

    def read_log(self):
        with open(self.path("log")) as f:
            return f.read()

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("the server did not end: " + self.read_log())
        finally:
            self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if exc[0]:
            print(self.read_log())
        self.stop()
