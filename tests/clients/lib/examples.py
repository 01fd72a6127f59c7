"""Runs the examples against a broker, and compares what they print with what examples/README.md says. What
move_streams.py copies comes from a Redis server, and is compared with it.
"""

import os
import re
import subprocess
import sys

from harness import Peer, broker

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "examples")


def shown(page, name):
    """The lines that the page shows behind the command that runs an example."""
    block = re.search(r"^    \$ .*%s.*\n((?:    .*\n)+)" % re.escape(name), page, re.M)
    return re.sub(r"^    ", "", block.group(1), flags=re.M) if block else "nothing\n"


def fill(old):
    """Streams with all that is to be moved."""
    for i in range(1, 101):
        old.ok("XADD", "orders", "%d-1" % i, "field", "old", "field", str(i))
    old.ok("XGROUP", "CREATE", "orders", "billing", "0")
    old.ok("XGROUP", "CREATE", "orders", "shipping", "50-1", "ENTRIESREAD", "50")
    old.ok("XREADGROUP", "GROUP", "billing", "one", "COUNT", "10", "STREAMS", "orders", ">")
    old.ok("XCLAIM", "orders", "billing", "two", "0", "4-1", "5-1")
    old.ok("XACK", "orders", "billing", "1-1", "2-1")
    old.ok("XDEL", "orders", "70-1", "71-1", "98-1", "100-1")
    old.ok("PEXPIREAT", "orders", "4000000000000")
    old.ok("XADD", "audit", "7-1", "n", "1")
    old.ok("XDEL", "audit", "7-1")


def looked_at(connection):
    """All that a client can see of the streams, without times that pass."""
    rows = connection.ok("XPENDING", "orders", "billing", "-", "+", "100")[1]
    pending = [(row[1][0], row[1][1], row[1][3]) for row in rows]
    facts = [named(connection.ok("XINFO", "STREAM", key)[1]) for key in ("orders", "audit")]
    groups = [named(group[1]) for group in connection.ok("XINFO", "GROUPS", "orders")[1]]
    entries = connection.ok("XRANGE", "orders", "-", "+")
    return [entries, pending, *facts, *groups, connection.ok("PEXPIRETIME", "orders")]


def named(pairs):
    """What XINFO tells and every server knows, by name; nodes are cut by other rules."""
    known = ("name", "consumers", "pending", "last-delivered-id", "entries-read", "length", "last-generated-id",
             "max-deleted-entry-id", "entries-added", "groups", "first-entry", "last-entry")
    return {name: value for (_, name), value in zip(pairs[::2], pairs[1::2]) if name.decode() in known}


def moved(target):
    """Whether move_streams.py prints what the page says, and both servers then show the same."""
    source = Peer("redis")
    try:
        fill(source.connect())
        urls = ["redis://127.0.0.1:%d" % peer.port for peer in (source, target)]
        target.connect().ok("FLUSHALL")
        output = run([sys.executable, os.path.join(EXAMPLES, "move_streams.py"), *urls])
        old, new = looked_at(source.connect()), looked_at(target.connect())
        for before, after in zip(old, new):
            if before != after:
                return output + "but %r\nbecame %r\n" % (before, after)
        return output
    finally:
        source.stop()


def run(line):
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60)
    return ended.stdout + ended.stderr


def main():
    with open(os.path.join(EXAMPLES, "README.md")) as file:
        page = file.read()
    failed = 0
    peer = broker()
    try:
        for name in sorted(os.listdir(EXAMPLES)):
            if name == "move_streams.py":
                output = moved(peer)
            elif name.endswith(".js"):
                output = run(["node", os.path.join(EXAMPLES, name), "redis://127.0.0.1:%d" % peer.port])
            elif name.endswith(".py"):
                output = run([sys.executable, os.path.join(EXAMPLES, name), str(peer.port)])
            else:
                continue
            if output == shown(page, name):
                print("ok: %s" % name)
            else:
                failed += 1
                print("FAILED: %s printed\n%s\nthe page says\n%s" % (name, output, shown(page, name)))
    finally:
        peer.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
