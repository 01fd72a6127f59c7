"""The wire, read exactly: a RESP2/RESP3 connection that keeps the type and the bytes of every reply.

A client library turns `$-1` and `*-1` into the same None and a map into a dict; here they stay what they
were, because the promise is the same bytes. A reply is a tuple whose first item is its type byte:

    ('+', b'OK')  ('-', b'ERR ...')  (':', b'12')  ('$', b'bytes' or None)  ('*', [replies] or None)
    ('%', [key, value, ...])  ('~', [..])  ('>', [..])  ('_', None)  ('#', b't')  (',', b'1.5')  ('=', b'txt:..')
"""

import socket

NULL_BULK = ("$", None)
NULL_ARRAY = ("*", None)


class ProtocolError(Exception):
    """The server sent what is not RESP."""


class Short(Exception):
    """More bytes are needed."""


def encode(args):
    """One command as a multibulk request."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = to_bytes(arg)
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


def to_bytes(arg):
    if isinstance(arg, bytes):
        return arg
    return str(arg).encode("utf-8", "surrogateescape")


def parse(data, at):
    """One reply at `at`: (reply, position behind it)."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Short
    kind = chr(data[at])
    line = bytes(data[at + 1 : end])
    at = end + 2
    if kind in "+-:#,(":
        return (kind, line), at
    if kind == "_":
        return ("_", None), at
    if kind in "$=":
        length = int(line)
        if length < 0:
            return (kind, None), at
        if len(data) < at + length + 2:
            raise Short
        if data[at + length : at + length + 2] != b"\r\n":
            raise ProtocolError("a bulk string does not end in CRLF")
        return (kind, bytes(data[at : at + length])), at + length + 2
    if kind in "*~>%":
        count = int(line)
        if count < 0:
            return (kind, None), at
        items = []
        for _ in range(count * 2 if kind == "%" else count):
            item, at = parse(data, at)
            items.append(item)
        return (kind, items), at
    raise ProtocolError("unknown reply type %r" % kind)


def show(reply, depth=0):
    """A reply for people, with its type bytes."""
    kind, value = reply
    if value is None:
        return kind + "-1" if kind in "$*" else kind
    if isinstance(value, list):
        count = len(value) // 2 if kind == "%" else len(value)
        pad = "\n" + "  " * (depth + 1)
        return kind + str(count) + "".join(pad + show(item, depth + 1) for item in value)
    return kind + " " + repr(value)[1:]


class Connection:
    """A raw connection; what was read and not asked for stays in the buffer."""

    def __init__(self, port, timeout=30.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.buffer = bytearray()

    def send(self, *args):
        self.socket.sendall(encode(args))

    def send_raw(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError("the server closed the connection")
        self.buffer += data

    def read(self, timeout=None):
        """The next reply; `socket.timeout` when none comes."""
        self.socket.settimeout(self.timeout if timeout is None else timeout)
        while True:
            try:
                reply, end = parse(self.buffer, 0)
                del self.buffer[:end]
                return reply
            except (Short, IndexError):
                self._more()

    def call(self, *args):
        self.send(*args)
        return self.read()

    def ok(self, *args):
        reply = self.call(*args)
        if reply[0] == "-":
            raise RuntimeError("%r answered %r" % (args, reply))
        return reply

    def read_until(self, mark):
        """All bytes up to and including `mark`, which must be the last thing to arrive."""
        self.socket.settimeout(self.timeout)
        while not self.buffer.endswith(mark):
            self._more()
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def read_quiet(self, quiet=0.15, limit=5.0):
        """All that comes until nothing came for `quiet` seconds: (bytes, was closed)."""
        self.socket.settimeout(limit)
        out = bytes(self.buffer)
        self.buffer.clear()
        try:
            while True:
                data = self.socket.recv(1 << 16)
                if not data:
                    return out, True
                out += data
                self.socket.settimeout(quiet)
        except TimeoutError:
            return out, False
        except ConnectionResetError:
            return out, True

    def close(self):
        self.socket.close()


def parse_all(data):
    """Every reply of a complete byte stream."""
    out, at = [], 0
    while at < len(data):
        reply, at = parse(data, at)
        out.append(reply)
    return out
