"""Plays every fixed scenario on two servers and compares what each connection heard.

    scenarios.py [--left valkey] [--right alluvium] [--only TEXT]

Blocking reads, pub/sub, keyspace events and administration in RESP2 and RESP3; malformed input as raw bytes.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

import blocking
import talk
import wire
from peers import Peer
from stage import difference, play


def staged(left, right, only):
    passed, failed = 0, 0
    pool = ThreadPoolExecutor(2)
    for scenario in blocking.SCENARIOS + talk.SCENARIOS:
        if only and only not in scenario.__name__:
            continue
        for protocol in (2, 3):
            try:
                playing = [pool.submit(play, peer, protocol, scenario) for peer in (left, right)]
                told = difference(*[one.result() for one in playing])
            except Exception as error:
                told = "the scenario failed: %r" % error
            if told is None:
                passed += 1
            else:
                failed += 1
                print("DIVERGENCE in %s, RESP%d\n  %s" % (scenario.__name__, protocol, told), flush=True)
            if right.process.poll() is not None:
                print("%s died" % right.kind, flush=True)
                right.start()
    return passed, failed


def raw(left, right, only):
    passed, failed = 0, 0
    for name, payload in wire.CASES.items():
        if only and only not in name:
            continue
        expected, found = wire.exchange(left, payload), wire.exchange(right, payload)
        if expected == found:
            passed += 1
        else:
            failed += 1
            print("DIVERGENCE on the wire, %s\n  expected %r\n  found    %r" % (name, expected, found), flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", default="valkey")
    parser.add_argument("--right", default="alluvium")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    left = Peer(arguments.left)
    right = None
    try:
        right = Peer(arguments.right)
        results = [staged(left, right, arguments.only), raw(left, right, arguments.only)]
    finally:
        left.stop()
        if right:
            right.stop()
    passed, failed = sum(r[0] for r in results), sum(r[1] for r in results)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
