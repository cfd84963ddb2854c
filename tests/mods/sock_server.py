#!/usr/bin/env python3
"""The data base of the test module `sock`: keeps records and rows of one server, durably, in one file.

    sock_server.py SOCKET FILE [GATE]

Requests and answers are frames (a length of 4 bytes, then as many), numbers are little-endian, texts have their length of 4
bytes before them. A request begins with a letter, an answer with 0 (done), 1 (failed) or 2 (another has it), then a text if it
is not 0. Commits and folds are appended to FILE with a checksum and synced before they are answered; FILE is read when it
starts, and a torn end is cut. While the file GATE is there, commits are kept and not answered."""
import bisect
import os
import socket
import struct
import sys
import threading
import time
import zlib


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        part = self.data[self.at:self.at + n]
        if len(part) != n:
            raise ValueError("a request is cut off")
        self.at += n
        return part

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self):
        return self.take(self.number("I"))


def text(data):
    return struct.pack("<I", len(data)) + data


class Store:
    def __init__(self, path):
        self.records, self.rows, self.folded = [], {}, 0
        self.file = open(path, "a+b")
        self.load()

    def load(self):
        self.file.seek(0)
        data, at = self.file.read(), 0
        while at + 8 <= len(data):
            n, crc = struct.unpack_from("<II", data, at)
            body = data[at + 8:at + 8 + n]
            if len(body) != n or zlib.crc32(body) != crc:
                break
            self.apply(Reader(body))
            at += 8 + n
        self.file.truncate(at)

    def keep(self, body):
        self.file.write(struct.pack("<II", len(body), zlib.crc32(body)) + body)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.apply(Reader(body))

    def apply(self, r):
        if r.take(1) == b"C":
            first = r.number("Q")
            for i in range(r.number("I")):
                self.records.append((first + i, r.text()))
            return
        self.folded = r.number("Q")
        for _ in range(r.number("I")):
            kind, number, owner, key, value = r.take(1), r.number("I"), r.text(), r.text(), r.text()
            owners = self.rows.setdefault(number, {})
            if kind == b"A":
                owners.pop(owner, None)
            elif kind == b"P":
                owners.setdefault(owner, {})[key] = value
            elif owner in owners:
                owners[owner].pop(key, None)
                if not owners[owner]:
                    del owners[owner]
        self.records = [record for record in self.records if record[0] > self.folded]

    def size(self):
        return self.file.seek(0, os.SEEK_END)

    # --- answers

    def hello(self, r):
        return struct.pack("<QI", self.folded, len(self.records)) + b"".join(
            struct.pack("<Q", number) + text(record) for number, record in self.records)

    def get(self, r):
        value = self.rows.get(r.number("I"), {}).get(r.text(), {}).get(r.text())
        return b"\0" if value is None else b"\1" + text(value)

    def scan(self, r):
        rows = self.rows.get(r.number("I"), {}).get(r.text(), {})
        return struct.pack("<I", len(rows)) + b"".join(text(k) + text(v) for k, v in rows.items())

    def owners(self, r):
        names, is_first, after, most = sorted(self.rows.get(r.number("I"), {})), r.take(1) == b"\0", r.text(), r.number("I")
        at = 0 if is_first else bisect.bisect_right(names, after)
        found = names[at:at + most]
        return struct.pack("<I", len(found)) + b"".join(map(text, found)) + (b"\1" if at + most < len(names) else b"\0")

    def range(self, r):
        owners, place, most = self.rows.get(r.number("I"), {}), r.text(), r.number("I")
        rows = sorted((owner, key) for owner, keys in owners.items() for key in keys)
        if place:
            p = Reader(place)
            rows = rows[bisect.bisect_left(rows, (p.text(), p.text())):]
        out, n = b"", 0
        while n < len(rows) and len(out) < most:
            owner, key = rows[n]
            out += text(owner) + text(key) + text(owners[owner][key])
            n += 1
        more = text(text(rows[n][0]) + text(rows[n][1])) if n < len(rows) else text(b"")
        return struct.pack("<I", n) + out + more


class Server:
    def __init__(self, path, store, gate):
        self.store, self.gate, self.lock, self.holder = store, gate, threading.Lock(), None
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()

    @staticmethod
    def is_alive(conn):
        """One that was hung up may not have been heard of yet."""
        try:
            return conn.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def answer(self, conn, body):
        kind = body[:1]
        if kind == b"H":
            if self.holder not in (None, conn) and self.is_alive(self.holder):
                return b"\2" + text(b"another server has it")
            self.holder = conn
            return b"\0" + self.store.hello(None)
        if self.holder is not conn:
            return b"\1" + text(b"no H before")
        if kind in (b"C", b"F"):
            self.store.keep(body)
            if kind == b"C" and self.gate and os.path.exists(self.gate):
                print("held", flush=True)
                while os.path.exists(self.gate):
                    time.sleep(0.01)
            return b"\0" + struct.pack("<Q", self.store.size())
        r = Reader(body[1:])
        return b"\0" + {b"G": self.store.get, b"S": self.store.scan, b"O": self.store.owners, b"R": self.store.range}[kind](r)

    def serve(self, conn):
        source = conn.makefile("rb")
        try:
            while head := source.read(4):
                body = source.read(struct.unpack("<I", head)[0])
                with self.lock:
                    try:
                        out = self.answer(conn, body)
                    except (ValueError, KeyError) as fault:
                        out = b"\1" + text(str(fault).encode())
                conn.sendall(text(out))
        except (OSError, struct.error):
            pass  # it went away in the midst; what it had not asked for whole is nothing
        with self.lock:
            if self.holder is conn:
                self.holder = None
        conn.close()

    def run(self):
        print("ready", flush=True)
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()


Server(sys.argv[1], Store(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None).run()
