#!/usr/bin/env python3
"""Makes tests/bench/mobile-day: what a phone's session is sent in a day, and when its user looks at it.

    tests/bench/mobile_day.py > tests/bench/mobile-day      # by a fixed seed: always the same
    tests/bench/mobile_day.py --check                       # is it the same?

A line is the second of the day, what happens, and who does it: `active` and `inactive` are the phone's; a contact's presence
(away, chat, xa, gone), chat states (composing, paused), body, received, displayed; room presence and room messages; pep.
The habits are made up: 60 contacts of whom most have a computer that goes idle, a few who write, one busy room.
"""
import random
import sys

SEED, CONTACTS, FRIENDS, OCCUPANTS, DAY = 8, 60, 8, 25, 86400
MINUTE, HOUR = 60, 3600


def presence(rng, lines):
    """A computer: on in the morning, idle and back again and again, off in the evening."""
    for who in range(CONTACTS):
        at = rng.randrange(6 * HOUR, 11 * HOUR)
        end = rng.randrange(16 * HOUR, 23 * HOUR)
        lines.append((at, "chat", who))
        while True:
            for what in ("away", "xa") if rng.random() < 0.3 else ("away",):
                at += rng.randrange(5 * MINUTE, 60 * MINUTE)
                if at < end:
                    lines.append((at, what, who))
            at += rng.randrange(MINUTE, 30 * MINUTE)
            if at >= end:
                break
            lines.append((at, "chat", who))
        lines.append((end, "gone", who))


def talk(rng, lines, looks, at, who):
    """A friend writes a few messages; in the busier half of the talks the phone's user answers."""
    answers = rng.random() < 0.5
    if answers:
        looks.append((at + rng.randrange(10, 3 * MINUTE), rng.randrange(2 * MINUTE, 10 * MINUTE)))
    for _ in range(rng.randrange(1, 8)):
        lines.append((at, "composing", who))
        if rng.random() < 0.4:
            at += rng.randrange(5, 30)
            lines.append((at, "paused", who))
            at += rng.randrange(2, 20)
            lines.append((at, "composing", who))
        at += rng.randrange(3, 40)
        lines.append((at, "body", who))
        if answers:
            at += rng.randrange(5, 40)
            lines.append((at, "received", who))
            lines.append((at + rng.randrange(1, 20), "displayed", who))
        at += rng.randrange(5, 60)


def room(rng, lines):
    for who in range(OCCUPANTS):
        at = rng.randrange(6 * HOUR, 12 * HOUR)
        while at < 22 * HOUR:
            lines.append((at, "room-" + rng.choice(("away", "chat")), who))
            at += rng.randrange(20 * MINUTE, 3 * HOUR)


def day():
    rng = random.Random(SEED)
    lines, looks = [], []
    presence(rng, lines)
    for _ in range(25):
        talk(rng, lines, looks, rng.randrange(7 * HOUR, 23 * HOUR), rng.randrange(FRIENDS))
    room(rng, lines)
    for _ in range(40):
        lines.append((rng.randrange(7 * HOUR, 23 * HOUR), "pep", rng.randrange(CONTACTS)))
    for _ in range(30):
        looks.append((rng.randrange(7 * HOUR, 23 * HOUR), rng.randrange(20, 5 * MINUTE)))
    until = 0
    for at, lasts in sorted(looks):
        if at <= until:
            continue
        until = min(at + lasts, DAY - 1)
        lines += [(at, "active", 0), (until, "inactive", 0)]
    return "".join(f"{at} {what} {who}\n" for at, what, who in sorted(lines) if at < DAY)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        with open(__file__.replace("mobile_day.py", "mobile-day"), encoding="ascii") as made:
            sys.exit(made.read() != day() and "tests/bench/mobile-day is not what mobile_day.py makes: run it")
    sys.stdout.write(day())
