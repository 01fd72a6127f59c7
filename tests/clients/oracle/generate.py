"""Random command sequences over everything that the broker speaks, from a seed.

The domains are small on purpose (a few keys, groups, consumers, IDs), so that commands meet each other; a rough
memory of the last ID keeps most XADDs valid. A share of all commands is damaged afterwards: an argument dropped,
doubled, exchanged or replaced, which is where wrong arity, bad IDs and the other error paths come from. Nothing
here depends on the clock, save what `masks.py` compares with a tolerance.
"""

import random

KEYS = ["a", "b", "c", "d"]
GROUPS = ["g1", "g2", "g3"]
CONSUMERS = ["alice", "bob", "carol"]
TOP = "18446744073709551615"
JUNK = [
    "", "0", "1", "-1", "3", "abc", "*", "-", "+", "$", ">", "1-", "-1-1", "1-2-3", "1-*", "0-*", "0-0", "(1-1", "(",
    "01-02", "+1-1", " 1", "1.5", "1-" + TOP, TOP, TOP + "6", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "COUNT", "BLOCK", "STREAMS", "MAXLEN", "MINID", "~", "=", "LIMIT", "NOMKSTREAM", "GROUP",
    "NOACK", "JUSTID", "FORCE", "IDLE", "FULL", "x" * 128, "1" * 127, "9" * 20 + "-1", "\r\n", "\udcff\x01",
]
RELATIVE = {"EXPIRE", "PEXPIRE"}


class Generator:
    def __init__(self, seed, newest=False):
        """`newest`: with the commands and options of Redis 8.2."""
        self.rng = random.Random(seed)
        self.newest = newest
        self.node_entries = self.rng.choice([1, 2, 3, 5, 10, 100, 100])
        self.last = {}
        self.many = self.rng.random() < 0.15
        self.moves = self.rng.random() < 0.3
        self.choices = self.weights()

    # The pieces.

    def key(self):
        r = self.rng.random()
        return "missing" if r < 0.03 else self.rng.choice(KEYS[:2] if r < 0.7 else KEYS)

    def group(self):
        r = self.rng.random()
        return "nobody" if r < 0.03 else self.rng.choice(GROUPS[:1] if r < 0.6 else GROUPS)

    def consumer(self):
        return self.rng.choice(CONSUMERS)

    def small_id(self, key=None):
        """An ID near those that exist."""
        ms, seq = self.last.get(key, (4, 2))
        r = self.rng.random()
        if r < 0.15:
            return str(self.rng.randint(0, ms + 1))
        if r < 0.2:
            return "0"
        low = max(0, ms - 12)
        return "%d-%d" % (self.rng.randint(low, ms + 1), self.rng.randint(0, 3))

    def interval_id(self, key=None, start=True):
        r = self.rng.random()
        if r < 0.35:
            return "-" if start else "+"
        if r < 0.4:
            return "+" if start else "-"
        if r < 0.55:
            return "(" + self.small_id(key)
        if r < 0.58:
            return self.rng.choice(["(-", "(+", "(" + TOP + "-" + TOP, "(0-0", "0-0", TOP + "-" + TOP])
        return self.small_id(key)

    def count(self):
        return self.rng.choice(["1", "2", "3", "5", "10", "100", "0", "-1"] + ["2", "10"] * 3)

    def ids(self, key, most=4):
        return [self.small_id(key) for _ in range(self.rng.randint(1, most))]

    def fields(self):
        out = []
        for i in range(self.rng.choice([1, 1, 1, 2, 3])):
            r = self.rng.random()
            value = "v%d" % self.rng.randint(0, 99)
            if r < 0.02:
                value = ""
            elif r < 0.04:
                value = "\udcff\x00\r\n\udc80"
            elif r < 0.045:
                value = "w" * self.rng.choice([63, 64, 1000, 20000])
            out += ["f%d" % i, value]
        return out

    def maybe(self, chance, *args):
        return list(args) if self.rng.random() < chance else []

    def cased(self, word):
        return word if self.rng.random() < 0.8 else self.rng.choice([word.lower(), word.capitalize()])

    # The stream commands.

    def next_id(self, key):
        ms, seq = self.last.get(key, (0, 0))
        r = self.rng.random()
        if r < 0.06:
            return self.small_id(key)
        if r < 0.16:
            if ms == 0 and seq == 0:
                seq = 0
            self.last[key] = (ms, seq + 1)
            return "%d-*" % ms
        if r < 0.17:
            return "9999999999999-*"
        if r < 0.175:
            # From here on `*` is last + 1 on every server.
            self.last[key] = (9999999999999, 5)
            return "9999999999999-5"
        if r < 0.18:
            return self.rng.choice(["0-0", "0-*", TOP + "-" + TOP, TOP + "-*", "5-" + TOP])
        if ms > 4102444800000 and r < 0.5:
            self.last[key] = (ms, seq + 1)
            return "*"
        if r < 0.5:
            self.last[key] = (ms, seq + 1)
        else:
            self.last[key] = (ms + self.rng.randint(1, 3), self.rng.randint(0, 2))
        return "%d-%d" % self.last[key]

    def trim(self, key):
        strategy = self.rng.choice(["MAXLEN", "MAXLEN", "MINID"])
        how = self.rng.choice([[], ["="], ["~"], ["~"]])
        threshold = str(self.rng.randint(0, 30)) if strategy == "MAXLEN" else self.small_id(key)
        limit = []
        if self.rng.random() < (0.5 if how == ["~"] else 0.04):
            limit = ["LIMIT", self.rng.choice(["0", "1", "2", "5", "10", "100", "-1"])]
        words = [self.cased(strategy)] + how + [threshold] + limit
        if self.newest and self.rng.random() < 0.5:
            # Before 8.2.7, DELREF and ACKED hardly trimmed when the trimming was approximate.
            policy = self.policy() if how != ["~"] else ["KEEPREF"]
            words = policy + words if self.rng.random() < 0.5 else words + policy
        return words

    def policy(self):
        return [self.cased(self.rng.choice(["KEEPREF", "DELREF", "DELREF", "ACKED", "ACKED"]))]

    def xadd(self):
        key = self.key()
        out = ["XADD", key] + self.maybe(0.06, self.cased("NOMKSTREAM"))
        if self.rng.random() < 0.12:
            out += self.trim(key)
        out += self.maybe(0.02, "NOMKSTREAM")
        return out + [self.next_id(key)] + self.fields()

    def xadd_run(self):
        """Several in a row, so that nodes fill."""
        key = self.key()
        return [
            ["XADD", key, self.next_id(key)] + self.fields()
            for _ in range(self.rng.choice([3, 5, 10, 30 if self.many else 6]))
        ]

    def xlen(self):
        return ["XLEN", self.key()]

    def xrange(self):
        key = self.key()
        name = self.rng.choice(["XRANGE", "XREVRANGE"])
        ends = [self.interval_id(key, True), self.interval_id(key, False)]
        if name == "XREVRANGE":
            ends.reverse()
        return [name, key] + ends + self.maybe(0.4, self.cased("COUNT"), self.count())

    def streams(self, ids):
        keys = [self.key() for _ in range(self.rng.choice([1, 1, 1, 2, 3]))]
        return [self.cased("STREAMS")] + keys + [ids(key) for key in keys]

    def block(self, chance):
        return self.maybe(chance, self.cased("BLOCK"), self.rng.choice(["1", "2", "-1", "1.5"] + ["1"] * 8))

    def read_id(self, key):
        r = self.rng.random()
        if r < 0.1:
            return "$"
        if r < 0.16:
            return "+"
        if r < 0.17:
            return self.rng.choice([">", "-"])
        return "0" if r < 0.5 else self.small_id(key)

    def xread(self):
        out = ["XREAD"] + self.maybe(0.5, "COUNT", self.count()) + self.block(0.05)
        out += self.maybe(0.01, "NOACK") + self.maybe(0.01, "GROUP", "g1", "bob")
        return out + self.streams(self.read_id)

    def group_read_id(self, key):
        r = self.rng.random()
        if r < 0.7:
            return ">"
        if r < 0.72:
            return self.rng.choice(["$", "+", "-"])
        return "0" if r < 0.9 else self.small_id(key)

    def xreadgroup(self):
        out = ["XREADGROUP", "GROUP", self.group(), self.consumer()]
        out += self.maybe(0.6, "COUNT", self.count()) + self.block(0.04)
        out += self.maybe(0.12, self.cased("NOACK"))
        return out + self.streams(self.group_read_id)

    def xdel(self):
        key = self.key()
        return ["XDEL", key] + self.ids(key)

    def ids_block(self, key):
        ids = self.ids(key)
        count = len(ids) if self.rng.random() < 0.95 else self.rng.choice([0, -1, len(ids) - 1, len(ids) + 1, "x"])
        return ["IDS", str(count)] + ids

    def with_policy(self, words):
        if self.rng.random() < 0.3:
            return words
        return self.policy() + words if self.rng.random() < 0.7 else words + self.policy()

    def xdelex(self):
        key = self.key()
        return ["XDELEX", key] + self.with_policy(self.ids_block(key))

    def xackdel(self):
        key = self.key()
        return ["XACKDEL", key, self.group()] + self.with_policy(self.ids_block(key))

    def xtrim(self):
        key = self.key()
        return ["XTRIM", key] + self.trim(key)

    def xsetid(self):
        key = self.key()
        out = ["XSETID", key, self.small_id(key)]
        out += self.maybe(0.5, "ENTRIESADDED", self.rng.choice(["0", "5", "100", "-1"]))
        return out + self.maybe(0.4, "MAXDELETEDID", self.rng.choice(["0-0", self.small_id(key)]))

    def cursor(self, key):
        r = self.rng.random()
        if r < 0.45:
            return "0"
        return "$" if r < 0.6 else "-" if r < 0.62 else "+" if r < 0.64 else self.small_id(key)

    def entries_read(self):
        return self.maybe(0.3, "ENTRIESREAD", self.rng.choice(["0", "1", "3", "-1", "-2", "100"]))

    def xgroup_create(self):
        key = self.key()
        mkstream = self.maybe(0.6, self.cased("MKSTREAM"))
        return ["XGROUP", "CREATE", key, self.group(), self.cursor(key)] + mkstream + self.entries_read()

    def xgroup_other(self):
        key = self.key()
        which = self.rng.random()
        if which < 0.4:
            return ["XGROUP", "SETID", key, self.group(), self.cursor(key)] + self.entries_read()
        if which < 0.6:
            return ["XGROUP", "CREATECONSUMER", key, self.group(), self.consumer()]
        if which < 0.8:
            return ["XGROUP", "DELCONSUMER", key, self.group(), self.consumer()]
        if which < 0.97:
            return ["XGROUP", "DESTROY", key, self.group()]
        return self.rng.choice([["XGROUP", "HELP"], ["XGROUP", "NONSENSE", key], ["XGROUP", "CREATE", key]])

    def xack(self):
        key = self.key()
        return ["XACK", key, self.group()] + self.ids(key)

    def min_idle(self):
        return self.rng.choice(["0", "0", "0", "50000", "500000", "-1"])

    def xclaim(self):
        key = self.key()
        out = ["XCLAIM", key, self.group(), self.consumer(), self.min_idle()] + self.ids(key)
        options = [
            self.maybe(0.3, "IDLE", self.rng.choice(["0", "10000", "100000", "1000000", "-5"])),
            self.maybe(0.1, "TIME", self.rng.choice(["1", "1700000000000", "99999999999999", "0"])),
            self.maybe(0.3, "RETRYCOUNT", self.rng.choice(["0", "1", "7", "-1"])),
            self.maybe(0.3, self.cased("FORCE")),
            self.maybe(0.3, self.cased("JUSTID")),
            self.maybe(0.15, "LASTID", self.small_id(key)),
        ]
        self.rng.shuffle(options)
        return out + [word for option in options for word in option]

    def xautoclaim(self):
        key = self.key()
        out = ["XAUTOCLAIM", key, self.group(), self.consumer(), self.min_idle(), self.interval_id(key)]
        return out + self.maybe(0.5, "COUNT", self.count()) + self.maybe(0.3, self.cased("JUSTID"))

    def xpending(self):
        key = self.key()
        out = ["XPENDING", key, self.group()]
        if self.rng.random() < 0.3:
            return out
        out += self.maybe(0.3, "IDLE", self.rng.choice(["0", "50000", "-1"]))
        out += [self.interval_id(key, True), self.interval_id(key, False), self.count()]
        return out + self.maybe(0.3, self.consumer())

    def xinfo(self):
        key = self.key()
        r = self.rng.random()
        if r < 0.3:
            return ["XINFO", "STREAM", key]
        if r < 0.55:
            return ["XINFO", "STREAM", key, self.cased("FULL")] + self.maybe(0.5, "COUNT", self.count())
        if r < 0.75:
            return ["XINFO", "GROUPS", key]
        if r < 0.97:
            return ["XINFO", "CONSUMERS", key, self.group()]
        return self.rng.choice([["XINFO", "HELP"], ["XINFO", "NONSENSE"], ["XINFO", "STREAM"], ["XINFO"]])

    # Keys, expiry, transactions.

    def keys(self):
        k, other, db = self.key(), self.key(), self.rng.choice(["0", "1", "2", "15", "16", "-1"])
        return self.rng.choice([
            ["DEL", k], ["DEL", k, other, k], ["UNLINK", k], ["EXISTS", k, other, k], ["TYPE", k], ["TOUCH", k, other],
            ["RENAME", k, other], ["RENAMENX", k, other], ["COPY", k, other], ["COPY", k, other, "REPLACE"],
            ["COPY", k, other, "DB", db] + self.maybe(0.3, "REPLACE"), ["KEYS", self.rng.choice(["*", "?", "[ab]", "m*", "[^a]"])],
            ["SCAN", "0", "COUNT", "1000"] + self.maybe(0.3, "MATCH", "[a-c]") + self.maybe(0.3, "TYPE", "stream"),
            ["DBSIZE"], ["RANDOMKEY"], ["OBJECT", "ENCODING", k], ["OBJECT", "REFCOUNT", k], ["OBJECT", "IDLETIME", k],
            ["OBJECT", "FREQ", k], ["MEMORY", "USAGE", k], ["GET", k], ["ECHO", "hello"], ["PING"], ["PING", "x"],
            ["NONSENSE", k, "x y"], ["TYPE"], ["OBJECT", "NONSENSE", k], ["OBJECT", "HELP"], ["MEMORY", "USAGE"],
            ["EXISTS"], ["XADD", k], ["XREAD"], ["SCAN", "abc"], ["SCAN", "0", "TYPE", "string"], ["SELECT", "abc"],
        ])

    def databases(self):
        k, db = self.key(), self.rng.choice(["0", "1", "1", "2", "16", "-1", "x"])
        return self.rng.choice([
            ["MOVE", k, db], ["SWAPDB", self.rng.choice(["0", "1", "2", "16"]), db], ["SELECT", db], ["SELECT", "0"],
            ["COPY", k, k, "DB", db], ["FLUSHDB"] if self.rng.random() < 0.3 else ["DBSIZE"],
        ])

    def expiry(self):
        k = self.key()
        return self.rng.choice([
            ["EXPIRE", k, self.rng.choice(["100", "1000", "-1", "0", "9223372036854775807", "x"])] + self.condition(),
            ["PEXPIRE", k, self.rng.choice(["100000", "1000000", "-5"])] + self.condition(),
            ["EXPIREAT", k, self.rng.choice(["9999999999", "9999999990", "1", "0"])] + self.condition(),
            ["PEXPIREAT", k, self.rng.choice(["9999999999000", "9999999999500", "1"])] + self.condition(),
            ["TTL", k], ["PTTL", k], ["EXPIRETIME", k], ["PEXPIRETIME", k], ["PERSIST", k], ["TTL", k], ["PERSIST", k],
        ])

    def condition(self):
        out = self.maybe(0.4, self.rng.choice(["NX", "XX", "GT", "LT", "gt", "ZZ"]))
        return out + self.maybe(0.05, self.rng.choice(["NX", "LT", "XX"]))

    def transaction(self):
        inner = [self.one() for _ in range(self.rng.randint(0, 6))]
        out = []
        if self.rng.random() < 0.3:
            out.append(["WATCH", self.key(), self.key()])
            if self.rng.random() < 0.4:
                out.append(self.one())
            if self.rng.random() < 0.1:
                out.append(["UNWATCH"])
        out.append(["MULTI"])
        for command in inner:
            if command[0] in ("XREAD", "XREADGROUP") and self.rng.random() < 0.5:
                command[1:1] = ["BLOCK", "0"] if command[0] == "XREAD" else []
            out.append(command)
        if self.rng.random() < 0.03:
            out.append(self.rng.choice([["MULTI"], ["WATCH", "a"]]))
        out.append(["DISCARD"] if self.rng.random() < 0.08 else ["EXEC"])
        return out

    def stray(self):
        return self.rng.choice([["EXEC"], ["DISCARD"], ["UNWATCH"], ["MULTI", "x"], ["EXEC", "x"]])

    # A sequence.

    def weights(self):
        table = [
            (18, self.xadd), (5, self.xadd_run), (2, self.xlen), (7, self.xrange), (6, self.xread),
            (14, self.xreadgroup), (5, self.xdel), (4, self.xtrim), (2, self.xsetid), (6, self.xgroup_create),
            (5, self.xgroup_other), (6, self.xack), (6, self.xclaim), (5, self.xautoclaim), (6, self.xpending),
            (6, self.xinfo), (4, self.keys), (2, self.expiry), (2 if self.moves else 0, self.databases),
            (3, self.transaction), (0.2, self.stray),
        ]
        if self.newest:
            table += [(7, self.xdelex), (8, self.xackdel)]
        return [row[1] for row in table], [row[0] for row in table]

    def one(self):
        """A single command, for the inside of a transaction."""
        while True:
            made = self.rng.choices(*self.choices)[0]()
            if made and isinstance(made[0], str):
                return self.damaged(made)

    def damaged(self, command):
        if self.rng.random() > 0.04:
            return command
        command = list(command)
        at = self.rng.randrange(len(command))
        how = self.rng.random()
        if how < 0.25 and at > 0:
            del command[at]
        elif how < 0.4:
            command.insert(at + 1, command[at])
        elif how < 0.55 and len(command) > 2:
            other = self.rng.randrange(1, len(command))
            at = max(at, 1)
            command[at], command[other] = command[other], command[at]
        elif how < 0.65:
            command.append(self.rng.choice(JUNK))
        elif at > 0:
            command[at] = self.rng.choice(JUNK)
        return command

    def sequence(self, length):
        out = [["XGROUP", "CREATE", "a", "g1", "0", "MKSTREAM"]] if self.rng.random() < 0.7 else []
        while len(out) < length:
            made = self.rng.choices(*self.choices)[0]()
            if isinstance(made[0], str):
                out.append(self.damaged(made))
            else:
                out += made
            if self.rng.random() < 0.004:
                out.append(["DEBUG", "RELOAD"])
        out += [["DISCARD"], ["SELECT", "0"]]
        for key in KEYS:
            out.append(["XINFO", "STREAM", key, "FULL", "COUNT", "0"])
        out += [["SELECT", "1"], ["KEYS", "*"], ["XINFO", "STREAM", "a", "FULL"], ["XINFO", "STREAM", "b", "FULL"]]
        return settle(out)


def is_small_int(text, most):
    return text.lstrip("+-").isdigit() and len(text) < 7 and 0 <= int(text) <= most


def settle(commands):
    """Makes what would wait for ever, or race with the clock, harmless."""
    in_multi = False
    for command in commands:
        name = command[0].upper()
        if name == "MULTI" and len(command) == 1:
            in_multi = True
        elif name == "EXEC" or (name == "DISCARD" and len(command) == 1):
            in_multi = False
        if name in ("XREAD", "XREADGROUP"):
            for i, word in enumerate(command[:-1]):
                following = command[i + 1]
                if word.upper() == "BLOCK" and (following.isdigit() or following.strip().lstrip("+").isdigit()):
                    if not in_multi or int(following) not in (0, 1, 2):
                        command[i + 1] = "1"
        if name in RELATIVE and len(command) > 2 and is_small_int(command[2], 99) and int(command[2]) > 0:
            command[2] = "100000"
        if name == "WAIT" or name == "SHUTDOWN":
            command[:] = ["PING"]
    return commands


def generate(seed, length=40, newest=False):
    """The sequence of a seed: (stream-node-max-entries, commands)."""
    maker = Generator(seed, newest)
    return maker.node_entries, maker.sequence(length)
