"""redis-cli does its ordinary stream work against the broker: one command a call, and sessions on its input."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from harness import Report, broker, run

report = Report("redis-cli")
peer = None


def start(*words):
    line = ["redis-cli", "-p", str(peer.port), *words]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, bufsize=1)


def cli(*words, code=0):
    """The lines that redis-cli prints for a command."""
    process = start(*words)
    said, _ = process.communicate(timeout=30)
    equal(process.returncode, code)
    return said.rstrip("\n").split("\n")


def equal(found, expected):
    if found != expected:
        raise AssertionError("found %r, expected %r" % (found, expected))


def until(claim, holds):
    end = time.monotonic() + 30
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("not within 30 s: " + claim)
        time.sleep(0.01)


def fresh():
    """An empty broker."""
    equal(cli("FLUSHALL"), ["OK"])


def held():
    """A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1."""
    fresh()
    cli("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    for i in range(1, 5):
        cli("XADD", "s", "%d-1" % i, "n", str(i))
    cli("XREADGROUP", "GROUP", "g", "one", "STREAMS", "s", ">")


@report.check("connect")
def connect():
    equal(cli("PING"), ["PONG"])
    session = start()
    said, _ = session.communicate("CLIENT SETNAME check\nCLIENT GETNAME\n", timeout=30)
    equal(said, "OK\ncheck\n")
    assert any(line.startswith("redis_version:") for line in cli("INFO", "server"))


@report.check("produce")
def produce():
    fresh()
    identity = cli("XADD", "s", "*", "user-id", "jake", "bytes", "\x01\x02 \t")[0]
    equal(cli("XRANGE", "s", "-", "+"), [identity, "user-id", "jake", "bytes", "\x01\x02 \t"])
    equal(cli("--json", "XREAD", "STREAMS", "s", "0")[0][:7], '{"s":[[')
    piped = "".join("XADD many %d-1 n %d\r\n" % (i, i) for i in range(1, 501))
    process = start("--pipe")
    said, _ = process.communicate(piped, timeout=30)
    assert "errors: 0, replies: 500" in said, said
    equal(cli("XREVRANGE", "many", "+", "-", "COUNT", "1"), ["500-1", "n", "500"])


@report.check("fan-out")
def fan_out():
    fresh()
    readers = [start("XREAD", "BLOCK", "20000", "STREAMS", "s", "$") for _ in range(3)]
    until("three wait", lambda: "blocked_clients:3" in "".join(cli("INFO", "clients")))
    identity = cli("XADD", "s", "*", "n", "1")[0]
    for reader in readers:
        equal(reader.communicate(timeout=30)[0].split(), ["s", identity, "n", "1"])
    equal(cli("XREAD", "BLOCK", "50", "STREAMS", "s", "$"), [""])


@report.check("group-read")
def group_read():
    fresh()
    cli("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    for i in range(1, 4):
        cli("XADD", "s", "%d-1" % i, "n", str(i))
    equal(cli("XREADGROUP", "GROUP", "g", "one", "COUNT", "1", "STREAMS", "s", ">"), ["s", "1-1", "n", "1"])
    rest = cli("XREADGROUP", "GROUP", "g", "two", "BLOCK", "10", "STREAMS", "s", ">")
    equal(rest, ["s", "2-1", "n", "2", "3-1", "n", "3"])
    equal(cli("XREADGROUP", "GROUP", "g", "one", "STREAMS", "s", "0"), ["s", "1-1", "n", "1"])


@report.check("ack")
def ack():
    held()
    equal(cli("XACK", "s", "g", "1-1", "3-1"), ["2"])
    equal(cli("XACK", "s", "g", "1-1"), ["0"])
    equal(cli("XPENDING", "s", "g")[0], "2")


@report.check("pending")
def pending():
    held()
    equal(cli("XPENDING", "s", "g"), ["4", "1-1", "4-1", "one", "4"])
    row = cli("XPENDING", "s", "g", "(1-1", "+", "1")
    equal([row[0], row[1], row[3]], ["2-1", "one", "1"])
    equal(cli("XPENDING", "s", "g", "IDLE", "60000", "-", "+", "10"), [""])


@report.check("claim")
def claim():
    held()
    equal(cli("XCLAIM", "s", "g", "two", "0", "1-1"), ["1-1", "n", "1"])
    equal(cli("XCLAIM", "s", "g", "two", "0", "2-1", "JUSTID"), ["2-1"])
    equal(cli("XCLAIM", "s", "g", "two", "60000", "3-1"), [""])


@report.check("autoclaim")
def autoclaim():
    held()
    cli("XDEL", "s", "2-1")
    equal(cli("XAUTOCLAIM", "s", "g", "two", "0", "0", "COUNT", "3"), ["4-1", "1-1", "n", "1", "3-1", "n", "3", "2-1"])
    equal(cli("XAUTOCLAIM", "s", "g", "two", "0", "4-1", "JUSTID")[:2], ["0-0", "4-1"])


@report.check("trim")
def trim():
    fresh()
    for i in range(1, 21):
        cli("XADD", "s", "MAXLEN", "=", "15", "%d-1" % i, "n", str(i))
    equal(cli("XTRIM", "s", "MINID", "=", "10-1"), ["4"])
    equal(cli("XDEL", "s", "20-1"), ["1"])
    equal(cli("XTRIM", "s", "MAXLEN", "7"), ["3"])
    equal(cli("XLEN", "s"), ["7"])


@report.check("info")
def info():
    held()
    for words, expected in [
        (["STREAM", "s"], ["length", "4", "last-generated-id", "4-1", "entries-added"]),
        (["GROUPS", "s"], ["name", "g", "pending", "lag", "0"]),
        (["CONSUMERS", "s", "g"], ["name", "one", "pending", "4"]),
    ]:
        found = cli("XINFO", *words)
        equal([word for word in expected if word not in found], [])


@report.check("transaction")
def transaction():
    fresh()
    said, _ = start().communicate("MULTI\nXADD s 1-1 n 1\nXLEN s\nEXEC\n", timeout=30)
    equal(said.split("\n"), ["OK", "QUEUED", "QUEUED", "1-1", "1", ""])


@report.check("watch")
def watch():
    fresh()
    session = start()
    session.stdin.write("WATCH s\n")
    until("the session watches", lambda: " cmd=watch " in "".join(cli("CLIENT", "LIST")))
    cli("XADD", "s", "*", "n", "1")
    said, _ = session.communicate("MULTI\nXLEN s\nEXEC\n", timeout=30)
    equal(said, "OK\nOK\nQUEUED\n\n")


@report.check("pub-sub")
def pub_sub():
    listeners = [start("SUBSCRIBE", "news"), start("PSUBSCRIBE", "ne*")]
    until("both are heard", lambda: cli("PUBSUB", "NUMSUB", "news")[1] == "1" and cli("PUBSUB", "NUMPAT") == ["1"])
    equal(cli("PUBLISH", "news", "hello"), ["2"])
    for listener, expected in zip(listeners, [["message", "news", "hello"], ["pmessage", "ne*", "news", "hello"]]):
        lines = [listener.stdout.readline().strip() for _ in range(3 + len(expected))]
        equal(lines[3:], expected)
        listener.kill()
        listener.communicate()


@report.check("reconnect")
def reconnect():
    held()
    before = [cli("XRANGE", "s", "-", "+"), cli("XPENDING", "s", "g")]
    session = start()
    session.stdin.write("XLEN s\n")
    until("the session has asked", lambda: " cmd=xlen " in "".join(cli("CLIENT", "LIST")))
    peer.kill()
    peer.start()
    # The first command finds the connection closed, which redis-cli says; it reconnects for the next.
    said, _ = session.communicate("PING\nXLEN s\nXADD s 5-1 n 5\n", timeout=30)
    equal(said.endswith("4\n5-1\n"), True)
    equal(cli("XDEL", "s", "5-1"), ["1"])
    equal([cli("XRANGE", "s", "-", "+"), cli("XPENDING", "s", "g")], before)


@report.check("errors")
def errors():
    held()
    equal(cli("XGROUP", "CREATE", "s", "g", "$")[0], "BUSYGROUP Consumer Group name already exists")
    equal(cli("-e", "XPENDING", "s", "none", code=1), [""])
    assert cli("XPENDING", "s", "none")[0].startswith("NOGROUP No such key 's'")
    assert cli("XADD", "s", "3-1", "n", "3")[0].startswith("ERR The ID specified in XADD is equal or smaller")


def main():
    global peer
    peer = broker()
    try:
        version = subprocess.run(["redis-cli", "--version"], capture_output=True, text=True).stdout.split()[1]
        line = cli("CLIENT", "INFO")[0]
        report.who(version, "C", "RESP3" if " resp=3" in line else "RESP2")
        return run([
            connect, produce, fan_out, group_read, ack, pending, claim, autoclaim, trim, info, transaction, watch, pub_sub,
            reconnect, errors,
        ])
    finally:
        peer.stop()


if __name__ == "__main__":
    sys.exit(main())
