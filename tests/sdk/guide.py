#!/usr/bin/env python3
"""Runs a page of the author guide: what it shows is written and typed, verbatim, with only the installed SDK.

    guide.py [--show] --home HOME [--setup PAGE] PAGE      one page, in an empty folder that becomes the current one
    guide.py --console --home HOME ... PAGE                of another page, its console blocks alone
    guide.py --checkout PAGE --home HOME                   the page's commands for a checkout of Stave, here

Every fenced block has a kind, which its first line says; a block of no known kind is an error, so that nothing in a page
stays unrun:

    ```c file=greet/greet.c         is written to that file
    ```diff file=greet/greet.c      changes it: lines without + are there, once, and those without - come in their place;
                                    a line `...` parts changes
    ```c excerpt=greet/greet.c      stands in that file, there or at the end of the page, but for its indentation
    ```console                      lines with `$ ` are typed, those with `> ` go on with the command, others are what it says
    ```console NAME                 the same in a terminal of its own; the last command goes on when what it shall say
                                    has been said. A line `^C` in the next block ends it
    ```console setup                typed first in each terminal of each page of the guide (--setup)
    ```console checkout             typed by --checkout
    ```console root                 `apt-get install PACKAGE...`: these are installed

A folder with a flow script (`hat/hat.flow`) is a module, and has a `stave test hat` behind it.

In what a command says, a line `...` stands for any lines, `...` in a line for any text. The last line `exit status N` is
the command's, which is 0 otherwise.
"""
import argparse
import os
import re
import select
import signal
import subprocess
import sys
import time

LIMIT_S = 120  # for one command
FENCE = re.compile(r"^```(.*)$")
SPECIAL = ("setup", "checkout", "root")


class Wrong(Exception):
    """Something that the page says is not so; the text tells where."""


class Block:
    """A fenced block: where it begins, its language, its kind, the kind's value, and its lines."""

    def __init__(self, page, line, info, lines):
        self.where, self.lines = f"{page}:{line}", lines
        words = info.split()
        self.language = words[0] if words else ""
        self.kind, self.value = self.kind_of(words)

    def kind_of(self, words):
        if self.language == "console" and len(words) <= 2:
            name = words[1] if len(words) == 2 else "main"
            return (name, "") if name in SPECIAL else ("console", name)
        match = re.fullmatch(r"(file|excerpt)=(\S+)", words[1]) if len(words) == 2 else None
        if not match or match.group(2).startswith(("/", "../")):
            raise Wrong(f"{self.where}: a block ```{' '.join(words)} is of no known kind (tests/sdk/guide.py lists them)")
        kind = "change" if (self.language, match.group(1)) == ("diff", "file") else match.group(1)
        return kind, match.group(2)

    def text(self):
        return "".join(line + "\n" for line in self.lines)


class Command:
    """What is typed, and what it shall say."""

    def __init__(self, where, text):
        self.where, self.text, self.expected, self.status = where, text, [], 0

    def close(self):
        match = re.fullmatch(r"exit status (\d+)", self.expected[-1]) if self.expected else None
        if match:
            self.status = int(match.group(1))
            self.expected.pop()


def blocks_of(page, console_only=False):
    """All blocks of a page, in order, or those for a console alone."""
    found, begun, lines, before = [], None, [], ""
    with open(page, encoding="utf-8") as text:
        for number, line in enumerate(text.read().split("\n"), 1):
            fence = FENCE.match(line)
            if begun:
                if line == "```":
                    if not console_only or begun[1].split()[:1] == ["console"]:
                        found.append(Block(page, *begun, lines))
                    begun, lines = None, []
                else:
                    lines.append(line)
            elif fence:
                begun = (number, fence.group(1))
            elif console_only:
                pass
            elif re.match(r"(    |\t)", line) and not before.strip():
                raise Wrong(f"{page}:{number}: an indented block is never run: put it between fences")
            elif re.match(r" +(```|~~~)|~~~", line):
                raise Wrong(f"{page}:{number}: a fence is ``` at the beginning of the line")
            before = line
    if begun:
        raise Wrong(f"{page}:{begun[0]}: the block does not end")
    return found


def commands_of(block):
    """The commands of a console block; `^C` is one without a text."""
    found, first = [], int(block.where.rsplit(":", 1)[1])
    for number, line in enumerate(block.lines, first + 1):
        where = f"{block.where.rsplit(':', 1)[0]}:{number}"
        if line.startswith("$ "):
            found.append(Command(where, line[2:] + "\n"))
        elif line == "^C":
            found.append(Command(where, ""))
        elif not found:
            raise Wrong(f"{where}: what a command says stands behind the command")
        elif line.startswith("> ") and not found[-1].expected:
            found[-1].text += line[2:] + "\n"
        else:
            found[-1].expected.append(line)
    for command in found:
        command.close()
    return found


def pattern_of(expected, whole):
    """A regular expression for lines as a page shows them."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append("[^\n]*?".join(re.escape(piece) for piece in line.rstrip().split("...")) + "\n")
    return re.compile("".join(parts) + (r"\Z" if whole else ""))


def tidy(said):
    """Without blanks at the ends of lines; ends with a line feed, if there is anything."""
    text = "".join(line.rstrip() + "\n" for line in said.split("\n")).rstrip("\n")
    return text + "\n" if text else ""


def shown(text):
    return "".join(f"    | {line}\n" for line in text.splitlines()) or "    | (nothing)\n"


class Terminal:
    """A shell that lives as long as the page."""

    MARK = "\x01said\x01"

    def __init__(self, home, show, env):
        # pylint: disable-next=consider-using-with
        self.shell = subprocess.Popen(["/bin/bash", "--norc", "--noprofile"], env=dict(env, HOME=home), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.file = os.path.join(home, f".typed.{self.shell.pid}")
        self.show, self.said, self.running = show, "", None

    def type(self, command):
        if self.running:
            raise Wrong(f"{command.where}: this terminal is still busy with {self.running.text}")
        with open(self.file, "w", encoding="utf-8") as typed:
            typed.write(command.text)
        self.said, self.running = "", command
        self.shell.stdin.write(f". {self.file} </dev/null; printf '{self.MARK}%s{self.MARK}' $?\n".encode())
        self.shell.stdin.flush()

    def read_until(self, done, what):
        """Reads until `done` says so of what was said; it may say it never comes by raising."""
        until = time.monotonic() + LIMIT_S
        while not done():
            ready = select.select([self.shell.stdout], [], [], max(until - time.monotonic(), 0))[0]
            got = os.read(self.shell.stdout.fileno(), 65536) if ready else b""
            if not got:
                raise Wrong(f"{self.running.where}: {what}; after {LIMIT_S} s, or at the end of the shell, it has said\n"
                            + shown(self.said))
            self.said += got.decode("utf-8", "replace")

    def ended(self):
        return self.said.count(self.MARK) == 2

    def finish(self):
        """Waits for the end of what runs, and compares."""
        command = self.running
        self.read_until(self.ended, f"`{command.text.strip()}` does not end")
        said, status = self.said.split(self.MARK)[:2]
        said, self.running = tidy(said), None
        if self.show:
            print(f"$ {command.text}{said}" + (f"exit status {status}\n" if status != "0" else ""), end="", flush=True)
        if int(status) != command.status or not pattern_of(command.expected, True).match(said):
            raise Wrong(f"{command.where}: `{command.text.strip()}` ended with status {status} and said\n{shown(said)}"
                        f"  but the page shows status {command.status} and\n" + shown("\n".join(command.expected)))

    def leave_running(self):
        """Waits until it has said what it shall; it goes on then."""
        command, pattern = self.running, pattern_of(self.running.expected, False)
        if not command.expected:
            raise Wrong(f"{command.where}: what goes on must say something that shows that it is ready")

        def done():
            if self.ended():
                raise Wrong(f"{command.where}: `{command.text.strip()}` shall go on, but ended; it said\n{shown(self.said)}")
            return pattern.match(tidy(self.said))
        self.read_until(done, "it does not say what the page shows")
        if self.show:
            print(f"$ {command.text}{tidy(self.said)}(goes on)", flush=True)

    def interrupt(self, command):
        """^C: what was running ends with the status that the page shows there, and says so much more."""
        if not self.running:
            raise Wrong(f"{command.where}: ^C, but nothing runs in this terminal")
        while select.select([self.shell.stdout], [], [], 0)[0] and not self.ended():
            self.said += os.read(self.shell.stdout.fileno(), 65536).decode("utf-8", "replace")
        if self.ended():
            raise Wrong(f"{command.where}: what ran in this terminal has ended by itself; it said\n{shown(self.said)}")
        self.said = ""
        self.running.expected, self.running.status, self.running.where = command.expected, command.status, command.where
        os.killpg(self.shell.pid, signal.SIGINT)
        self.finish()

    def close(self):
        """Ends the shell and what still runs in it, a server with SIGTERM before SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.shell.pid, number)
                if number == signal.SIGTERM and self.running:
                    self.shell.wait(timeout=10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.shell.wait()


class Page:
    """A page that is being run in the current folder."""

    def __init__(self, home, setup, show):
        self.home, self.setup, self.show = home, setup, show
        self.terminals, self.later = {}, []
        self.modules = {}  # with a flow script that is still to be run: where it stands

    def terminal(self, name):
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.home, False, {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
            for command in self.setup:
                self.terminals[name].type(command)
                self.terminals[name].finish()
            self.terminals[name].show = self.show
        return self.terminals[name]

    def run(self, block):
        getattr(self, "do_" + block.kind)(block)

    def do_file(self, block):
        os.makedirs(os.path.dirname(block.value) or ".", exist_ok=True)
        with open(block.value, "w", encoding="utf-8") as out:
            out.write(block.text())
        if block.value.endswith(".flow"):
            self.modules[block.value.split("/")[0]] = block.where

    def do_change(self, block):
        for change in "\n".join(block.lines).split("\n...\n"):
            lines = change.split("\n")
            if not all(line == "" or line[0] in " +-" for line in lines):
                raise Wrong(f"{block.where}: lines of a change begin with a blank, + or -")
            old = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
            new = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
            text = "\n" + read(block.value, block.where)
            times = len(re.findall("(?=" + re.escape("\n" + old) + ")", text))
            if times != 1:
                raise Wrong(f"{block.where}: these lines are in {block.value} {times} times\n{shown(old)}  which is\n{shown(text[1:])}")
            with open(block.value, "w", encoding="utf-8") as out:
                out.write(text.replace("\n" + old, "\n" + new)[1:])

    def do_excerpt(self, block):
        if not os.path.exists(block.value) or not stands_in(block.lines, read(block.value, block.where)):
            self.later.append(block)

    def do_console(self, block):
        terminal, commands = self.terminal(block.value), commands_of(block)
        for i, command in enumerate(commands):
            if not command.text:
                terminal.interrupt(command)
                continue
            terminal.type(command)
            if command.text.startswith("stave test "):
                self.modules.pop(command.text.split()[2], None)
            if block.value != "main" and i == len(commands) - 1:
                terminal.leave_running()
            else:
                terminal.finish()

    def do_root(self, block):
        for command in commands_of(block):
            match = re.fullmatch(r"apt-get install ((?:[a-z0-9.+-]+ ?)+)\n", command.text)
            if not match:
                raise Wrong(f"{command.where}: root is shown to do nothing but `apt-get install PACKAGE...`")
            for package in match.group(1).split():
                told = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, check=False)
                if told.stdout != "install ok installed":
                    raise Wrong(f"{command.where}: {package} is not installed here, so nothing shows that the guide is right")

    def do_setup(self, block):
        pass  # typed by `terminal`

    def do_checkout(self, block):
        pass  # typed before, where there is a checkout

    def end(self):
        for name, where in self.modules.items():
            raise Wrong(f"{where}: the module {name} is shown, but no `stave test {name}` stands behind it")
        for block in self.later:
            if not stands_in(block.lines, read(block.value, block.where)):
                raise Wrong(f"{block.where}: these lines are not in {block.value}\n{shown(block.text())}")


def read(path, where):
    try:
        with open(path, encoding="utf-8") as text:
            return text.read()
    except OSError as error:
        raise Wrong(f"{where}: {error}") from error


def stands_in(lines, text):
    """True if the lines stand in the text, all with the same indentation more or less. `...` parts pieces, in order."""
    at, have = 0, [line.rstrip() for line in text.split("\n")]
    for piece in "\n".join(lines).split("\n...\n"):
        want = piece.split("\n")
        for start in range(at, len(have) - len(want) + 1):
            if unindented(have[start:start + len(want)]) == unindented(want):
                at = start + len(want)
                break
        else:
            return False
    return True


def unindented(lines):
    depth = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[depth:].rstrip() for line in lines]


def setup_of(page):
    """The commands that each terminal begins with."""
    blocks = [block for block in blocks_of(page) if block.kind == "setup"]
    if not blocks:
        raise Wrong(f"{page}: has no block ```console setup")
    return [command for block in blocks for command in commands_of(block)]


def run_page(args):
    blocks = blocks_of(args.page, args.console)
    if not blocks:
        print(f"{args.page}: has no blocks")
        return
    page = Page(args.home, setup_of(args.setup) if args.setup else [], args.show)
    try:
        for block in blocks:
            page.run(block)
        page.end()
    finally:
        for terminal in page.terminals.values():
            terminal.close()


def run_checkout(args):
    cache = os.environ.get("CCACHE_DIR", os.path.expanduser("~/.cache/ccache"))
    terminal = Terminal(args.home, args.show, dict(os.environ, CCACHE_DIR=cache))
    commands = [command for block in blocks_of(args.checkout) if block.kind == "checkout" for command in commands_of(block)]
    if not commands:
        raise Wrong(f"{args.checkout}: has no block ```console checkout")
    try:
        for command in commands:
            terminal.type(command)
            terminal.finish()
    finally:
        terminal.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", action="store_true", help="print commands and what they say")
    parser.add_argument("--console", action="store_true", help="nothing but console blocks counts: no page of the guide")
    parser.add_argument("--home", required=True, help="the author's home folder")
    parser.add_argument("--setup", help="the page whose setup is typed first")
    parser.add_argument("--checkout", help="the page whose commands for a checkout are typed")
    parser.add_argument("page", nargs="?")
    args = parser.parse_args()
    try:
        if args.checkout:
            run_checkout(args)
        else:
            run_page(args)
    except Wrong as wrong:
        print(wrong)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
