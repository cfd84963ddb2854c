"""Prosody, ejabberd and Stave, each started for a test on a free loopback port with its own folder, ended by pid.

A server has name, version, port, start(accounts), stop() and read_log(); accounts are (user, domain, password)."""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import flow_scripts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STANZA_BYTES = 262144  # what all servers accept after login, as Stave's default
START_S = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def system():
    """The name of this system, as it calls itself."""
    with open("/etc/os-release", encoding="utf-8") as lines:
        names = dict(line.rstrip("\n").split("=", 1) for line in lines if "=" in line)
    return f"{names.get('NAME', 'Linux').strip(chr(34)).split('/')[0].split(' ')[0]} {names.get('VERSION_ID', '').strip(chr(34))}".strip()


def package_version(package):
    """Upstream's version: 0.12.3-1+deb12u1 is 0.12.3."""
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], text=True, capture_output=True, check=True).stdout
    return re.sub(r"^\d+:|[-+~].*$", "", out)


class Peer:
    """A server that runs in the foreground as its package's user (those packages refuse to run as root)."""
    user = None
    settles_s = 0.0

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix=f"flow-{self.name}-")
        self.port = free_port()
        self.process = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                        self.path("key.pem"), "-out", self.path("cert.pem")], check=True, capture_output=True)

    def identity(self):
        """Arguments of Popen for the user to run as: ours, if we are nobody special already."""
        if os.geteuid() != 0 or not self.user:
            return {}
        entry = pwd.getpwnam(self.user)
        for folder, _, names in os.walk(self.dir):
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            for name in names:
                os.chown(os.path.join(folder, name), entry.pw_uid, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def launch(self, command, **env):
        log = open(self.path("output"), "w", encoding="utf-8")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.dir,
                                        env=dict(os.environ, HOME=self.dir, **env), start_new_session=True, **self.identity())
        log.close()

    def wait_port(self, port):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not start:\n{self.read_log()}")

    def read_log(self):
        text = ""
        for name in ("output", "log"):
            if os.path.exists(self.path(name)):
                with open(self.path(name), encoding="utf-8", errors="replace") as f:
                    text += f.read()
        return text[-4000:]

    def stop(self):
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGTERM)
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            except ProcessLookupError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)


class Prosody(Peer):
    name, user = "prosody", "prosody"

    def __init__(self):
        super().__init__()
        self.version = package_version("prosody")

    def start(self, accounts):
        self.make_certificate()
        for user, domain, password in accounts:
            host = re.sub(r"[^A-Za-z0-9]", lambda m: "%%%02x" % ord(m.group()), domain)
            node = re.sub(r"[^A-Za-z0-9]", lambda m: "%%%02x" % ord(m.group()), user)
            self.write(f"data/{host}/accounts/{node}.dat", f'return {{ ["password"] = "{password}"; }};\n')
        os.makedirs(self.path("data"), exist_ok=True)
        self.write("prosody.cfg.lua", f'''
pidfile = "{self.dir}/pid"
data_path = "{self.dir}/data"
log = {{ info = "{self.dir}/log" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{}}
modules_enabled = {{ "roster", "blocklist", "saslauth", "tls", "disco", "ping", "version", "time", "lastactivity", "uptime", "private", "smacks", "carbons", "csi_simple", "mam" }}
modules_disabled = {{ "s2s" }}
authentication = "internal_plain"
storage = "internal"
default_archive_policy = true
c2s_require_encryption = true
c2s_stanza_size_limit = {STANZA_BYTES}
VirtualHost "localhost"
    ssl = {{ key = "{self.dir}/key.pem"; certificate = "{self.dir}/cert.pem"; }}
''')
        self.launch(["prosody", "-F", "--config", self.path("prosody.cfg.lua")])
        self.wait_port(self.port)


class Ejabberd(Peer):
    """Run as an Erlang node without a name, so that no port mapper is needed; accounts are made over its HTTP API."""
    name, user = "ejabberd", "ejabberd"

    def __init__(self):
        super().__init__()
        self.version = package_version("ejabberd")
        self.http_port = free_port()

    def start(self, accounts):
        self.make_certificate()
        with open(self.path("cert.pem"), encoding="ascii") as cert, open(self.path("key.pem"), encoding="ascii") as key:
            self.write("both.pem", cert.read() + key.read())
        self.write("ejabberd.yml", f'''
hosts: [localhost]
loglevel: warning
certfiles: ["{self.dir}/both.pem"]
ca_file: "{self.dir}/cert.pem"
auth_method: mnesia
auth_password_format: plain
listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls_required: true
    max_stanza_size: {STANZA_BYTES}
  - port: {self.http_port}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers:
      /api: mod_http_api
api_permissions:
  "accounts":
    who: [{{ip: "127.0.0.1/8"}}]
    what: [register]
s2s_access: none
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_mam:
    default: always
    request_activates_archiving: false
  mod_private: {{}}
  mod_time: {{}}
  mod_version: {{}}
  mod_http_api: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
''')
        os.makedirs(self.path("mnesia"), exist_ok=True)
        libs = os.path.dirname(subprocess.run("dpkg -L ejabberd | grep 'ejabberd-[^/]*/ebin$'", shell=True, text=True,
                                              capture_output=True, check=True).stdout.strip())
        self.launch(["erl", "-noinput", "+P", "250000", "-mnesia", "dir", f'"{self.dir}/mnesia"', "-s", "ejabberd"],
                    ERL_LIBS=os.path.dirname(libs), EJABBERD_CONFIG_PATH=self.path("ejabberd.yml"),
                    EJABBERD_LOG_PATH=self.path("log"), ERL_CRASH_DUMP=self.path("crash"))
        self.wait_port(self.port)
        self.wait_port(self.http_port)
        for user, domain, password in accounts:
            self.register(user, domain, password)

    def register(self, user, domain, password):
        body = json.dumps({"user": user, "host": domain, "password": password}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}/api/register", body,
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


class Stave:
    """The server of this tree, by way of the interop tests' helper."""
    name = "stave"

    def __init__(self, build, config="", interfaces=("127.0.0.1",)):
        os.environ["STAVE_BUILD"] = build
        sys.path.insert(0, os.path.join(ROOT, "tests", "interop"))
        import server
        self.server = server.Server(config, hosts=("localhost", "other.localhost"), interfaces=interfaces, modules=flow_scripts.modules())
        self.port, self.version = self.server.port, ""

    def start(self, accounts):
        self.server.start()
        for user, domain, password in accounts:
            self.server.add(f"{user}@{domain}", password)

    def read_log(self):
        return self.server.read_log()[-4000:]

    def log_size(self):
        return os.path.getsize(self.server.path("log"))

    def log_since(self, size):
        """What was logged since it had this size, its last lines."""
        with open(self.server.path("log"), "rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace")[-3000:]

    def stop(self):
        self.server.stop()
        shutil.rmtree(self.server.dir, ignore_errors=True)

    def end(self):
        """Stops it; what went wrong, or nothing."""
        process = self.server.process
        ended = process.poll() is not None
        try:
            self.server.stop()
            log = self.read_log()
        except RuntimeError as problem:
            return str(problem)
        finally:
            shutil.rmtree(self.server.dir, ignore_errors=True)
        if not ended and process.returncode == 0 and "balanced=yes" not in log:
            return f"the ledger does not balance at the end:\n{log}"
        if ended or process.returncode != 0:
            return f"the server ended {'by itself' if ended else ''} with status {process.returncode}:\n{log}"
        return ""
