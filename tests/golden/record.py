#!/usr/bin/env python3
"""Records the transcripts in this directory from a real server, Redis 8.6 or newer: record.py PORT [FILE ...]

A transcript is a list of commands, each followed by the bytes that the server sent. It is played
once in RESP2 and once in RESP3, on empty databases:

    # a claim                         comment
    XADD s 1-1 "two words" "\\x00"     a command on connection `a`
    = $3\\r\\n1-1\\r\\n                    its reply, the same in both protocols
    b> XREAD BLOCK 0 STREAMS s $      a command on connection `b`
    &                                 ... that has no reply yet: the client is blocked
    XADD s 2-1 f v
    = $3\\r\\n2-1\\r\\n
    b<                                something that comes in on `b` by itself, be it a late reply
    2 *1\\r\\n...                        in RESP2
    3 %1\\r\\n...                        in RESP3

`<n>` in a reply stands for any number: times, and what is counted from them. Commands and comments
are kept, everything else is written anew; tests/it/golden.rs plays the files against the broker.
"""

import re
import socket
import sys
import time
from pathlib import Path

BLOCKED_AFTER = 0.15  # no reply for so long: the client is blocked
SILENCE = 0.03  # nothing for so long: nothing comes
EXPIRY = 0.6  # so long after a short expiry


def words(line):
    """Splits a command line; only quoted words have escapes."""
    out = []
    for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        out.append(plain.encode() if plain else quoted.encode().decode("unicode_escape").encode("latin1"))
    return out


def escape(data):
    text = "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in data)
    return text.replace("\\x0d", "\\r").replace("\\x0a", "\\n")


MASKS = [
    (rb"(\*4\r\n\$\d+\r\n\d+-\d+\r\n\$\d+\r\n[^\r]*\r\n):\d+", rb"\1:<n>"),  # XPENDING: idle
    (rb"(\$4\r\nidle\r\n):\d+", rb"\1:<n>"),
    (rb"(\$8\r\ninactive\r\n):\d+", rb"\1:<n>"),
    (rb"(radix-tree-nodes\r\n):\d+", rb"\1:<n>"),  # there is no radix tree here
    (rb"(\$1\r\nv\r\n):\d+(\r\n:\d+\r\n)", rb"\1:<n>\2"),  # XREADGROUP CLAIM: idle
    (rb":1\d{12}\r\n", rb":<n>\r\n"),  # times of this age, in milliseconds
]


# Where Redis 8.8 tells more of a group than the versions that there are to record from: it counts what was given back.
NACKED = rb"(\$3\r\nlag\r\n(?::-?\d+|\$-1|_)\r\n\$9\r\npel-count\r\n:\d+\r\n)"


def mask(args, data):
    if [word.upper() for word in args[:2]] == [b"XINFO", b"STREAM"] and b"nacked-count" not in data:
        data = re.sub(rb"\*14(\r\n\$4\r\nname\r\n)", rb"*16\1", data)
        data = re.sub(rb"%7(\r\n\$4\r\nname\r\n)", rb"%8\1", data)
        data = re.sub(NACKED, rb"\1$12\r\nnacked-count\r\n:0\r\n", data)
    if args[:2] == [b"OBJECT", b"IDLETIME"]:
        return re.sub(rb":\d+", rb":<n>", data)
    for pattern, shown in MASKS:
        data = re.sub(pattern, shown, data)
    return data


class Connection:
    def __init__(self, port, protocol):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.buffer = b""
        if protocol == 3:
            self.send([b"HELLO", b"3"])
            self.receive(1)

    def send(self, args):
        parts = [b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args]
        self.socket.sendall(b"*%d\r\n" % len(args) + b"".join(parts))

    def receive(self, timeout):
        """One whole reply, or None if none begins in time."""
        self.socket.settimeout(timeout)
        while True:
            end = reply_end(self.buffer, 0)
            if end is not None:
                reply, self.buffer = self.buffer[:end], self.buffer[end:]
                return reply
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                return None
            if not data:
                raise SystemExit("the server closed the connection")
            self.buffer += data


def reply_end(data, at):
    """Where the reply that begins at `at` ends; None if it is not all there."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, rest, end = data[at : at + 1], data[at + 1 : line_end], line_end + 2
    if kind in b"$=!":
        if int(rest) < 0:
            return end
        end += int(rest) + 2
        return end if len(data) >= end else None
    count = int(rest) if kind in b"*%~>" else 0
    for _ in range(count * 2 if kind == b"%" else count):
        end = reply_end(data, end)
        if end is None:
            return None
    return end


def play(port, protocol, lines):
    """What comes after each command: [(connection or None, reply or None)], one list a line."""
    control = Connection(port, 2)
    for setup in ([b"FLUSHALL"], [b"CONFIG", b"SET", b"notify-keyspace-events", b""]):
        control.send(setup)
        control.receive(5)
    connections = {}
    played = []
    for name, args in lines:
        for known in (name, "a"):
            if known not in connections:
                connections[known] = Connection(port, protocol)
        connections[name].send(args)
        replies = [(None, connections[name].receive(BLOCKED_AFTER))]
        if args[:1] == [b"PEXPIRE"] and args[2:] in ([b"1"], [b"20"]):
            time.sleep(EXPIRY)
        for other in sorted(connections):
            while (late := connections[other].receive(SILENCE)) is not None:
                replies.append((other, late))
        played.append(replies)
    return played


def record(port, path):
    source = path.read_text().splitlines()
    kept = [line for line in source if not re.match(r"[=23] |&$|[a-z]<$", line)]
    commands = []
    for line in kept:
        if line and not line.startswith("#"):
            name, _, rest = line.partition("> ") if re.match(r"[a-z]> ", line) else ("a", "", line)
            commands.append((name, words(rest)))
    played = [play(port, protocol, commands) for protocol in (2, 3)]
    out = []
    index = 0
    for line in kept:
        out.append(line)
        if not line or line.startswith("#"):
            continue
        args, two, three = commands[index][1], played[0][index], played[1][index]
        index += 1
        assert [name for name, _ in two] == [name for name, _ in three], line
        for (name, a), (_, b) in zip(two, three):
            if name:
                out.append(f"{name}<")
            if a is None:
                assert b is None, line
                out.append("&")
            elif mask(args, a) == mask(args, b):
                out.append("= " + escape(mask(args, a)))
            else:
                out += ["2 " + escape(mask(args, a)), "3 " + escape(mask(args, b))]
    path.write_text("\n".join(out) + "\n")
    print(f"{path.name}: {index} commands")


if __name__ == "__main__":
    here = Path(__file__).parent
    recorded = sorted(path for path in here.glob("*.txt") if not path.name.startswith("ours"))
    for path in [Path(name) for name in sys.argv[2:]] or recorded:
        record(int(sys.argv[1]), path)
