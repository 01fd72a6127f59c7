"""Runs one command sequence on several servers at once and finds the first reply that is not the same.

All replies of a sequence are first compared as bytes, which is nearly always the end of it; only where the bytes
differ are they parsed, masked (`masks.py`) and compared command by command.
"""

from generate import settle
from known import RELATIONS
from masks import masked, same
from resp import encode, parse_all, to_bytes

MARK = b"the-end-of-this-sequence"


class Divergence:
    def __init__(self, peer, position, command, expected, found):
        self.peer, self.position, self.command = peer, position, command
        self.expected, self.found = expected, found

    def signature(self):
        """What makes two divergences likely the same fault."""
        def shape(reply):
            return (reply[0], reply[1] if reply[0] == "-" else None)
        name = " ".join(word.upper() for word in self.command[:2] if word.isalpha())
        return (self.peer, name, shape(self.expected), shape(self.found))


def prefix(protocol, node_entries):
    hello = [["HELLO", "3"]] if protocol == 3 else [["HELLO", "2"]]
    return [["RESET"]] + hello + [
        ["CONFIG", "SET", "stream-node-max-entries", str(node_entries)], ["FLUSHALL"], ["SELECT", "0"],
    ]


class Side:
    """One server with its connection, made again when it broke."""

    def __init__(self, peer, twist=None):
        self.peer, self.twist, self.connection = peer, twist, None

    def send(self, data):
        if self.connection is None:
            self.connection = self.peer.connect()
        self.connection.send_raw(data)

    def replies(self, mark):
        data = self.connection.read_until(mark)
        return self.twist(data) if self.twist else data

    def drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def run(sides, protocol, node_entries, commands):
    """The raw reply bytes of each side, or the exception that ended it."""
    commands = settle([list(command) for command in commands])
    before = prefix(protocol, node_entries)
    data = b"".join(encode(command) for command in before + commands + [["DISCARD"], ["ECHO", MARK]])
    mark = b"$%d\r\n%s\r\n" % (len(MARK), MARK)
    out = []
    for side in sides:
        try:
            side.send(data)
        except OSError as error:
            out.append(error)
            side.drop()
            continue
        out.append(None)
    for i, side in enumerate(sides):
        if out[i] is None:
            try:
                out[i] = side.replies(mark)
            except (OSError, EOFError) as error:
                out[i] = error
                side.drop()
    return out, len(before)


def compare(sides, protocol, node_entries, commands):
    """The first divergence of any side from the first side, or None."""
    outputs, skip = run(sides, protocol, node_entries, commands)
    if isinstance(outputs[0], Exception):
        raise RuntimeError("the reference server failed: %r" % outputs[0])
    expected = None
    for side, output in zip(sides[1:], outputs[1:]):
        if isinstance(output, bytes) and output == outputs[0]:
            continue
        if isinstance(output, Exception):
            words = ["(connection)"]
            return Divergence(side.peer.kind, len(commands), words, ("+", b"replies"), ("-", repr(output).encode()))
        expected = expected or parse_all(outputs[0])[skip:]
        found = parse_all(output)[skip:]
        # The twisted or older peer is compared as the odd one out.
        kind = "redis" if side.peer.kind == "redis" else sides[0].peer.kind
        divergence = first_difference(side.peer.kind, commands, expected, found, RELATIONS[kind])
        if divergence:
            return divergence
    return None


def first_difference(kind, commands, expected, found, relation):
    queue = []
    for i, command in enumerate(commands):
        if i >= len(found) or i >= len(expected):
            missing = ("-", b"(no reply)")
            return Divergence(kind, i, command, (expected + [missing])[i], (found + [missing])[i])
        words = [to_bytes(word).decode("latin-1") for word in command]
        left, right = expected[i], found[i]
        name = words[0].upper()
        if left == ("+", b"QUEUED"):
            queue.append(words)
        # A MULTI within another is refused, and what is queued stays.
        is_refused = name == "MULTI" and left[0] == "-"
        if name in ("EXEC", "DISCARD", "MULTI") and len(words) == 1 and left != ("+", b"QUEUED") and not is_refused:
            inner, queue = queue, []
            if name == "EXEC" and left[0] == "*" and right[0] == "*" and left[1] and right[1]:
                if len(left[1]) == len(right[1]) == len(inner):
                    rows = list(zip(inner, left[1], right[1]))
                    if any(relation.inner_parts(*row) for row in rows):
                        return None
                    if all(agree(w, x, y, relation) for w, x, y in rows):
                        continue
                    return Divergence(kind, i, command, left, right)
        if relation.parts(words, left, right):
            return None
        if not agree(words, left, right, relation):
            return Divergence(kind, i, command, left, right)
    return None


def agree(words, left, right, relation):
    if left == right or same(masked(words, left), masked(words, right)):
        return True
    return relation.may_differ(words, left, right)


def minimised(sides, protocol, node_entries, commands, divergence, tries=400):
    """A shorter sequence that still shows a divergence of the same signature."""
    wanted = divergence.signature()

    def shows(candidate):
        found = compare(sides, protocol, node_entries, candidate)
        return found is not None and found.signature() == wanted

    best = commands[: divergence.position + 1]
    if not shows(best):
        return commands
    size = max(1, len(best) // 2)
    while tries > 0:
        at, shrunk = 0, False
        while at < len(best) and tries > 0:
            candidate = best[:at] + best[at + size :]
            tries -= 1
            if candidate and shows(candidate):
                best, shrunk = candidate, True
            else:
                at += size
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return best
