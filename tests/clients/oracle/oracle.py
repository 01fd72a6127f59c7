"""The differential test: the same random commands to several servers must give the same replies.

    oracle.py [--left valkey] [--right alluvium,redis] [--sequences 3000] [--seed N] [--length 40] [--self-test]

With `--left redis8` there are also the commands and options that came with Redis 8.2. Sequence i uses seed N + i and runs once in RESP2 and once in RESP3. The first divergent command of a sequence is
printed with its seed and a minimised reproduction, ready to be typed. `--self-test` shows that the harness sees a
deliberately wrong reply. Exit code 1 when anything diverged.
"""

import argparse
import random
import sys
import time

from differ import Side, compare, minimised
from generate import generate
from peers import Peer
from resp import show, to_bytes


def typed(command):
    """A command as one types it into redis-cli."""
    def quoted(word):
        data = to_bytes(word)
        text = data.decode("latin-1")
        if text and all(33 <= ord(c) < 127 and c not in "\"'\\" for c in text) and len(text) < 200:
            return text
        if len(text) > 200:
            return '"%s..." (%d bytes)' % (text[:10], len(text))
        return '"' + "".join(c if 32 <= ord(c) < 127 and c not in '"\\' else "\\x%02x" % ord(c) for c in text) + '"'
    return " ".join(quoted(word) for word in command)


def report(seed, protocol, node_entries, commands, divergence, reference):
    print("\nDIVERGENCE seed %d, RESP%d, stream-node-max-entries %d" % (seed, protocol, node_entries))
    for command in commands:
        print("    " + typed(command))
    print("  %s: %s" % (reference, show(divergence.expected).replace("\n", "\n  ")))
    print("  %s: %s" % (divergence.peer, show(divergence.found).replace("\n", "\n  ")), flush=True)


def hunt(sides, arguments):
    """Runs all sequences; the number that diverged."""
    seen, diverged, ran = set(), 0, 0
    start = time.monotonic()
    for seed in range(arguments.seed, arguments.seed + arguments.sequences):
        for protocol in (2, 3):
            node_entries, commands = generate(seed, arguments.length, newest=sides[0].peer.kind == "redis8")
            divergence = compare(sides, protocol, node_entries, commands)
            ran += 1
            if divergence is None:
                continue
            diverged += 1
            for side in sides[1:]:
                if side.peer.process.poll() is not None:
                    print("%s died with %s; seed %d" % (side.peer.kind, side.peer.process.returncode, seed), flush=True)
                    side.peer.start()
            if divergence.signature() in seen:
                continue
            seen.add(divergence.signature())
            shortest = minimised(sides, protocol, node_entries, commands, divergence)
            final = compare(sides, protocol, node_entries, shortest) or divergence
            report(seed, protocol, node_entries, shortest, final, sides[0].peer.kind)
            if len(seen) >= arguments.most:
                print("stopped after %d different divergences" % len(seen))
                return diverged, ran
    print("%d sequences in %.0f s" % (ran, time.monotonic() - start))
    return diverged, ran


TWISTS = {
    "a count that is one too high": (b":3\r\n", b":4\r\n"),
    "an error text with a changed word": (b"no such key", b"no such keys"),
    "a null array where a null bulk belongs": (b"$-1\r\n", b"*-1\r\n"),
    "a lost field name": (b"$2\r\nf0\r\n", b"$2\r\nf9\r\n"),
    "a wrong cursor": (b"$17\r\nlast-delivered-id\r\n$3\r\n0-0", b"$17\r\nlast-delivered-id\r\n$3\r\n0-1"),
    "a map sent as an array": (b"%5\r\n", b"*10\r\n"),
}


def self_test(left):
    """Each twist of one server's replies must be found, and found in a few commands."""
    other = Peer(left.kind)
    failed = 0
    try:
        for name, (find, replace) in TWISTS.items():
            sides = [Side(left), Side(other, lambda data: data.replace(find, replace))]
            caught = None
            for seed in range(200):
                for protocol in (2, 3):
                    node_entries, commands = generate(seed)
                    divergence = compare(sides, protocol, node_entries, commands)
                    if divergence:
                        caught = minimised(sides, protocol, node_entries, commands, divergence)
                        break
                if caught:
                    break
            if caught is None or len(caught) > 6:
                failed += 1
                print("NOT FOUND: " + name, caught)
            else:
                print("found %s at seed %d in %d commands" % (name, seed, len(caught)))
            for side in sides:
                side.drop()
    finally:
        other.stop()
    return failed, len(TWISTS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", default="valkey")
    parser.add_argument("--right", default="alluvium,redis")
    parser.add_argument("--sequences", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--most", type=int, default=20, help="stop after so many different divergences")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.randrange(1_000_000_000)
    left = Peer(arguments.left)
    rights = []
    try:
        if arguments.self_test:
            failed, ran = self_test(left)
        else:
            rights = [Peer(kind) for kind in arguments.right.split(",")]
            print("oracle: %s against %s, seeds from %d" % (arguments.left, arguments.right, arguments.seed), flush=True)
            failed, ran = hunt([Side(left)] + [Side(peer) for peer in rights], arguments)
    finally:
        for peer in [left] + rights:
            peer.stop()
    print("%d passed, %d failed" % (ran - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
