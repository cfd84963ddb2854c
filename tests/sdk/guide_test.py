#!/usr/bin/env python3
"""The runner of the guide on small pages: what is right passes, and each kind of wrong is told, with its line."""
import os
import subprocess
import sys
import tempfile

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guide.py")
FENCE = "```"

# name, the page (~~~ stands for a fence), what the runner must say ("" is: nothing, the page is good)
OTHERS = [
    ("others-good", "Say:\n\n    make\n\n~~~c\nint a;\n~~~\n~~~console\n$ echo one\none\n~~~\n", ""),
    ("others-wrong", "    make\n~~~console\n$ echo one\ntwo\n~~~\n", "page.md:3: `echo one` ended with status 0"),
]
PAGES = [
    ("good", """~~~c file=a/a.c
int a;
int b;
~~~
~~~diff file=a/a.c
 int a;
-int b;
+long b;
~~~
~~~c excerpt=a/a.c
    long b;
~~~
~~~console
$ cat a/a.c
int a;
...
$ cd a && x=1
$ pwd; echo $x
.../a
1
$ cat <<'END'
> two
> lines
> END
two
lines
$ ls nowhere
ls: ... No such file or directory
exit status 2
~~~
""", ""),
    ("unknown-kind", "~~~c\nint a;\n~~~\n", "page.md:1: a block ```c is of no known kind"),
    ("unknown-word", "~~~console one two\n$ true\n~~~\n", "page.md:1: a block ```console one two is of no known kind"),
    ("outside", "~~~c file=../a.c\nint a;\n~~~\n", "page.md:1: a block ```c file=../a.c is of no known kind"),
    ("indented", "Say:\n\n    make\n", "page.md:3: an indented block is never run"),
    ("fence-in-a-list", "- Say:\n  ~~~console\n  $ false\n  ~~~\n", "page.md:2: a fence is ``` at the beginning"),
    ("endless-block", "~~~console\n$ true\n", "page.md:1: the block does not end"),
    ("said-otherwise", "~~~console\n$ echo one\ntwo\n~~~\n", "page.md:2: `echo one` ended with status 0 and said"),
    ("said-more", "~~~console\n$ echo one; echo two\none\n~~~\n", "page.md:2: `echo one; echo two` ended with status 0"),
    ("said-less", "~~~console\n$ echo one\none\ntwo\n~~~\n", "page.md:2: `echo one` ended with status 0"),
    ("said-nothing-shown", "~~~console\n$ echo one\n~~~\n", "page.md:2: `echo one` ended with status 0"),
    ("failed", "~~~console\n$ true\n$ false\n~~~\n", "page.md:3: `false` ended with status 1"),
    ("did-not-fail", "~~~console\n$ true\nexit status 1\n~~~\n", "page.md:2: `true` ended with status 0"),
    ("shell-ends", "~~~console\n$ exit 0\n~~~\n", "page.md:2: `exit 0` does not end"),
    ("words-without-command", "~~~console\nhello\n~~~\n", "page.md:2: what a command says stands behind the command"),
    ("excerpt-missing", "~~~c file=a.c\nint a;\n~~~\n~~~c excerpt=a.c\nint b;\n~~~\n", "page.md:4: these lines are not in a.c"),
    ("excerpt-of-nothing", "~~~c excerpt=b.c\nint b;\n~~~\n", "page.md:1: [Errno 2]"),
    ("excerpt-order", "~~~c file=a.c\nint a;\nint b;\n~~~\n~~~c excerpt=a.c\nint b;\n...\nint a;\n~~~\n", "page.md:5: these lines are not in"),
    ("change-missing", "~~~c file=a.c\nint a;\n~~~\n~~~diff file=a.c\n-int b;\n+int c;\n~~~\n", "page.md:4: these lines are in a.c 0 times"),
    ("change-twice", "~~~c file=a.c\nint a;\nint a;\n~~~\n~~~diff file=a.c\n-int a;\n+int c;\n~~~\n", "page.md:5: these lines are in a.c 2 times"),
    ("terminal", """~~~console server
$ trap 'echo caught' INT; echo ready; sleep 100
ready
~~~
~~~console
$ echo other
other
~~~
~~~console server
^C
caught
exit status 130
~~~
""", ""),
    ("terminal-silent", "~~~console server\n$ echo no; false\nready\n~~~\n", "page.md:2: `echo no; false` shall go on, but ended"),
    ("terminal-unready", "~~~console server\n$ sleep 100\n~~~\n", "page.md:2: what goes on must say something"),
    ("terminal-busy", "~~~console server\n$ echo go; sleep 100\ngo\n~~~\n~~~console server\n$ true\n~~~\n", "page.md:6: this terminal is still busy"),
    ("nothing-to-interrupt", "~~~console\n^C\n~~~\n", "page.md:2: ^C, but nothing runs"),
    ("untested", "~~~text file=hat/hat.flow\nwait 1s\n~~~\n", "page.md:1: the module hat is shown, but no `stave test hat`"),
    ("root-does-else", "~~~console root\n$ rm -rf /\n~~~\n", "page.md:2: root is shown to do nothing but"),
    ("root-package", "~~~console root\n$ apt-get install bash no-such-package-here\n~~~\n", "page.md:2: no-such-package-here is not installed"),
]


def said_of(folder, text, *options):
    os.mkdir(os.path.join(folder, "home"))
    os.mkdir(os.path.join(folder, "page"))
    with open(os.path.join(folder, "page.md"), "w", encoding="utf-8") as page:
        page.write(text.replace("~~~", FENCE))
    told = subprocess.run([RUNNER, "--home", os.path.join(folder, "home"), *options, os.path.join(folder, "page.md")],
                          cwd=os.path.join(folder, "page"), capture_output=True, text=True, timeout=60, check=False)
    return told.returncode, told.stdout + told.stderr


def check(name, text, expected, *options):
    with tempfile.TemporaryDirectory() as folder:
        status, said = said_of(folder, text, *options)
    if status == (1 if expected else 0) and (expected in said if expected else not said):
        return True
    print(f"{name}: status {status}, said\n{said}but shall say: {expected or '(nothing)'}")
    return False


def main():
    failed = [name for name, text, expected in PAGES if not check(name, text, expected)]
    failed += [name for name, text, expected in OTHERS if not check(name, text, expected, "--console")]
    print(f"{len(PAGES) + len(OTHERS)} pages" if not failed else f"failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
