"""Bytes that are no proper commands: what the server says to them, byte for byte, and whether it hangs up."""

import random
import time

from generate import generate
from resp import encode

BIG = b"x" * 70000

# Said as Redis 7.2 says it, from which Valkey 9 departed.
LIKE_REDIS = {
    "inline with a closing quote in the middle": b"ECHO \"a\"b\r\n",
    "a bulk without its CRLF": b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
}

CASES = {
    "inline": b"PING\r\n",
    "inline with LF": b"PING\n",
    "inline with arguments": b"XADD s 1-1 f v\r\nXLEN s\r\n",
    "inline with quotes": b"ECHO \"a b\\x41\\n\"\r\nECHO 'a \\'b'\r\n",
    "inline with open quotes": b"ECHO \"a b\r\n",
    "empty lines": b"\r\n\r\n\r\nPING\r\n",
    "spaces": b"   PING   \r\n",
    "an inline line too long": BIG,
    "an inline line too long, then an end": [BIG, b"\r\nPING\r\n"],
    "no arguments": b"*0\r\nPING\r\n",
    "a negative count": b"*-10\r\nPING\r\n",
    "a count that is no number": b"*abc\r\n",
    "a huge count": b"*2147483648\r\n",
    "a count with a sign": b"*+1\r\n$4\r\nPING\r\n",
    "a count with a leading zero": b"*01\r\n$4\r\nPING\r\n",
    "an empty count": b"*\r\n",
    "no dollar": b"*1\r\nPING\r\n",
    "a bulk length that is no number": b"*1\r\n$abc\r\n",
    "a negative bulk length": b"*1\r\n$-1\r\n",
    "a huge bulk length": b"*1\r\n$2147483648\r\n",
    "a bulk length over the limit": b"*1\r\n$536870913\r\n",
    "an empty bulk length": b"*1\r\n$\r\n",
    "an empty command name": b"*1\r\n$0\r\n\r\n",
    "a count line too long": b"*" + b"1" * 70000,
    "a bulk line too long": b"*1\r\n$" + b"1" * 70000,
    "replies before an error": b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n!4\r\n",
    "a command in pieces": [b"*2\r\n$4\r\nEC", b"HO\r", b"\n$3\r\nab", b"c\r\n"],
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an HTTP post": b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "the first line of a cross-site request": b"Host: localhost\r\n",
    "control bytes": b"\x01\x02\x03\r\n",
    "an unknown command with long arguments": b"*3\r\n$3\r\nFOO\r\n$200\r\n" + b"y" * 200 + b"\r\n$3\r\na\r\n\r\n",
    "an unknown command with odd bytes": b"*2\r\n$5\r\nF\r\n\x01O\r\n$3\r\n\r\n\xff\r\n",
    "an unknown command with a long name": b"*1\r\n$300\r\n" + b"Z" * 300 + b"\r\n",
    "lower case": b"*1\r\n$4\r\nping\r\n",
    "quit and more": b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
    "unbalanced quotes after a command": b"PING\r\nPING \"\r\nPING\r\n",
    "three commands in one packet": b"PING\r\n*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n",
    "many empty commands": b"*0\r\n" * 1000 + b"PING\r\n",
    "an unauthenticated-looking huge array": b"*1048576\r\n$1\r\na\r\n",
    "a subcommand that does not exist": b"*2\r\n$6\r\nCLIENT\r\n$7\r\nNO\r\nSUB\r\n",
}


def exchange(peer, payload):
    """What a fresh connection hears: (bytes, was closed)."""
    connection = peer.connect()
    try:
        for piece in payload if isinstance(payload, list) else [payload]:
            try:
                connection.send_raw(piece)
                time.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                break
        return connection.read_quiet(quiet=0.08, limit=0.25)
    finally:
        connection.close()


def garbled(seed):
    """A pipeline of real commands with a few bytes dropped, doubled, exchanged or replaced."""
    rng = random.Random(seed)
    _, commands = generate(seed, 12)
    calm = [command for command in commands if command[0] not in ("XREAD", "XREADGROUP", "DEBUG")]
    data = bytearray(b"".join(encode(command) for command in calm))
    for _ in range(rng.choice([1, 1, 2, 5, 40])):
        at = rng.randrange(len(data))
        how = rng.random()
        if how < 0.3:
            del data[at : at + rng.choice([1, 1, 2, 30])]
        elif how < 0.6:
            data[at] = rng.choice(b"*$-0123456789\r\n\x00\xff AX")
        elif how < 0.8:
            data[at:at] = rng.choice([b"\r\n", b"*", b"$", b"-", b"9" * 12, b"\x00", b"*3\r\n$", bytes(rng.randbytes(8))])
        else:
            other = rng.randrange(len(data))
            data[at], data[other] = data[other], data[at]
        if not data:
            break
    return bytes(data)


def survives_garbage(peer, seeds):
    """Sends garbled pipelines; the seeds after which the server no longer answers."""
    fallen = []
    for seed in seeds:
        connection = peer.connect()
        try:
            connection.send_raw(garbled(seed))
        except (BrokenPipeError, ConnectionResetError):
            pass
        connection.socket.settimeout(0.02)
        try:
            while connection.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        connection.close()
        if seed % 20 == 0 or peer.process.poll() is not None:
            try:
                alive = peer.connect(timeout=5.0)
                if alive.call("PING") != ("+", b"PONG"):
                    fallen.append(seed)
                alive.close()
            except (OSError, EOFError):
                fallen.append(seed)
                if peer.process.poll() is not None:
                    peer.start()
    return fallen
