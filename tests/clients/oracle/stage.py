"""A stage on which several connections act in a fixed order, and the transcript of what each of them heard."""

import time

from known import newer
from masks import masked, same
from resp import show


class Stage:
    """One run of a scenario on one server."""

    def __init__(self, peer, protocol):
        self.peer, self.protocol = peer, protocol
        self.actors, self.heard, self.started = {}, [], {}
        self.control = peer.connect(2)

    def actor(self, name):
        if name not in self.actors:
            self.actors[name] = self.peer.connect(self.protocol)
        return self.actors[name]

    def note(self, who, words, reply):
        self.heard.append((who, [str(word) for word in words], reply))

    def call(self, who, *words):
        """A command and its reply, which goes into the transcript and is returned."""
        self.actor(who).send(*words)
        self.started[who] = time.monotonic()
        return self.read(who, words)

    def calls(self, who, *lines):
        """Commands without odd characters, one a line."""
        for line in lines:
            self.call(who, *line.split(" "))

    def send(self, who, *words):
        self.actor(who).send(*words)
        self.started[who] = time.monotonic()

    def read(self, who, words=("(read)",), timeout=4.0):
        try:
            reply = self.actor(who).read(timeout)
        except TimeoutError:
            reply = ("silence", b"no reply came")
        except (EOFError, ConnectionResetError):
            reply = ("closed", b"the connection was closed")
        self.note(who, words, reply)
        return reply

    def waits(self, who, *words, clients=None):
        """Sends a command that blocks, and goes on when the server counts it among the blocked."""
        self.send(who, *words)
        self.blocked(clients)

    def blocked(self, clients):
        end = time.monotonic() + 4.0
        while clients is not None and time.monotonic() < end:
            if self.info("blocked_clients") == clients:
                return
            time.sleep(0.003)
        if clients is not None:
            self.note("(server)", ["blocked_clients"], (":", b"%d" % self.info("blocked_clients")))

    def info(self, field, section="clients"):
        text = self.control.call("INFO", section)[1].decode()
        for line in text.split("\r\n"):
            if line.startswith(field + ":"):
                value = line.split(":", 1)[1]
                return int(value) if value.isdigit() else value
        return None

    def shows(self, *fields, section="clients"):
        for field in fields:
            self.note("(server)", [field], ("info", repr(self.info(field, section)).encode()))

    def silent(self, who, seconds=0.06):
        """The connection must hear nothing for a while; what it hears goes into the transcript."""
        self.read(who, ["(silent)"], timeout=seconds)

    def late(self, who, low_ms, high_ms):
        """A reply that must come within a time since the command was sent."""
        reply = self.read(who)
        took = (time.monotonic() - self.started[who]) * 1000
        inside = low_ms <= took <= high_ms
        self.note(who, ["(deadline)"], ("in time", b"yes" if inside else b"no, after %d ms" % took))
        return reply

    def close(self, who):
        self.actors.pop(who).close()

    def end(self):
        for connection in self.actors.values():
            connection.close()
        self.control.close()


def play(peer, protocol, scenario):
    """The transcript of a scenario on a clean server."""
    stage = Stage(peer, protocol)
    try:
        for words in (["FLUSHALL"], ["CONFIG", "SET", "notify-keyspace-events", ""],
                      ["CONFIG", "SET", "stream-node-max-entries", "100"], ["CONFIG", "RESETSTAT"]):
            stage.control.ok(*words)
        scenario(stage)
        return stage.heard
    finally:
        stage.end()


def difference(expected, found):
    """The first line in which two transcripts differ, as text, or None."""
    for left, right in zip(expected, found):
        is_same = left[:2] == right[:2] and same(masked(left[1], left[2]), masked(right[1], right[2]))
        if not is_same and not (left[:2] == right[:2] and newer(left[1], left[2], right[2])):
            return "%s: %s\n  expected %s\n  found    %s" % (
                left[0], " ".join(left[1]), show(left[2]), show(right[2]))
    if len(expected) != len(found):
        return "expected %d lines, found %d" % (len(expected), len(found))
    return None
