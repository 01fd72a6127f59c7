"""Plays every fixed scenario on two servers and compares what each connection heard: Valkey and the broker,
or, where Valkey 9 departed from Redis 7.2, Redis and the broker.

    scenarios.py [--right alluvium] [--only TEXT]

Blocking reads, pub/sub, keyspace events and administration in RESP2 and RESP3; malformed input as raw bytes.
"""

import argparse
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import blocking
import talk
import wire
from peers import Peer
from stage import difference, play


def staged(references, right, only):
    passed, failed = 0, 0
    pool = ThreadPoolExecutor(2)
    for scenario in blocking.SCENARIOS + talk.SCENARIOS:
        if only and only not in scenario.__name__:
            continue
        left = references[getattr(scenario, "reference", "valkey")]
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


def raw(left, right, only, cases):
    passed, failed = 0, 0
    for name, payload in cases.items():
        if only and only not in name:
            continue
        expected, found = wire.exchange(left, payload), wire.exchange(right, payload)
        if expected == found:
            passed += 1
        else:
            failed += 1
            print("DIVERGENCE on the wire, %s\n  expected %r\n  found    %r" % (name, expected, found), flush=True)
    return passed, failed


def garbage(right, count):
    start = random.randrange(1_000_000_000)
    fallen = wire.survives_garbage(right, range(start, start + count))
    for seed in fallen:
        print("the broker no longer answers after garbage near seed %d" % seed)
    return count - len(fallen), len(fallen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--right", default="alluvium")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    peers = [Peer("valkey"), Peer("redis"), Peer(arguments.right)]
    valkey, redis, right = peers
    try:
        results = [
            staged({"valkey": valkey, "redis": redis}, right, arguments.only),
            raw(valkey, right, arguments.only, wire.CASES),
            raw(redis, right, arguments.only, wire.LIKE_REDIS),
            garbage(right, 0 if arguments.only else 1000),
        ]
    finally:
        for peer in peers:
            peer.stop()
    passed, failed = sum(r[0] for r in results), sum(r[1] for r in results)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
