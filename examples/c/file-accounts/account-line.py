#!/usr/bin/env python3
"""Prints the line of an account for file-accounts: account-line.py NAME [ITERATIONS], the password from standard input.

The name and the password are taken as they are, so write the name in small letters.
"""
import base64
import getpass
import hashlib
import hmac
import os
import sys


def line_of(name, password, iterations):
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt, stored_key, server_key = (base64.b64encode(b).decode() for b in (salt, stored_key, server_key))
    return f"{name}:SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}"


if len(sys.argv) not in (2, 3):
    sys.exit(__doc__)
secret = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
print(line_of(sys.argv[1], secret, int(sys.argv[2]) if len(sys.argv) == 3 else 10000))
