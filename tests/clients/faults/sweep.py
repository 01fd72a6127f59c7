"""The n-th system call of each kind fails or ends the broker, under load with a consumer group; and again while it starts.

Each trial starts a broker, loads it, attaches strace with one injection, and goes on until the broker has died, has ended
by itself, or lives with what it met. Then it is killed, started without faults, and judged: everything acknowledged is
there, in order and no more than once; what is pending is what was delivered and not acked; writes are accepted. The
outcome of a command without a reply is not known, and may be either; so is that of the command which met the failing
disk (POISONED). A broker that refused one command so must refuse the next, and its load ends there.
"""

import collections
import concurrent.futures
import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))

from peers import Peer

# Small segments, so that they are made, sealed and removed all the time.
OPTIONS = ["--segment-size", "1048576", "--checkpoint-interval", "2097152"]
VALUE = "x" * 20_000
FAULTS = ["error=EIO", "error=ENOSPC", "signal=SIGKILL"]
# Which call of a thread it is. Segments are made and checkpoints taken every few hundred commands.
RUNNING = [("pwrite64", (1, 7, 40)), ("fdatasync", (1, 7, 40)), ("fsync", (1, 3)), ("fallocate", (1, 2)), ("rename", (1, 3)),
           ("unlink", (1, 3)), ("openat", (1, 4)), ("mmap", (1, 2))]
# A start does fewer of them.
STARTING = [("pwrite64", (1, 2)), ("fdatasync", (1, 2)), ("fsync", (1, 2)), ("fallocate", (1,)), ("rename", (1,)), ("unlink", (1,)),
            ("openat", (5, 12, 20)), ("mmap", (25,)), ("pread64", (1, 4))]
LOAD_SECONDS = 1.5
JOBS = 4
NOT_MET = "had no such call"


class Wrong(Exception):
    pass


class Poisoned(Exception):
    """The command was refused because the disk failed under it: its bytes may be there all the same."""


class History:
    """What one connection did and was told."""

    def __init__(self):
        self.added = []
        self.maybe_added = None
        self.deleted = set()
        self.maybe_deleted = None
        self.delivered = set()
        self.may_deliver = False
        self.acked = set()
        self.maybe_acked = set()
        self.errors = collections.Counter()
        self.is_poisoned = False
        self.next = 1
        self.accepted_after_error = False

    def entry(self):
        name = "%d-1" % self.next
        self.next += 1
        return name

    def step(self, connection, number):
        """One command; an exception leaves its outcome unknown."""
        kind = number % 8
        if kind in (0, 1, 2, 3):
            name = self.maybe_added = self.entry()
            if self.told(connection.call("XADD", "s", name, "n", VALUE)) is not None:
                self.added.append(name)
                self.accepted_after_error = bool(self.errors)
            self.maybe_added = None
        elif kind in (4, 5):
            self.may_deliver = True
            reply = self.told(connection.call("XREADGROUP", "GROUP", "g", "c", "COUNT", "3", "STREAMS", "s", ">"))
            if reply:
                self.delivered.update(row[1][0][1].decode() for row in reply[0][1][1][1])
            self.may_deliver = False
        elif kind == 6:
            names = sorted(self.delivered - self.acked, key=position)[:4]
            if names:
                self.maybe_acked = set(names)
                if self.told(connection.call("XACK", "s", "g", *names)) is not None:
                    self.acked.update(names)
                self.maybe_acked = set()
        elif number % 64 == 7:
            self.told(connection.call("BGSAVE"))
        else:
            # Old entries go, so that segments die.
            kept = [name for name in self.added if name not in self.deleted]
            if len(kept) > 200:
                name = self.maybe_deleted = kept[199]
                if self.told(connection.call("XTRIM", "s", "MINID", "=", name)) is not None:
                    self.deleted.update(kept[:199])
                self.maybe_deleted = None

    def told(self, reply):
        if reply[0] == "-":
            code = reply[1].decode().split()[0]
            if code == "POISONED":
                raise Poisoned
            self.errors[code] += 1
            return None
        return reply[1] or []


def position(name):
    return int(name.split("-")[0])


def expect(condition, what):
    if not condition:
        raise Wrong(what)


def judge(peer, history):
    """What a broker that works shows, against what was told."""
    connection = peer.connect()
    found = [row[1][0][1].decode() for row in connection.call("XRANGE", "s", "-", "+")[1]]
    expect(found == sorted(set(found), key=position), "entries are out of order or twice")
    there = set(found)
    kept = [name for name in history.added if name not in history.deleted]
    missing = [name for name in kept if name not in there]
    if history.maybe_deleted:
        missing = [name for name in missing if position(name) >= position(history.maybe_deleted)]
    expect(not missing, "acknowledged and missing: %d, from %s" % (len(missing), missing[:1]))
    extra = there - set(kept) - {history.maybe_added}
    expect(not extra, "trimmed or never acknowledged, and there: %s" % sorted(extra)[:3])
    rows = connection.call("XPENDING", "s", "g", "-", "+", "1000000")[1]
    pending = {row[1][0][1].decode() for row in rows}
    due = history.delivered - history.acked - history.maybe_acked
    expect(due <= pending, "delivered, not acked, and not pending: %s" % sorted(due - pending)[:3])
    again = pending & history.acked
    expect(not again, "acked and pending: %s" % sorted(again)[:3])
    unknown = pending - history.delivered
    expect(not unknown or history.may_deliver, "pending for no reason: %s" % sorted(unknown)[:3])
    reply = connection.call("XADD", "s", "*", "n", "service resumes")
    expect(reply[0] == "$", "the restarted broker takes no entry: %r" % (reply,))
    connection.close()
    return len(kept)


def tracing(peer, inject):
    """The words of strace for one injection; it writes down what it did."""
    call = inject.split(":")[0]
    return ["strace", "-f", "-q", "-o", os.path.join(peer.directory, "trace"), "-e", "trace=" + call, "-e", "inject=" + inject]


def is_met(peer):
    """Whether a call got the error that was to be injected."""
    with open(os.path.join(peer.directory, "trace")) as trace:
        return any("(INJECTED)" in line for line in trace)


def attach(peer, inject):
    """Traces all threads of a broker that runs. What is injected may end the broker, and so the tracer, before this returns."""
    tracer = subprocess.Popen(tracing(peer, inject) + ["-p", str(peer.process.pid)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 15
    while tracer.poll() is None and not is_traced(peer.process.pid):
        expect(time.monotonic() < end, "strace cannot attach")
        time.sleep(0.01)
    if tracer.poll() is not None:
        try:
            peer.process.wait(5)
        except subprocess.TimeoutExpired:
            raise Wrong("strace ended with code %d and the broker lives" % tracer.returncode)
    return tracer


def said(peer):
    """The last that the broker printed."""
    with open(os.path.join(peer.directory, "server.out"), errors="replace") as output:
        return output.read()[-2000:]


def is_traced(process):
    try:
        for task in os.listdir("/proc/%d/task" % process):
            with open("/proc/%d/task/%s/status" % (process, task)) as status:
                if "TracerPid:\t0\n" in status.read():
                    return False
    except (FileNotFoundError, ProcessLookupError):
        # A thread or the whole process has just ended.
        return False
    return True


def load(peer, history, seconds, numbers):
    """Commands until the time is over or the connection is; whether it is still there."""
    try:
        connection = peer.connect(timeout=10.0)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not history.is_poisoned:
            try:
                history.step(connection, next(numbers))
            except Poisoned:
                history.is_poisoned = True
                reply = connection.call("XADD", "s", "*", "n", VALUE)
                expect(reply[0] == "-" and reply[1].startswith(b"POISONED"), "it took an entry after its disk failed: %r" % (reply,))
        connection.close()
        return True
    except (OSError, EOFError):
        return False


def begun(policy):
    peer = Peer("alluvium", *OPTIONS, fsync=policy)
    connection = peer.connect()
    connection.ok("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    connection.close()
    history = History()
    return peer, history, iter(range(1 << 30))


def ended(peer, tracer, was_cut):
    """How the broker took it: killed, gave up, or lived on; it is down behind this."""
    if was_cut:
        try:
            peer.process.wait(10)
        except subprocess.TimeoutExpired:
            raise Wrong("the connection is gone and the broker lives on")
    code = peer.process.poll()
    if code is None:
        tracer.terminate()
        tracer.wait()
    peer.kill()
    tracer.wait()
    expect(code != 0, "the broker ended with code 0")
    if code is None:
        return "lived on" if is_met(peer) else NOT_MET
    return "was killed" if code == -9 else "gave up, code %d" % code


def while_running(inject, policy):
    peer, history, numbers = begun(policy)
    try:
        expect(load(peer, history, 0.3, numbers), "the broker is gone before there is a fault")
        tracer = attach(peer, inject)
        lives = load(peer, history, LOAD_SECONDS, numbers)
        if lives and history.errors["DISKFULL"] and not history.is_poisoned:
            # The fault is over: what adds data is accepted again by itself.
            end = time.monotonic() + 15
            while not history.accepted_after_error and time.monotonic() < end and lives:
                lives = load(peer, history, 0.1, numbers)
            expect(history.accepted_after_error or not lives, "writes do not resume")
        how = ended(peer, tracer, not lives)
        peer.start()
        return how, judge(peer, history)
    except Exception as error:
        raise Wrong("%s; the broker said: %s" % (error, said(peer))) from error
    finally:
        peer.stop()


def while_starting(inject, policy):
    peer, history, numbers = begun(policy)
    try:
        load(peer, history, 0.8, numbers)
        peer.kill()
        with open(os.path.join(peer.directory, "server.out"), "ab") as output:
            traced = subprocess.Popen(tracing(peer, inject) + peer.command(), stdout=output, stderr=output)
            try:
                code = traced.wait(2.0)
                how = "gave up" if code > 0 else "was killed"
            except subprocess.TimeoutExpired:
                how = "started" if is_met(peer) else NOT_MET
                children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(traced.pid)], stdout=subprocess.PIPE, text=True)
                for child in children.stdout.split():
                    os.kill(int(child), 9)
                traced.wait()
        peer.start()
        return how, judge(peer, history)
    except Exception as error:
        raise Wrong("%s; the broker said: %s" % (error, said(peer))) from error
    finally:
        peer.stop()


def trials():
    for run, table in ((while_running, RUNNING), (while_starting, STARTING)):
        for call, places in table:
            for fault in FAULTS:
                for place in places:
                    yield run, "%s:%s:when=%d" % (call, fault, place)


def attempt(trial, policy):
    run, inject = trial
    start = time.monotonic()
    try:
        how, entries = run(inject, policy)
        return trial, how, entries, None
    except (Exception, SystemExit) as error:
        return trial, "FAILED", 0, "%s %s, %s, after %.1f s: %s: %s" % (
            run.__name__, inject, policy, time.monotonic() - start, type(error).__name__, error)


def sweep(seconds, seed):
    """All trials in an order of the seed's, as many as the time allows; the number of those that failed."""
    chosen = list(trials())
    random.Random(seed).shuffle(chosen)
    policies = ["always", "everysec"]
    end = time.monotonic() + seconds
    summary = collections.Counter()
    failures, done, entries = [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        def one(numbered):
            number, trial = numbered
            if time.monotonic() > end:
                return None
            return attempt(trial, policies[number % 2])

        for outcome in pool.map(one, enumerate(chosen)):
            if outcome is None:
                continue
            (run, inject), how, kept, failure = outcome
            done += 1
            entries += kept
            call, fault, _ = inject.split(":")
            summary[(run.__name__, call, fault, how)] += 1
            if failure:
                failures.append(failure)
    for (phase, call, fault, how), count in sorted(summary.items()):
        print("    %-14s %-10s %-15s %3d %s" % (phase.replace("_", " "), call, fault, count, how))
    for failure in failures:
        print("    " + failure)
    print("    %d of %d trials, seed %d: %d entries acknowledged and kept, %d trials failed" % (
        done, len(chosen), seed, entries, len(failures)), flush=True)
    met = done - sum(count for (*_, how), count in summary.items() if how == NOT_MET)
    if met * 2 < done or done < 10:
        failures.append("only %d of %d trials met their fault" % (met, done))
        print("    " + failures[-1], flush=True)
    return failures


if __name__ == "__main__":
    time_allowed = float(sys.argv[1]) if len(sys.argv) > 1 else 1e9
    sys.exit(1 if sweep(time_allowed, int(sys.argv[2]) if len(sys.argv) > 2 else 1) else 0)
