"""Pub/sub, keyspace events, connections and administration: each function is one scenario for a `Stage`.

A scenario in which Valkey 9 departed from Redis 7.2 is compared with Redis instead (`like_redis`).
"""

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


@scenario
def subscribe_and_publish(s):
    s.call("a", "SUBSCRIBE", "news", "sport")
    s.read("a")
    s.call("b", "PSUBSCRIBE", "n?w[rst]", "other*")
    s.read("b")
    s.call("w", "PUBLISH", "news", "hello")
    s.read("a")
    s.read("b")
    s.calls("w", "PUBLISH nobody x", "PUBSUB CHANNELS", "PUBSUB CHANNELS ne*", "PUBSUB NUMPAT", "PUBSUB NUMSUB news nobody",
            "PUBSUB NUMSUB", "PUBSUB NONSENSE", "PUBSUB HELP", "PUBLISH x")
    s.call("a", "UNSUBSCRIBE", "news")
    s.call("a", "UNSUBSCRIBE")
    s.call("a", "UNSUBSCRIBE")
    s.call("b", "PUNSUBSCRIBE")
    s.read("b")
    s.call("b", "PUNSUBSCRIBE", "x")
    s.call("w", "PUBLISH", "news", "again")
    s.silent("a")
    s.call("a", "PING")


@scenario
def commands_of_a_subscriber(s):
    s.call("a", "SUBSCRIBE", "c")
    for words in (["PING"], ["PING", "x"], ["XLEN", "s"], ["GET", "s"], ["XADD", "s", "1-1", "f", "v"], ["NONSENSE"],
                  ["MULTI"], ["EXEC"], ["SUBSCRIBE"], ["SUBSCRIBE", "c"], ["SELECT", "1"]):
        s.call("a", *words)
    s.call("a", "PUBLISH", "c", "to myself")
    s.silent("a")
    s.call("a", "RESET")
    s.call("a", "PING")


@scenario
def subscribing_in_a_transaction(s):
    s.calls("a", "MULTI", "SUBSCRIBE c", "PING", "EXEC")
    s.silent("a")


@scenario
def a_message_in_a_transaction(s):
    s.call("a", "SUBSCRIBE", "c")
    s.calls("w", "MULTI", "PUBLISH c 1", "PUBLISH c 2", "EXEC")
    s.read("a")
    s.read("a")


def like_redis(function):
    function.reference = "redis"
    return scenario(function)


EVENTS = """XADD s 1-1 f v|XADD s 2-1 f v|XADD s MAXLEN 1 3-1 f v|XADD s NOMKSTREAM 4-1 f v|XADD t NOMKSTREAM 4-1 f v
XTRIM s MAXLEN 0|XTRIM s MAXLEN 0|XADD s 5-1 f v|XDEL s 5-1|XDEL s 5-1|XSETID s 9-9|XGROUP CREATE s g 0|XGROUP SETID s g 0
XGROUP CREATECONSUMER s g c|XGROUP CREATECONSUMER s g c|XADD s 10-1 f v|XREADGROUP GROUP g c STREAMS s >
XREADGROUP GROUP g d STREAMS s >|XREADGROUP GROUP g e STREAMS s 0|XCLAIM s g f 0 10-1|XCLAIM s g h 0 99-1|XAUTOCLAIM s g i 0 -
XACK s g 10-1|XGROUP DELCONSUMER s g c|XGROUP DELCONSUMER s g c|XGROUP DESTROY s g|XGROUP DESTROY s g|XGROUP CREATE m g $ MKSTREAM
EXPIRE s 100|PEXPIRE s 100000|EXPIREAT s 9999999999|PERSIST s|PERSIST s|RENAME s u|RENAMENX u s|COPY s u|COPY s u REPLACE
MOVE u 1|DEL s|DEL s|XADD s 1-1 f v|UNLINK s|XADD s 1-1 f v
MULTI|XADD s 2-1 f v|DEL s|EXEC|XADD s MINID 5 3-1 f v|XADD s MAXLEN ~ 1 6-1 f v|SWAPDB 0 1|XADD s 1-1 f v|SWAPDB 0 1
SELECT 1|XADD z 1-1 f v|SELECT 0|TOUCH s|XINFO STREAM s|RENAME m m|GET nothing|XLEN nothing|FLUSHDB|XLEN s"""


def listening(flags):
    def play(s):
        s.calls("w", "CONFIG SET notify-keyspace-events " + flags, "CONFIG GET notify-keyspace-events")
        s.call("a", "PSUBSCRIBE", "__key*__:*")
        for line in EVENTS.replace("\n", "|").split("|"):
            s.call("w", *line.split(" "))
        s.call("w", "PUBLISH", "__keyend__:", "end")
        while True:
            reply = s.read("a", timeout=1.0)
            if reply[0] in ("silence", "closed") or reply[1][-1] == ("$", b"end"):
                break
    play.__name__ = "keyspace_events_" + flags
    SCENARIOS.append(play)


for flags in ("KEA", "Kt", "Eg", "EA", "KEtn", "KEm", "KExd"):
    listening(flags)


@scenario
def restoring_tells_and_wakes(s):
    s.calls("w", "CONFIG SET notify-keyspace-events KEAnm", "XADD s 1-1 f v", "XGROUP CREATE s g $", "COPY s more",
            "XADD more 2-1 f v")
    payload, more = s.actor("w").call("DUMP", "s")[1], s.actor("w").call("DUMP", "more")[1]
    restores = [["t", "0", payload], ["t", "0", payload], ["t", "0", payload, "REPLACE"], ["t", "100000", payload, "REPLACE"],
                ["t", "1", payload, "REPLACE", "ABSTTL"], ["t", "1", payload, "ABSTTL"], ["t", "0", payload[:-1]]]
    s.call("a", "PSUBSCRIBE", "__key*__:*")
    for words in restores:
        s.note("w", ["RESTORE"] + words[:2] + words[3:], s.actor("w").call("RESTORE", *words))
    s.calls("w", "DUMP none", "PUBLISH __keyend__: end")
    while True:
        reply = s.read("a", timeout=1.0)
        if reply[0] in ("silence", "closed") or reply[1][-1] == ("$", b"end"):
            break
    s.waits("b", "XREAD", "BLOCK", "0", "STREAMS", "u", "0", clients=1)
    s.call("x", "WATCH", "u")
    s.note("w", ["RESTORE", "u"], s.actor("w").call("RESTORE", "u", "0", payload))
    s.read("b")
    s.calls("x", "MULTI", "PING", "EXEC")
    s.waits("c", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">", clients=1)
    s.note("w", ["RESTORE", "s"], s.actor("w").call("RESTORE", "s", "0", payload, "REPLACE"))
    s.silent("c")
    s.note("w", ["RESTORE", "s", "(more)"], s.actor("w").call("RESTORE", "s", "0", more, "REPLACE"))
    s.read("c")


@like_redis
def a_time_in_the_past_deletes(s):
    s.call("w", "CONFIG", "SET", "notify-keyspace-events", "KEA")
    s.call("a", "PSUBSCRIBE", "__key*__:*")
    for line in ("XADD s 1-1 f v", "EXPIRE s -1", "XADD s 1-1 f v", "PEXPIREAT s 1", "XADD s 1-1 f v", "EXPIRE s 0"):
        s.call("w", *line.split(" "))
    for _ in range(12):
        s.read("a", timeout=0.5)


@scenario
def an_expired_key_is_announced(s):
    s.call("w", "CONFIG", "SET", "notify-keyspace-events", "Ex")
    s.call("a", "SUBSCRIBE", "__keyevent@0__:expired")
    s.calls("w", "XADD s 1-1 f v", "PEXPIRE s 40")
    s.read("a")
    s.calls("w", "EXISTS s", "XADD s 1-1 f v", "TTL s")


@scenario
def wrong_event_flags(s):
    s.calls("w", "CONFIG SET notify-keyspace-events Z", "CONFIG SET notify-keyspace-events AKE",
            "CONFIG GET notify-keyspace-events", "CONFIG SET notify-keyspace-events KEg$lshzxetdm",
            "CONFIG GET notify-keyspace-events", "CONFIG SET notify-keyspace-events gK", "CONFIG GET notify-keyspace-events")


@scenario
def greetings(s):
    def fields(*words):
        reply = s.actor("h").call(*words)
        if reply[0] in "*%":
            items = [item for item in reply[1]]
            for i in range(0, len(items), 2):
                if items[i][1] in (b"server", b"version", b"id"):
                    items[i + 1] = (items[i + 1][0], b"masked")
                if items[i][1] == b"modules":
                    items[i + 1] = (items[i + 1][0], b"masked")
                if items[i][1] == b"availability_zone":
                    items[i : i + 2] = []
                    break
            reply = (reply[0], items)
        s.note("h", words, reply)
    for words in (["HELLO"], ["HELLO", "3"], ["HELLO", "2"], ["HELLO", "4"], ["HELLO", "1"], ["HELLO", "abc"],
                  ["HELLO", "3", "SETNAME", "joe"], ["HELLO", "3", "SETNAME"], ["HELLO", "3", "NONSENSE"],
                  ["HELLO", "3", "AUTH", "default", "x"], ["HELLO", "3", "AUTH", "nobody", "x"], ["HELLO", "2", "SETNAME", "a b"],
                  ["HELLO", "3", "AUTH", "x"], ["HELLO", "3", "SETNAME", "jane", "SETNAME", "jack"]):
        fields(*words)
        s.call("h", "CLIENT", "GETNAME")


@like_redis
def an_unknown_command_before_the_password(s):
    s.call("w", "CONFIG", "SET", "requirepass", "secret")
    newcomer = s.peer.connect(2)
    s.note("newcomer", ["NONSENSE"], newcomer.call("NONSENSE", "x"))
    newcomer.close()
    s.control.call("CONFIG", "SET", "requirepass", "")


@scenario
def passwords(s):
    s.calls("w", "AUTH x", "AUTH default x", "AUTH nobody x", "AUTH", "AUTH a b c")
    s.call("w", "CONFIG", "SET", "requirepass", "secret")
    try:
        newcomer = s.peer.connect(2)
        for words in (["PING"], ["XADD", "s", "1-1", "f", "v"], ["HELLO", "3"], ["AUTH", "wrong"],
                      ["AUTH", "default", "wrong"], ["AUTH", "nobody", "secret"], ["HELLO", "2", "AUTH", "default", "no"],
                      ["CLIENT", "ID"], ["MULTI"], ["EXEC"], ["RESET"], ["COMMAND", "COUNT"], ["AUTH", "secret"], ["XLEN", "s"],
                      ["AUTH", "default", "secret"], ["RESET"], ["PING"]):
            s.note("newcomer", words, newcomer.call(*words))
        newcomer.close()
    finally:
        s.control.call("CONFIG", "SET", "requirepass", "")


@scenario
def client_names_and_options(s):
    s.calls("c", "CLIENT GETNAME", "CLIENT SETNAME joe", "CLIENT GETNAME", "CLIENT SETINFO LIB-NAME redis-py",
            "CLIENT SETINFO LIB-VER 1.2", "CLIENT SETINFO NONSENSE x", "CLIENT NO-EVICT on", "CLIENT NO-EVICT maybe",
            "CLIENT NO-TOUCH on", "CLIENT NO-TOUCH off", "CLIENT NONSENSE", "CLIENT", "CLIENT KILL 1.2.3.4:5",
            "CLIENT KILL TYPE nonsense", "CLIENT KILL NONSENSE x", "CLIENT KILL ID 99999", "CLIENT LIST TYPE nonsense",
            "CLIENT REPLY NONSENSE", "CLIENT SETNAME joe", "CLIENT UNBLOCK")
    s.call("c", "CLIENT", "SETNAME", "a b")
    s.call("c", "CLIENT", "SETNAME", "")
    s.call("c", "CLIENT", "GETNAME")


@like_redis
def wrong_client_ids(s):
    s.calls("c", "CLIENT KILL ID abc", "CLIENT KILL ID 0", "CLIENT KILL ID -1", "CLIENT LIST ID abc")


@scenario
def client_replies_can_be_switched_off(s):
    for words in (["CLIENT", "REPLY", "OFF"], ["PING"], ["XADD", "s", "1-1", "f", "v"], ["NONSENSE"]):
        s.send("c", *words)
    s.silent("c")
    s.call("c", "CLIENT", "REPLY", "ON")
    s.send("c", "CLIENT", "REPLY", "SKIP")
    s.send("c", "PING")
    s.call("c", "XLEN", "s")


@scenario
def client_fields(s):
    def names(*words):
        reply = s.actor("c").call(*words)
        text = reply[1][4:] if reply[0] == "=" else reply[1]
        known = {b"id", b"addr", b"laddr", b"fd", b"name", b"age", b"idle", b"flags", b"db", b"sub", b"psub", b"multi",
                 b"cmd", b"user", b"resp", b"lib-name", b"lib-ver", b"qbuf", b"obl", b"oll", b"omem", b"tot-mem", b"events", b"redir"}
        found = [pair.split(b"=")[0] for pair in text.split(b"\n")[0].split(b" ")]
        s.note("c", list(words) + ["(fields)"], (reply[0], b" ".join(name for name in found if name in known)))
    s.call("c", "CLIENT", "SETNAME", "joe")
    names("CLIENT", "INFO")
    names("CLIENT", "LIST")
    for wanted in (b"name=", b"db=", b"sub=", b"psub=", b"multi=", b"cmd=", b"user=", b"resp="):
        text = s.actor("c").call("CLIENT", "INFO")[1]
        at = text.find(wanted)
        s.note("c", [wanted.decode()], ("$", text[at:].split(b" ")[0].strip()))


@scenario
def transactions(s):
    s.calls("a", "EXEC", "DISCARD", "MULTI", "XADD", "EXEC", "MULTI", "NONSENSE x", "XLEN s", "EXEC", "MULTI", "DISCARD",
            "WATCH s", "MULTI", "XLEN s", "EXEC", "WATCH")
    s.call("a", "WATCH", "s", "t")
    s.call("b", "XADD", "t", "1-1", "f", "v")
    s.calls("a", "MULTI", "XLEN t", "EXEC", "MULTI", "XLEN t", "EXEC")
    for line in ("XADD t 2-1 f v", "XLEN t", "XGROUP CREATE t g 0", "XREADGROUP GROUP g c STREAMS t >", "XACK t g 1-1",
                 "XACK t g 1-1", "XDEL t 77-7", "XTRIM t MAXLEN 100", "EXPIRE t 1000", "PERSIST t", "PERSIST t", "TOUCH t",
                 "XGROUP SETID t g 0", "XGROUP CREATECONSUMER t g c", "XGROUP CREATECONSUMER t g d", "XCLAIM t g c 0 1-1",
                 "XREADGROUP GROUP g c STREAMS t 0", "XREADGROUP GROUP g new STREAMS t 0", "XSETID t 50-1", "RENAME t u", "RENAME u t",
                 "XADD t NOMKSTREAM 51-1 f v", "COPY t v", "COPY v t REPLACE", "MOVE v 1", "SWAPDB 0 1", "SWAPDB 0 1", "DEL nothing",
                 "DEL t", "XADD t 1-1 f v", "FLUSHDB", "FLUSHALL", "PUBLISH t x", "XADD t NOMKSTREAM 1-1 f v"):
        s.call("a", "WATCH", "t")
        s.call("b", *line.split(" "))
        s.calls("a", "MULTI", "PING", "EXEC")
    s.calls("a", "WATCH t", "UNWATCH")
    s.call("b", "XADD", "t", "5-1", "f", "v")
    s.calls("a", "MULTI", "PING", "EXEC", "SELECT 2", "WATCH t", "SELECT 0")
    s.calls("b", "XADD t 6-1 f v")
    s.calls("a", "MULTI", "PING", "EXEC")


@scenario
def a_watched_key_that_expires(s):
    s.calls("b", "XADD t 1-1 f v", "PEXPIRE t 30")
    s.call("a", "WATCH", "t")
    s.silent("a", 0.06)
    s.calls("a", "MULTI", "PING", "EXEC")


@scenario
def key_expiry(s):
    s.calls("a", "XADD s 1-1 f v", "PEXPIRE s 40", "PTTL s", "EXISTS s")
    s.silent("a", 0.07)
    s.calls("a", "EXISTS s", "TTL s", "TYPE s", "XLEN s", "DBSIZE", "XADD s 1-1 f v", "TTL s", "PEXPIRE s 40", "RENAME s t", "PTTL t",
            "COPY t u", "PTTL u", "XADD t 2-1 f v", "PTTL t")
    s.silent("a", 0.07)
    s.calls("a", "EXISTS t u", "KEYS *", "SCAN 0", "RANDOMKEY", "XREAD STREAMS t 0")


@scenario
def administration(s):
    s.calls("a", "CONFIG GET nothing-like-it", "CONFIG GET stream-node-max-entries", "CONFIG SET stream-node-max-entries abc",
            "CONFIG SET nothing-like-it 1", "CONFIG SET", "CONFIG GET", "CONFIG NONSENSE",             "CONFIG RESETSTAT", "CONFIG GET databases stream-node-max-entries", "CONFIG SET appendfsync sometimes", "CONFIG RESETSTAT x",
            "CONFIG SET slowlog-log-slower-than -1", "SLOWLOG RESET", "SLOWLOG LEN", "SLOWLOG GET", "SLOWLOG GET -5", "SLOWLOG GET abc", "SLOWLOG NONSENSE",
            "LATENCY RESET", "LATENCY LATEST", "LATENCY NONSENSE", "FUNCTION FLUSH", "SCRIPT FLUSH", "SCRIPT FLUSH SYNC", "SCRIPT FLUSH NOW",
            "WAIT 0 0", "WAIT abc 0", "WAIT 0 -1", "ROLE", "SELECT 16", "SELECT -1", "SELECT abc", "SWAPDB 0 16", "SWAPDB a b",
            "ECHO", "ECHO a b", "PING a b", "TIME x", "DBSIZE x", "LASTSAVE x", "FLUSHALL NONSENSE", "FLUSHALL ASYNC", "FLUSHDB SYNC",
            "DEBUG SLEEP 0", "DEBUG NONSENSE", "OBJECT", "MEMORY", "COMMAND NONSENSE", "SAVE", "COMMAND GETKEYS XADD s * f v",
            "COMMAND GETKEYS XREAD COUNT 1 STREAMS a b 0 0", "COMMAND GETKEYS XREADGROUP GROUP g c STREAMS a b > >",
            "COMMAND GETKEYS PING", "COMMAND GETKEYS NONSENSE", "COMMAND GETKEYS XADD", "COMMAND GETKEYS XGROUP CREATE s g 0",
            "COMMAND GETKEYS DEL a b c", "COMMAND GETKEYS RENAME a b", "COMMAND INFO nonsense", "COMMAND COUNT x",
            "CLUSTER INFO", "RANDOMKEY", "SENTINEL MASTERS",
            "EXPIRE s", "EXPIRE s abc", "EXPIRE s 1", "OBJECT ENCODING nothing", "OBJECT FREQ nothing")


@like_redis
def without_a_cluster(s):
    s.calls("a", "READONLY", "READWRITE", "CLUSTER INFO", "MODULE LIST")


@like_redis
def command_table(s):
    names = ("xadd xlen xrange xrevrange xread xreadgroup xdel xtrim xsetid xgroup xack xclaim xautoclaim xpending xinfo del unlink "
             "exists type touch dump restore rename renamenx copy move swapdb keys scan randomkey dbsize flushdb flushall expire pexpire "
             "expireat pexpireat ttl pttl expiretime pexpiretime persist object memory select ping echo hello auth quit reset client "
             "command time wait role multi exec discard watch unwatch publish subscribe psubscribe unsubscribe punsubscribe pubsub "
             "info config slowlog latency monitor save bgsave lastsave bgrewriteaof debug shutdown").split()
    for name in names:
        row = s.actor("a").call("COMMAND", "INFO", name)
        if row[0] == "*" and row[1] and row[1][0][0] == "*":
            cells = row[1][0][1]
            s.note("a", ["COMMAND", "INFO", name, "(name, arity, keys)"], ("*", [cells[i] for i in (0, 1, 3, 4, 5)]))
            flags = sorted(cell[1] for cell in cells[2][1])
            s.note("a", ["COMMAND", "INFO", name, "(flags)"], (cells[2][0], [("+", flag) for flag in flags]))
        else:
            s.note("a", ["COMMAND", "INFO", name], row)


@scenario
def statistics_of_commands_and_errors(s):
    s.calls("a", "CONFIG RESETSTAT", "XADD s 1-1 f v", "XADD s 1-1 f v", "XADD s", "XREADGROUP GROUP g c STREAMS s >", "NONSENSE",
            "XGROUP CREATE s g 0", "XGROUP CREATE s g 0", "GET s", "XREAD STREAMS s abc", "MULTI", "XADD", "EXEC")
    for section, field in (("commandstats", "cmdstat_xadd"), ("commandstats", "cmdstat_xgroup|create"),
                           ("commandstats", "cmdstat_xreadgroup"), ("errorstats", "errorstat_ERR"),
                           ("errorstats", "errorstat_NOGROUP"), ("errorstats", "errorstat_BUSYGROUP"),
                           ("errorstats", "errorstat_EXECABORT"), ("errorstats", "errorstat_WRONGTYPE"), ("stats", "total_error_replies")):
        value = str(s.info(field, section))
        kept = [pair for pair in value.split(",") if pair.split("=")[0] not in ("usec", "usec_per_call")]
        s.note("(server)", [field], ("info", ",".join(kept).encode()))


@scenario
def a_monitor_sees_commands(s):
    s.call("m", "MONITOR")
    s.actor("a").call("XADD", "s", "1-1", "f", "v \"quoted\"\n\x01")
    s.actor("a").call("xlen", "s")
    for _ in range(2):
        reply = s.actor("m").read(2.0)
        text = reply[1]
        s.note("m", ["(line)"], (reply[0], text[text.find(b"]") :]))


@scenario
def reset_and_quit(s):
    s.calls("a", "SELECT 3", "MULTI", "RESET", "XADD s 1-1 f v", "SELECT 0", "XLEN s", "QUIT")
    s.read("a")


@scenario
def many_keys_are_scanned_once(s):
    for i in range(500):
        s.actor("w").call("XADD", "key:%d" % i, "1-1", "f", "v")
    seen, cursor, rounds = set(), b"0", 0
    while True:
        reply = s.actor("w").call("SCAN", cursor, "COUNT", "50")
        cursor = reply[1][0][1]
        seen.update(item[1] for item in reply[1][1][1])
        rounds += 1
        if cursor == b"0" or rounds > 1000:
            break
    s.note("w", ["(keys seen)"], (":", b"%d" % len(seen)))
    s.call("w", "KEYS", "key:1?")
    s.call("w", "DBSIZE")


@scenario
def a_large_entry_and_a_large_reply(s):
    for i in range(20):
        s.call("w", "XADD", "s", "%d-1" % (i + 1), "f", "x" * 1_000_000, "empty", "")
    reply = s.actor("w").call("XRANGE", "s", "-", "+")
    s.note("w", ["(rows)"], (":", b"%d" % len(reply[1])))
    s.note("w", ["(bytes)"], (":", b"%d" % sum(len(field[1]) for row in reply[1] for field in row[1][1][1])))


@scenario
def a_deep_pipeline(s):
    for i in range(3000):
        s.send("w", "XADD", "s", "%d-1" % (i + 1), "f", "v")
    for i in range(3000):
        s.read("w")
    s.call("w", "XLEN", "s")
