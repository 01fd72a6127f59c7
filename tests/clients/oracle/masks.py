"""What may differ between two right answers, and by how much.

Time is the only thing that two servers are allowed to see differently: idle times, seen and active times, delivery
times, times to live and IDs made from the clock are compared with a tolerance, never ignored. The order of KEYS and
SCAN, the prose of HELP and the figures of another implementation's memory are compared as what they are: a set, a list
of subcommands, a number.
"""

import re
import time

IDLE_TOLERANCE_MS = 3000
CLOCK_ID = re.compile(rb"^(\d{13})-(\d+)$")


class Mark:
    """A masked integer: equal to another within the tolerance of its kind; -1 and -2 equal only themselves."""

    def __init__(self, kind, value):
        self.kind, self.value = kind, value

    def same(self, other):
        if self.kind == "any":
            return True
        if self.value < 0 or other.value < 0:
            return self.value == other.value
        tolerance = 4 if self.kind == "seconds" else IDLE_TOLERANCE_MS
        return abs(self.value - other.value) <= tolerance


def mark(kind, reply):
    if reply[0] != ":":
        return reply
    return ("mark", Mark(kind, int(reply[1])))


def pairs_of(reply):
    """Key and value positions of a map, or of a flat array that stands for one in RESP2."""
    return range(0, len(reply[1]) - 1, 2)


def in_map(reply, kinds):
    """Marks the values of the named fields."""
    if reply[0] not in "*%" or reply[1] is None:
        return reply
    items = list(reply[1])
    for i in pairs_of(reply):
        name = items[i][1]
        if name in kinds:
            kind = kinds[name]
            items[i + 1] = kind(items[i + 1]) if callable(kind) else mark(kind, items[i + 1])
    return (reply[0], items)


def each(reply, change):
    if reply[0] not in "*%~" or reply[1] is None:
        return reply
    return (reply[0], [change(item) for item in reply[1]])


def at(position, kind):
    def change(row):
        if row[0] != "*" or row[1] is None or len(row[1]) <= position:
            return row
        items = list(row[1])
        items[position] = mark(kind, items[position])
        return (row[0], items)

    return change


def consumer_full(consumer):
    return in_map(consumer, {
        b"seen-time": "ms", b"active-time": "ms", b"pending": lambda rows: each(rows, at(1, "ms")),
    })


def group_full(group):
    return in_map(group, {
        b"pending": lambda rows: each(rows, at(2, "ms")),
        b"consumers": lambda rows: each(rows, consumer_full),
    })


def by_bytes(reply):
    if reply[0] not in "*~" or reply[1] is None:
        return reply
    return (reply[0], sorted(reply[1], key=repr))


def info(words, reply):
    sub = words[1].upper() if len(words) > 1 else ""
    if sub == "STREAM":
        return in_map(reply, {b"radix-tree-nodes": "any", b"groups": lambda rows: each(rows, group_full)})
    if sub == "CONSUMERS":
        return each(reply, lambda row: in_map(row, {b"idle": "ms", b"inactive": "ms"}))
    return reply


def masked(words, reply):
    """The reply of a command with its time-dependent parts marked."""
    name = words[0].upper() if words else ""
    if reply[0] == "-":
        return reply
    if words[-1:] and words[-1].upper() == "HELP" and reply[0] == "*":
        # Each server explains its subcommands in its own words.
        return ("*", [line for line in reply[1] if not line[1].startswith(b"    ")])
    if name == "XINFO":
        return info(words, reply)
    if name == "XPENDING" and len(words) > 3:
        return each(reply, at(2, "ms"))
    if name in ("PTTL", "PEXPIRETIME"):
        return mark("ms", reply)
    if name in ("TTL", "EXPIRETIME"):
        return mark("seconds", reply)
    if name == "OBJECT" and words[1:2] and words[1].upper() == "IDLETIME":
        return mark("seconds", reply)
    if name == "MEMORY" and reply[0] == ":":
        return mark("any", reply)
    if name == "KEYS":
        return by_bytes(reply)
    if name == "SCAN" and reply[0] == "*" and len(reply[1]) == 2:
        return ("*", [reply[1][0], by_bytes(reply[1][1])])
    if name == "RANDOMKEY":
        return (reply[0], None if reply[1] is None else b"some key")
    return reply


def made_by_clock(value, now_ms):
    match = CLOCK_ID.match(value)
    return match is not None and abs(int(match.group(1)) - now_ms) < 120_000


def same(left, right, now_ms=None):
    """Whether two masked replies are the same answer."""
    if left[0] != right[0]:
        return False
    if left[0] == "mark":
        return left[1].same(right[1])
    a, b = left[1], right[1]
    if isinstance(a, list) and isinstance(b, list):
        now_ms = now_ms or int(time.time() * 1000)
        return len(a) == len(b) and all(same(x, y, now_ms) for x, y in zip(a, b))
    if a == b:
        return True
    if isinstance(a, bytes) and isinstance(b, bytes) and left[0] == "$":
        now_ms = now_ms or int(time.time() * 1000)
        return made_by_clock(a, now_ms) and made_by_clock(b, now_ms)
    return False
