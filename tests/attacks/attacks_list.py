"""threats.list: each row of the threats is held by tests that exist, and each variant belongs to a row."""
import collections
import glob
import importlib
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
ROWS = [f"X{i}" for i in range(1, 16)] + [f"T{i}" for i in range(1, 7)] + [f"A{i}" for i in range(1, 13)] + ["R1", "R2", "R5"] + \
    ["U1", "U2", "U3", "U4", "U5", "U7", "U9"]


def text_of(path):
    with open(path, encoding="utf-8") as text:
        return text.read()


def read(path):
    """Rows in order: id, then (kind, words) of each line below."""
    rows = collections.OrderedDict()
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if line[0].isspace():
            assert rows and len(words) > 1, f"{path}:{number}: {line}"
            rows[list(rows)[-1]].append((words[0], words[1:]))
        else:
            assert words[0] not in rows and len(words) > 1, f"{path}:{number}: {line}"
            rows[words[0]] = []
    return rows


def has_case(program, case):
    found = glob.glob(f"{ROOT}/server/*/{program}.c") + glob.glob(f"{ROOT}/modules/*/{program}.c")
    return len(found) == 1 and f"\nstatic void {case}(void **state)" in text_of(found[0])


def exists(kind, words, names):
    if kind == "attacks":
        return len([n for n in names if n.startswith(words[0])]) >= int(words[1]) > 0
    if kind == "unit":
        return has_case(*words)
    if kind == "flow":
        return os.path.exists(f"{ROOT}/tests/flow/{words[0]}.flow")
    if kind == "fuzz":
        return os.path.exists(f"{ROOT}/tests/fuzz/fuzz_{words[0]}.c")
    if kind == "process":
        return f"\ndef case_{words[0].replace('-', '_')}(" in text_of(f"{ROOT}/tests/suites/45-process")
    if kind == "suite":
        return os.path.exists(f"{ROOT}/tests/suites/{words[0]}")
    if kind == "lint":
        return " ".join(words) in text_of(f"{ROOT}/tools/lint")
    return kind == "later"


def check(tables, path=os.path.join(HERE, "threats.list")):
    """Raises with all that is missing; the rows that wait for something are the note."""
    names = [v[0] for table in tables for v in importlib.import_module(f"attacks_{table}").TABLE.variants]
    rows, missing = read(path), []
    missing += [f"no row {row}" for row in ROWS if row not in rows] + [f"row {row} is none of the threats" for row in rows if row not in ROWS]
    for row, lines in rows.items():
        if not lines:
            missing.append(f"{row} is held by nothing")
        missing += [f"{row}: there is no {kind} {' '.join(words)}" for kind, words in lines if not exists(kind, words, names)]
    missing += [f"{name} belongs to no row" for name in names if name.split("-")[0].upper() not in rows]
    assert not missing, "\n".join(missing)
    alone = [row for row, lines in rows.items() if all(kind == "later" for kind, _ in lines)]
    return f"{len(rows)} rows, {len(names)} variants; nothing but later: {' '.join(alone) or 'none'}"
