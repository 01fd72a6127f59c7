"""A disk that fails: failed syncs and writes by fault injection into system calls, and a disk that is really full.
FAULT_SECONDS (default 60) bounds the sweep over all calls, FAULT_SEED (default 1) is its order.

Needs strace and the right to mount a tmpfs in a mount namespace of its own (root, or unprivileged user namespaces).
Whatever cannot be run here is a failure, not a skip.
"""

import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))

from peers import Peer
from sweep import attach, sweep

FULL_DISK_MIB = 448


class Injected(Peer):
    """A broker whose system calls fail from some call on, by a tracer that is attached when it is up."""

    def __init__(self, inject, **options):
        super().__init__("alluvium", **options)
        # The segments that are made ahead are written with the same calls; let that be over.
        time.sleep(1.0)
        self.tracer = attach(self, inject)

    def stop(self):
        if self.tracer.poll() is None and self.process.poll() is not None:
            self.tracer.wait(10)
        super().stop()
        if self.tracer.poll() is None:
            self.tracer.kill()
        self.tracer.wait()


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def append_until_error(connection, most=20000):
    """Appends entries one by one: (IDs that were acknowledged, the error or the exception that ended it)."""
    acknowledged = []
    for i in range(most):
        try:
            reply = connection.call("XADD", "s", "%d-1" % (i + 1), "n", str(i))
        except (OSError, EOFError) as error:
            return acknowledged, error
        if reply[0] == "-":
            return acknowledged, reply[1].decode()
        acknowledged.append(reply[1])
    return acknowledged, None


def wait_for_end(peer, seconds):
    """The exit code of the broker, or None while it lives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if peer.process.poll() is not None:
            return peer.process.returncode
        time.sleep(0.02)
    return None


def ids_of(connection):
    return [row[1][0][1] for row in connection.call("XRANGE", "s", "-", "+")[1]]


def said_by(peer):
    with open(os.path.join(peer.directory, "server.out"), "rb") as output:
        return output.read().decode("utf-8", "replace")


def a_failing(call, fsync):
    """After a call that fails, nobody is told that a write succeeded, and nothing acknowledged is missing."""
    peer = Injected("%s:error=EIO:when=20+" % call, fsync=fsync)
    try:
        connection = peer.connect()
        acknowledged, error = append_until_error(connection)
        expect(error is not None, "%s failed and every XADD was acknowledged" % call)
        if isinstance(error, str):
            expect(error.startswith("POISONED "), "an unclear error: " + error)
            try:
                again = connection.call("XADD", "s", "*", "n", "after")
                expect(again[0] == "-", "a poisoned log took another entry: %r" % (again,))
            except (OSError, EOFError):
                pass  # It has ended already.
        code = wait_for_end(peer, 15)
        expect(code is not None, "the broker lives on with a log that it cannot write")
        expect(code != 0, "the broker ended with code 0 after a failed %s" % call)
        said = said_by(peer)
        expect(".seg: Input/output error" in said, "no message says what failed, where and why: " + said)
        peer.start()
        found = ids_of(peer.connect())
        expect(found[: len(acknowledged)] == acknowledged, "acknowledged %d, found %d" % (len(acknowledged), len(found)))
        expect(len(found) <= len(acknowledged) + 1, "entries appeared that nobody was told of")
    finally:
        peer.stop()


def failed_sync_always():
    a_failing("fdatasync", "always")


def failed_write_always():
    a_failing("pwrite64", "always")


def failed_write_everysec():
    a_failing("pwrite64", "everysec")


def a_waiting_reader_hears_of_the_failure():
    """Nobody sleeps for ever when the log is poisoned."""
    peer = Injected("fdatasync:error=EIO:when=20+", fsync="always")
    try:
        connections = [peer.connect() for _ in range(20)]
        for round_number in range(2000):
            try:
                for connection in connections:
                    connection.send("XADD", "s", "*", "n", str(round_number))
                replies = [connection.read(10) for connection in connections]
            except TimeoutError:
                raise AssertionError("a writer waits for ever")
            except (OSError, EOFError):
                break
            if any(reply[0] == "-" for reply in replies):
                break
        else:
            raise AssertionError("no write ever failed")
        expect(wait_for_end(peer, 15) not in (None, 0), "the broker did not end")
    finally:
        peer.stop()


def inside_a_small_disk(check):
    """Runs a check of this file in a mount namespace with a small tmpfs of its own."""
    with tempfile.TemporaryDirectory() as folder:
        script = 'mount -t tmpfs -o size=%dm tmpfs "$1" && exec "$2" "$3" "$4" "$1"' % FULL_DISK_MIB
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        line = unshare + ["sh", "-c", script, "sh", folder, sys.executable, os.path.abspath(__file__), check]
        ended = subprocess.run(line, timeout=300)
        expect(ended.returncode == 0, "the check inside the small disk failed")


def full_disk():
    inside_a_small_disk("--full-disk")


def filled(connection, count=0):
    """Appends behind `count` entries until the broker refuses: (entries acknowledged, the refusal)."""
    while True:
        reply = connection.call("XADD", "big", "%d-1" % (count + 1), "data", "x" * 100_000)
        if reply[0] == "-":
            return count, reply[1].decode()
        count += 1


def a_backup_has_no_room(connection, data):
    """It says so, and what there was of it is gone."""
    expect(connection.call("ALLUVIUM", "BACKUP", "full") == ("$", b"full"), "a backup is not begun")
    end = time.monotonic() + 20
    while True:
        info = connection.call("INFO", "persistence")[1].decode()
        if "backup_in_progress:0" in info:
            break
        expect(time.monotonic() < end, "a backup on a full disk does not end")
        time.sleep(0.05)
    expect("backup_last_status:err" in info and "No space left" in info, "a backup on a full disk is no error: " + info)
    expect(os.listdir(os.path.join(data, "backup")) == [], "something is left of a backup on a full disk")


def on_the_full_disk(folder):
    """A full disk refuses what grows, serves the rest, and is over as soon as there is room."""
    data = os.path.join(folder, "data")
    os.mkdir(data)
    ballast = os.path.join(folder, "ballast")
    peer = Peer("alluvium", fsync="always", directory=data)
    try:
        connection = peer.connect()
        connection.ok("XGROUP", "CREATE", "work", "g", "0", "MKSTREAM")
        for i in range(100):
            connection.ok("XADD", "work", "%d-1" % (i + 1), "n", str(i))
        connection.ok("XREADGROUP", "GROUP", "g", "c", "STREAMS", "work", ">")
        with open(ballast, "wb") as file:
            try:
                while True:
                    file.write(b"\0" * (1 << 20))
                    file.flush()
                    status = os.statvfs(folder)
                    if status.f_bavail * status.f_frsize < (40 << 20):
                        break
            except OSError:
                pass
        count, refusal = filled(connection)
        expect("full" in refusal.lower() or "no space" in refusal.lower() or "disk" in refusal.lower(), "an unclear refusal: " + refusal)
        print("    refused after %d entries: %s" % (count, refusal))
        expect(connection.call("XLEN", "big") == (":", b"%d" % count), "reads do not go on")
        expect(connection.call("XACK", "work", "g", "1-1", "2-1") == (":", b"2"), "XACK does not go on")
        expect(connection.call("XDEL", "work", "1-1") == (":", b"1"), "XDEL does not go on")
        expect(connection.call("XTRIM", "work", "MAXLEN", "=", "90") == (":", b"9"), "XTRIM does not go on")
        expect(connection.call("XGROUP", "DESTROY", "work", "nobody") == (":", b"0"), "XGROUP DESTROY does not go on")
        a_backup_has_no_room(connection, os.path.join(data, "data"))
        peer.kill()
        peer.start()
        connection = peer.connect()
        expect(connection.call("XLEN", "big") == (":", b"%d" % count), "an entry is missing after a restart on the full disk")
        expect(connection.call("XACK", "work", "g", "99-1", "100-1") == (":", b"2"), "XACK does not go on after a restart on the full disk")
        expect(connection.call("XPENDING", "work", "g")[1][0] == (":", b"96"), "a pending entry is missing after a restart on the full disk")
        count, _ = filled(connection, count)
        os.unlink(ballast)
        deadline = time.monotonic() + 20
        while connection.call("XADD", "big", "%d-1" % (count + 1), "data", "y" * 100_000)[0] == "-":
            expect(time.monotonic() < deadline, "writes do not resume when there is room")
            time.sleep(0.05)
        peer.kill()
        peer.start()
        connection = peer.connect()
        expect(connection.call("XLEN", "big") == (":", b"%d" % (count + 1)), "an acknowledged entry is missing")
        expect(connection.call("XLEN", "work") == (":", b"90"), "an acknowledged trim is missing")
        expect(connection.call("XPENDING", "work", "g")[1][0] == (":", b"96"), "an acknowledged ack is missing")
        # Full again, by the store itself; deleting must make room again.
        count, refusal = filled(connection, count + 1)
        expect(connection.call("DEL", "big") == (":", b"1"), "DEL does not go on")
        deadline = time.monotonic() + 60
        while connection.call("XADD", "after", "*", "data", "y" * 100_000)[0] == "-":
            expect(time.monotonic() < deadline, "deleting made no room")
            time.sleep(0.2)
        peer.kill()
        peer.start()
        expect(peer.connect().call("EXISTS", "big", "after") == (":", b"1"), "the deletion was lost")
    except AssertionError:
        print(said_by(peer)[-3000:])
        raise
    finally:
        peer.stop()


def every_call_in_turn():
    """The n-th call of each kind fails or kills, under load and at the start."""
    failures = sweep(float(os.environ.get("FAULT_SECONDS", "60")), int(os.environ.get("FAULT_SEED", "1")))
    expect(not failures, "%d trials failed" % len(failures))


CHECKS = [failed_sync_always, failed_write_always, failed_write_everysec, a_waiting_reader_hears_of_the_failure, full_disk,
          every_call_in_turn]


def main():
    failed = 0
    for check in CHECKS:
        start = time.monotonic()
        try:
            check()
            print("ok: %s (%.1f s)" % (check.__name__, time.monotonic() - start), flush=True)
        except (Exception, SystemExit) as error:
            failed += 1
            print("FAILED: %s: %s: %s" % (check.__name__, type(error).__name__, error), flush=True)
    print("%d passed, %d failed" % (len(CHECKS) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--full-disk"]:
        on_the_full_disk(sys.argv[2])
    else:
        sys.exit(main())
