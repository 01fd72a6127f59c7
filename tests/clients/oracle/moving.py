"""Streams that move between servers by DUMP and RESTORE, and by MIGRATE, must be the same on both sides.

    moving.py [--streams 60] [--seed N]

Random streams with groups, pending entries, deletions and trims are made on Valkey and on two Redis, dumped there, restored in
the broker, dumped again, and restored where they came from; and the other way round. Each stop answers the same
to all that tells about a stream, and goes on the same way: entries are added, and approximate trims cut in the same places.
"""

import argparse
import random
import sys

from known import newer, newest
from masks import masked, same
from peers import Peer
from resp import show, to_bytes

GROUPS, CONSUMERS = ["g", "workers", ""], ["alice", "bob", "", "-7"]
NODE_ENTRIES = 10
# The version of the format that each server reads.
VERSIONS = {"valkey": "11", "redis": "10", "redis8": "12"}


def value(rng):
    return rng.choice([
        lambda: rng.choice([0, 127, 128, -1, 4095, -4096, 4096, 32767, -32768, 8388607, 2**31 - 1, -2**31, 2**63 - 1, -2**63]),
        lambda: rng.randrange(-10**6, 10**6),
        lambda: rng.choice(["", "-0", "01", "9223372036854775808", "1.5", "x"]),
        lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(40))),
        lambda: "a" * rng.choice([63, 64, 127, 128, 300, 4095, 4096, 20000]),
    ])()


def history(rng, key):
    """Commands that make a stream, with IDs of their own so that every server makes the same one."""
    out, ms, seq = [], rng.choice([1, 5, 2**40]), 0
    names = ["temp", "time", "level"][: rng.randint(1, 3)]
    for _ in range(rng.choice([0, 1, 3, 30, 30, 200])):
        ms, seq = (ms + rng.choice([1, 1, 1, 1000]), rng.choice([0, 7])) if rng.random() < 0.7 else (ms, seq + 1)
        fields = names if rng.random() < 0.8 else ["other", b"\x00\xff"][: rng.randint(1, 2)]
        out.append(["XADD", key, "%d-%d" % (ms, seq)] + [item for name in fields for item in (name, value(rng))])
        last = "%d-%d" % (ms, seq)
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            group, consumer = rng.choice(GROUPS), rng.choice(CONSUMERS)
            near = "%d-%d" % (max(0, ms - rng.randint(0, 8)), rng.choice([0, 1, 7, seq]))
            out.append(rng.choice([
                ["XGROUP", "CREATE", key, group, rng.choice(["0", near, "$"])],
                ["XGROUP", "CREATECONSUMER", key, group, consumer],
                ["XREADGROUP", "GROUP", group, consumer, "COUNT", rng.randint(1, 9), "STREAMS", key, ">"],
                ["XREADGROUP", "GROUP", group, consumer, "COUNT", rng.randint(1, 9), "STREAMS", key, ">"],
                ["XREADGROUP", "GROUP", group, consumer, "NOACK", "COUNT", "1", "STREAMS", key, ">"],
                ["XACK", key, group, near, last],
                ["XCLAIM", key, group, consumer, "0", near, "TIME", rng.randint(1, 10**12), "RETRYCOUNT", rng.choice([0, 5, 2**40])],
                ["XDEL", key, near],
                ["XDEL", key, last],
                ["XTRIM", key, "MAXLEN", rng.choice([3, 25, 80])],
                ["XTRIM", key, "MAXLEN", "~", rng.choice([3, 25, 80])],
                ["XGROUP", "SETID", key, group, near, "ENTRIESREAD", rng.randint(0, 50)],
            ]))
    if not out or rng.random() < 0.1:
        out.append(["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"])
    if rng.random() < 0.1:
        out.append(["XTRIM", key, "MAXLEN", "0"])
    if rng.random() < 0.2:
        out.append(["XSETID", key, "%d-%d" % (ms + 5, 3), "ENTRIESADDED", "5000", "MAXDELETEDID", "%d-0" % ms])
    return out


def future(rng, key):
    """Commands that show where the nodes of a stream end."""
    out = []
    for ms in range(2**41, 2**41 + 25):
        out.append(["XADD", key, "%d-0" % ms, "f", "v"])
        if rng.random() < 0.3:
            out.append(["XTRIM", key, "MAXLEN", "~", rng.randint(0, 60)])
    return out + [["XLEN", key], ["XRANGE", key, "-", "+"]]


def questions(key, is_old):
    """All that tells about a stream; with Redis 7.0, which answers some of it in another form and estimates lag
    otherwise, the rest is asked of a stream on the same server that was there and came back."""
    out = [["XLEN", key], ["XRANGE", key, "-", "+"], ["XREVRANGE", key, "+", "-", "COUNT", "7"], ["TYPE", key]]
    for group in GROUPS:
        out += [["XPENDING", key, group], ["XPENDING", key, group, "-", "+", "10000"]]
    if not is_old:
        out += [["XINFO", "GROUPS", key], ["XINFO", "STREAM", key], ["XINFO", "STREAM", key, "FULL", "COUNT", "0"]]
        out += [["XINFO", "CONSUMERS", key, group] for group in GROUPS]
    return out


class Check:
    def __init__(self):
        self.passed = self.failed = 0
        self.may_differ = newer

    def that(self, holds, what):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print("DIVERGENCE: " + what, flush=True)

    def alike(self, what, left, right, is_old=False, commands=None):
        """The same commands on two sides, each a connection and a key."""
        for words in commands or questions("KEY", is_old):
            replies = []
            for connection, key in (left, right):
                reply = connection.call(*[key if word == "KEY" else word for word in words])
                # An error names the key.
                replies.append((reply[0], reply[1].split(b" ")[0]) if reply[0] == "-" else reply)
            named = [to_bytes(word).decode("latin-1") for word in words]
            if not same(masked(named, replies[0]), masked(named, replies[1])) and not self.may_differ(named, *replies):
                texts = [show(reply)[:1500] for reply in replies]
                self.that(False, "%s: %s\n  expected %s\n  found    %s" % (what, " ".join(named)[:200], *texts))
                return
        self.passed += 1


def there_and_back(check, rng, peer, broker, what):
    """From a peer to the broker and back; then both go on."""
    for words in history(rng, "s"):
        peer.call(*words)
    payload = peer.call("DUMP", "s")
    check.that(broker.call("RESTORE", "moved", "0", payload[1], "REPLACE") == ("+", b"OK"), what + ": RESTORE")
    is_old = VERSIONS[peer.kind] == "10"
    check.alike(what + ", restored here", (peer, "s"), (broker, "moved"), is_old)
    payload = broker.call("DUMP", "moved")
    check.that(peer.call("RESTORE", "back", "0", payload[1]) == ("+", b"OK"), what + ": RESTORE of what was restored")
    check.alike(what + ", restored there", (peer, "s"), (peer, "back"))
    going_on = future(rng, "KEY")
    check.alike(what + ", going on here", (peer, "s"), (broker, "moved"), commands=going_on)
    for words in going_on:
        peer.call(*["back" if word == "KEY" else word for word in words])
    check.alike(what + ", going on there", (broker, "moved"), (peer, "back"), commands=going_on[-2:])


def from_here(check, rng, peer, broker, what):
    """From the broker to a peer; then both go on."""
    for words in history(rng, "ours"):
        broker.call(*words)
    payload = broker.call("DUMP", "ours")
    check.that(peer.call("RESTORE", "theirs", "0", payload[1]) == ("+", b"OK"), what + ": RESTORE")
    check.alike(what + ", restored there", (broker, "ours"), (peer, "theirs"), VERSIONS[peer.kind] == "10")
    check.alike(what + ", going on", (broker, "ours"), (peer, "theirs"), commands=future(rng, "KEY"))


def migrated(check, rng, peer, broker, port):
    """MIGRATE of the peer sends RESTORE to the broker."""
    for words in history(rng, "s"):
        peer.call(*words)
    peer.call("COPY", "s", "kept")
    reply = peer.call("MIGRATE", "127.0.0.1", port, "s", "0", "5000")
    check.that(reply == ("+", b"OK"), "MIGRATE from %s: %s" % (peer.kind, show(reply)))
    check.that(peer.call("EXISTS", "s") == (":", b"0"), "MIGRATE from %s takes the key away" % peer.kind)
    check.alike("migrated from " + peer.kind, (peer, "kept"), (broker, "s"), VERSIONS[peer.kind] == "10")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    servers = [Peer("alluvium"), Peer("valkey"), Peer("redis8"), Peer("redis")]
    check = Check()
    try:
        broker = servers[0].connect(3)
        for server in servers[1:]:
            peer = server.connect(3)
            peer.kind = server.kind
            check.may_differ = newest if server.kind == "redis8" else newer
            broker.ok("CONFIG", "SET", "dump-rdb-version", VERSIONS[server.kind])
            for connection in (broker, peer):
                connection.ok("CONFIG", "SET", "stream-node-max-entries", str(NODE_ENTRIES))
            for seed in range(arguments.seed, arguments.seed + arguments.streams):
                for move in (there_and_back, from_here):
                    for connection in (broker, peer):
                        connection.ok("FLUSHALL")
                    move(check, random.Random(seed), peer, broker, "%s seed %d" % (server.kind, seed))
            for connection in (broker, peer):
                connection.ok("FLUSHALL")
            migrated(check, random.Random(arguments.seed), peer, broker, str(servers[0].port))
    finally:
        for server in servers:
            server.stop()
    print("%d passed, %d failed" % (check.passed, check.failed))
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
