"""What the flow scripts say of themselves: for the tools that run them (the language is described in doc/flow.md)."""
import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("tests/flow", "modules/*", "lua/*", "examples/lua/*", "examples/c/*")
CLIENT = re.compile(r"client +\S+ +(?:raw +)?([^@\s]+)@([^/\s]+)(?:/\S*)?(?: +(\S+))?$")


class Script:
    def __init__(self, path):
        self.path = path
        folder, file = os.path.split(os.path.relpath(path, ROOT))
        name = file[:-len(".flow")]
        self.name = name if folder == os.path.join("tests", "flow") else f"{os.path.basename(folder)}/{name}"
        self.covers, self.stage_only, self.live_only, self.accounts, self.modules = [], None, None, [], []
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                self.read(line.rstrip("\n"))

    def read(self, line):
        if line.startswith("# covers:"):
            self.covers = [part.strip() for part in line[len("# covers:"):].split(",")]
        elif line.startswith("# stage-only:"):
            self.stage_only = line[len("# stage-only:"):].strip()
        elif line.startswith("# live-only:"):
            self.live_only = line[len("# live-only:"):].strip()
        elif line.startswith("modules "):
            self.modules += line.split()[1:]
        elif line.startswith("config "):
            self.stage_only = self.stage_only or "needs a config of its own"
        elif line.startswith(("operator ", "server ", "log ")):
            self.stage_only = self.stage_only or "needs an operator"
        match = CLIENT.match(line)
        if match:
            user, domain, password = match.groups()
            if not any((user, domain) == known[:2] for known in self.accounts):
                self.accounts.append((user, domain, password or "secret"))

    def accounts_with(self, suffix):
        """The accounts as the runner makes them when it is given this suffix."""
        return [(user + suffix, domain, password) for user, domain, password in self.accounts]


def all_scripts():
    """Every script of the tree, by name."""
    paths = [path for folder in FOLDERS for path in glob.glob(os.path.join(ROOT, folder, "*.flow"))]
    return sorted((Script(path) for path in paths), key=lambda script: script.name)


def live_scripts():
    """Those that can be held against a live server."""
    return [script for script in all_scripts() if not script.stage_only]


def modules():
    """What the live scripts need besides the usual modules."""
    return sorted({module for script in live_scripts() for module in script.modules})
