"""redis-benchmark drives the broker with its own tests and with stream commands; a connection of ours looks at the effect."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from harness import Report, broker, run

report = Report("redis-benchmark")
peer = None
looking = None

SILENT = "it shows no replies"
ONE_COMMAND = "each of its connections sends one command again and again"


def bench(*words, requests=500, clients=5, options=(), code=0):
    line = ["redis-benchmark", "-p", str(peer.port), "-n", str(requests), "-c", str(clients), "-q", *options, *words]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    if ended.returncode != code:
        raise AssertionError("ended with %d: %s" % (ended.returncode, ended.stdout + ended.stderr))
    return ended.stdout + ended.stderr


def ask(*words):
    return looking.ok(*words)[1]


def equal(found, expected):
    if found != expected:
        raise AssertionError("found %r, expected %r" % (found, expected))


def held():
    """A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1."""
    ask("FLUSHALL")
    ask("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    for i in range(1, 5):
        ask("XADD", "s", "%d-1" % i, "n", str(i))
    ask("XREADGROUP", "GROUP", "g", "one", "STREAMS", "s", ">")


def pending_of(consumer):
    return len(ask("XPENDING", "s", "g", "-", "+", "1000", consumer))


@report.check("connect")
def connect():
    for options in [(), ("-3",), ("-P", "16")]:
        said = bench("-t", "ping_inline,ping_mbulk", options=options, requests=1600)
        equal(said.count("requests per second"), 2)


@report.check("produce")
def produce():
    ask("FLUSHALL")
    bench("XADD", "s", "*", "n", "__rand_int__", options=("-r", "1000", "-P", "16"), requests=3200)
    equal(ask("XLEN", "s"), b"3200")
    bench("XADD", "s:__rand_int__", "*", "n", "1", options=("-r", "50"), requests=1000)
    equal(sum(int(ask("XLEN", key)) for key in names()) - 3200, 1000)


def names():
    return [key for _, key in ask("KEYS", "*")]


@report.check("group-read")
def group_read():
    held()
    for i in range(500):
        ask("XADD", "s", "*", "n", str(i))
    bench("XREADGROUP", "GROUP", "g", "two", "COUNT", "1", "STREAMS", "s", ">")
    equal(pending_of("two"), 500)


@report.check("ack")
def ack():
    held()
    bench("XACK", "s", "g", "1-1", "3-1")
    equal(pending_of("one"), 2)


@report.check("claim")
def claim():
    held()
    bench("XCLAIM", "s", "g", "two", "0", "1-1")
    equal((pending_of("one"), pending_of("two")), (3, 1))


@report.check("autoclaim")
def autoclaim():
    held()
    bench("XAUTOCLAIM", "s", "g", "two", "0", "0")
    equal((pending_of("one"), pending_of("two")), (0, 4))


@report.check("trim")
def trim():
    held()
    bench("XADD", "s", "MAXLEN", "=", "100", "*", "n", "1")
    equal(ask("XLEN", "s"), b"100")
    bench("XTRIM", "s", "MAXLEN", "10")
    equal(ask("XLEN", "s"), b"10")


@report.check("errors")
def errors():
    held()
    said = bench("XGROUP", "CREATE", "s", "g", "$", code=1)
    assert "BUSYGROUP Consumer Group name already exists" in said, said
    said = bench("XREADGROUP", "GROUP", "none", "c", "STREAMS", "s", ">", code=1)
    assert "NOGROUP No such key 's'" in said, said


def main():
    global peer, looking
    peer = broker()
    try:
        looking = peer.connect()
        version = subprocess.run(["redis-benchmark", "--version"], capture_output=True, text=True).stdout.split()[1]
        report.who(version, "C", "RESP2")
        for check in ("pending", "info"):
            report.impossible(check, SILENT)
        for check in ("fan-out", "transaction", "watch", "pub-sub", "reconnect"):
            report.impossible(check, ONE_COMMAND)
        return run([connect, produce, group_read, ack, claim, autoclaim, trim, errors])
    finally:
        peer.stop()


if __name__ == "__main__":
    sys.exit(main())
