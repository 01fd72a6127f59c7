"""Who waits on what, who is served first, and what ends a wait: each function is one scenario for a `Stage`."""

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


@scenario
def a_reader_gets_the_entry_that_it_waited_for(s):
    s.call("w", "XADD", "s", "1-1", "f", "old")
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "$", clients=1)
    s.shows("blocked_clients", "total_blocking_keys", "total_blocking_keys_on_nokey")
    s.call("w", "XADD", "s", "2-1", "f", "new")
    s.read("r")
    s.shows("blocked_clients", "total_blocking_keys")


@scenario
def every_reader_gets_every_entry(s):
    for i, who in enumerate(["r1", "r2", "r3"]):
        s.waits(who, "XREAD", "BLOCK", "0", "COUNT", "5", "STREAMS", "s", "t", "0", "$", clients=i + 1)
    s.call("w", "XADD", "t", "1-1", "f", "v")
    for who in ["r1", "r2", "r3"]:
        s.read(who)


@scenario
def group_readers_are_served_in_the_order_in_which_they_blocked(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    for i, who in enumerate(["r1", "r2", "r3"]):
        s.waits(who, "XREADGROUP", "GROUP", "g", who, "BLOCK", "0", "COUNT", "1", "STREAMS", "s", ">", clients=i + 1)
    for i in range(3):
        s.call("w", "XADD", "s", "%d-1" % (i + 1), "f", "v")
        s.read("r%d" % (i + 1))
    s.call("w", "XINFO", "CONSUMERS", "s", "g")


@scenario
def a_transaction_is_seen_as_one(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    s.waits("r1", "XREAD", "BLOCK", "0", "STREAMS", "s", "0", clients=1)
    s.waits("g1", "XREADGROUP", "GROUP", "g", "one", "BLOCK", "0", "COUNT", "2", "STREAMS", "s", ">", clients=2)
    s.waits("g2", "XREADGROUP", "GROUP", "g", "two", "BLOCK", "0", "STREAMS", "s", ">", clients=3)
    s.calls("w", "MULTI", "XADD s 1-1 f v", "XADD s 2-1 f v", "XADD s 3-1 f v", "EXEC")
    for who in ["r1", "g1", "g2"]:
        s.read(who)
    s.call("w", "XPENDING", "s", "g")


@scenario
def the_first_waiter_takes_all_and_the_second_keeps_its_deadline(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    s.waits("r1", "XREADGROUP", "GROUP", "g", "one", "BLOCK", "0", "STREAMS", "s", ">", clients=1)
    s.waits("r2", "XREADGROUP", "GROUP", "g", "two", "BLOCK", "500", "STREAMS", "s", ">", clients=2)
    s.silent("r2", 0.2)
    s.calls("w", "MULTI", "XADD s 1-1 f v", "XADD s 2-1 f v", "EXEC")
    s.read("r1")
    s.late("r2", 495, 900)


@scenario
def a_timeout_is_a_null_array(s):
    s.send("r", "XREAD", "BLOCK", "120", "STREAMS", "s", "$")
    s.late("r", 118, 500)
    s.call("w", "XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    s.send("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "60", "STREAMS", "s", ">")
    s.late("r", 58, 400)
    s.call("w", "XINFO", "CONSUMERS", "s", "g")


@scenario
def a_deleted_key_does_not_wake_a_reader(s):
    s.call("w", "XADD", "s", "5-1", "f", "v")
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "$", clients=1)
    s.call("w", "DEL", "s")
    s.silent("r")
    s.calls("w", "MULTI", "XADD s 6-1 f v", "DEL s", "EXEC")
    s.silent("r")
    s.call("w", "XADD", "s", "2-1", "f", "older than what it waits for")
    s.silent("r")
    s.call("w", "XADD", "s", "9-1", "f", "v")
    s.read("r")


def ended_by(name, *lines, key="s", more=()):
    """A group reader whose wait one of these commands ends with an error or with data."""
    def play(s):
        s.calls("w", "XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE t g 0 MKSTREAM", "XADD t 1-1 f v")
        s.waits("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", key, ">", clients=1)
        s.waits("x", "XREAD", "BLOCK", "300", "STREAMS", key, "0", clients=2)
        s.calls("w", *lines)
        s.read("r", timeout=0.4)
        s.read("x", timeout=1.0)
        for line in more:
            s.call("w", *line.split(" "))
    play.__name__ = name
    SCENARIOS.append(play)


ended_by("del_ends_a_group_read", "DEL s")
ended_by("unlink_ends_a_group_read", "UNLINK s")
ended_by("flushall_ends_a_group_read", "FLUSHALL")
ended_by("flushdb_ends_a_group_read", "FLUSHDB")
ended_by("flushdb_of_another_database_does_not", "SELECT 1", "FLUSHDB")
ended_by("rename_away_ends_a_group_read", "RENAME s u")
ended_by("rename_onto_serves_a_group_read", "RENAME t s", more=["XPENDING s g"])
ended_by("renamenx_does_not_touch_the_waiter", "RENAMENX t s")
ended_by("copy_replace_serves_a_group_read", "COPY t s REPLACE", more=["XPENDING s g"])
ended_by("move_ends_a_group_read", "MOVE s 1")
ended_by("swapdb_ends_a_group_read", "SWAPDB 0 1")
ended_by("destroy_ends_a_group_read", "XGROUP DESTROY s g")
ended_by("destroy_of_another_group_does_not", "XGROUP CREATE s h 0", "XGROUP DESTROY s h")
ended_by("del_and_recreate_in_a_transaction", "MULTI", "DEL s", "XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f v", "EXEC")
ended_by("destroy_and_recreate_in_a_transaction", "MULTI", "XGROUP DESTROY s g", "XGROUP CREATE s g 0", "EXEC")
ended_by("xadd_and_del_in_a_transaction", "MULTI", "XADD s 1-1 f v", "DEL s", "EXEC")
ended_by("expiry_in_the_past_ends_a_group_read", "PEXPIRE s -1")
ended_by("expiry_ends_a_group_read", "PEXPIRE s 30", more=["EXISTS s"])
ended_by("setid_does_not_serve", "XADD s 1-1 f v", "XGROUP SETID s g 0")
ended_by("delconsumer_does_not_end_a_wait", "XGROUP DELCONSUMER s g c", "XADD s 1-1 f v", more=["XINFO CONSUMERS s g"])
ended_by("a_trimmed_entry_serves_nobody", "XADD s MAXLEN 0 1-1 f v")
ended_by("an_entry_deleted_in_the_same_transaction", "MULTI", "XADD s 1-1 f v", "XDEL s 1-1", "EXEC", more=["XINFO GROUPS s"])
ended_by("xsetid_serves_nobody", "XSETID s 7-7")


@scenario
def swapdb_brings_a_key_to_its_waiters(s):
    s.calls("w", "XGROUP CREATE s g 0 MKSTREAM", "SELECT 1", "XADD s 1-1 f v", "XGROUP CREATE s g 0", "SELECT 0")
    s.waits("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">", clients=1)
    s.waits("x", "XREAD", "BLOCK", "0", "STREAMS", "s", "0", clients=2)
    s.call("w", "SWAPDB", "0", "1")
    s.read("r")
    s.read("x")


@scenario
def keys_are_served_in_the_order_in_which_they_became_ready(s):
    s.waits("a", "XREAD", "BLOCK", "0", "STREAMS", "k1", "k2", "0", "0", clients=1)
    s.waits("b", "XREAD", "BLOCK", "0", "STREAMS", "k2", "k1", "$", "$", clients=2)
    s.calls("w", "MULTI", "XADD k2 1-1 f v", "XADD k1 1-1 f v", "EXEC")
    s.read("a")
    s.read("b")


@scenario
def the_same_stream_twice(s):
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "s", "0", "1-1", clients=1)
    s.shows("total_blocking_keys")
    s.call("w", "XADD", "s", "1-1", "f", "v")
    s.read("r")


@scenario
def the_last_entry_may_be_waited_for(s):
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "+", clients=1)
    s.calls("w", "MULTI", "XADD s 1-1 f v", "XADD s 2-1 f v", "EXEC")
    s.read("r")
    s.call("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "+")
    s.call("w", "XDEL", "s", "1-1", "2-1")
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "+", clients=1)
    s.call("w", "XADD", "s", "3-1", "f", "v")
    s.read("r")


@scenario
def what_follows_a_blocked_command_waits_its_turn(s):
    s.send("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "$")
    s.send("r", "XLEN", "s")
    s.send("r", "PING")
    s.blocked(1)
    s.silent("r")
    s.call("w", "XADD", "s", "1-1", "f", "v")
    for _ in range(3):
        s.read("r")


@scenario
def a_client_that_went_away_takes_nothing(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    s.waits("r1", "XREADGROUP", "GROUP", "g", "one", "BLOCK", "0", "STREAMS", "s", ">", clients=1)
    s.waits("r2", "XREADGROUP", "GROUP", "g", "two", "BLOCK", "0", "STREAMS", "s", ">", clients=2)
    s.close("r1")
    s.blocked(1)
    s.call("w", "XADD", "s", "1-1", "f", "v")
    s.read("r2")
    s.call("w", "XPENDING", "s", "g")


@scenario
def client_unblock(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    for how in ([], ["TIMEOUT"], ["ERROR"]):
        identity = s.actor("r").call("CLIENT", "ID")[1].decode()
        s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "$", clients=1)
        unblocked = s.actor("w").call("CLIENT", "UNBLOCK", identity, *how)
        s.note("w", ["CLIENT", "UNBLOCK", *how], unblocked)
        s.read("r")
        s.waits("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">", clients=1)
        s.note("w", ["CLIENT", "UNBLOCK", *how], s.actor("w").call("CLIENT", "UNBLOCK", identity, *how))
        s.read("r")
    s.note("w", ["CLIENT", "UNBLOCK", "(idle)"], s.actor("w").call("CLIENT", "UNBLOCK", identity))
    s.call("w", "CLIENT", "UNBLOCK", "abc")
    s.call("w", "CLIENT", "UNBLOCK", "999999")
    s.call("w", "CLIENT", "UNBLOCK", "1", "NONSENSE")


@scenario
def client_kill_ends_a_wait(s):
    identity = s.actor("r").call("CLIENT", "ID")[1].decode()
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "$", clients=1)
    s.note("w", ["CLIENT", "KILL"], s.actor("w").call("CLIENT", "KILL", "ID", identity))
    s.read("r")
    s.blocked(0)


@scenario
def blocking_does_nothing_in_a_transaction(s):
    s.calls("w", "XGROUP CREATE s g $ MKSTREAM", "MULTI", "XREAD BLOCK 0 STREAMS s $",
            "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XREAD BLOCK 0 STREAMS s +", "EXEC")


@scenario
def waiting_is_for_one_database(s):
    s.call("r", "SELECT", "3")
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "0", clients=1)
    s.call("w", "XADD", "s", "1-1", "f", "v")
    s.silent("r")
    s.calls("w", "SELECT 3", "XADD s 2-1 f v")
    s.read("r")


@scenario
def noack_and_count_hold_for_a_wait(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    s.waits("r", "XREADGROUP", "GROUP", "g", "c", "COUNT", "2", "BLOCK", "0", "NOACK", "STREAMS", "s", ">", clients=1)
    s.calls("w", "MULTI", "XADD s 1-1 f v", "XADD s 2-1 f v", "XADD s 3-1 f v", "EXEC")
    s.read("r")
    s.calls("w", "XPENDING s g", "XINFO GROUPS s", "XINFO CONSUMERS s g")


@scenario
def a_history_read_never_waits(s):
    s.calls("w", "XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f v")
    s.call("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", "0")
    s.call("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">")
    s.call("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", "0")


@scenario
def a_wait_over_several_groups_is_ended_by_one_of_them(s):
    s.calls("w", "XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE t g 0 MKSTREAM")
    s.waits("r", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", "t", ">", ">", clients=1)
    s.shows("total_blocking_keys", "total_blocking_keys_on_nokey")
    s.call("w", "XGROUP", "DESTROY", "t", "g")
    s.read("r")


@scenario
def wrong_timeouts(s):
    s.calls("w", "XREAD BLOCK abc STREAMS s 0", "XREAD BLOCK -1 STREAMS s 0", "XREAD BLOCK 9223372036854775807 STREAMS s 0",
            "XREAD BLOCK 1.5 STREAMS s 0", "XREAD STREAMS s 0 BLOCK 1", "XREAD BLOCK STREAMS s 0")


@scenario
def a_pause_holds_writers_and_not_readers(s):
    s.waits("r", "XREAD", "BLOCK", "0", "STREAMS", "s", "$", clients=1)
    s.call("c", "CLIENT", "PAUSE", "150", "WRITE")
    s.send("w", "XADD", "s", "1-1", "f", "v")
    s.call("x", "XLEN", "s")
    s.late("w", 100, 900)
    s.read("r")
    s.calls("c", "CLIENT PAUSE 10000", "CLIENT UNPAUSE", "CLIENT PAUSE abc", "CLIENT PAUSE 1 NONSENSE", "PING")


@scenario
def two_hundred_waiters_in_order(s):
    s.call("w", "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    names = ["r%03d" % i for i in range(200)]
    for i, who in enumerate(names):
        s.waits(who, "XREADGROUP", "GROUP", "g", who, "BLOCK", "0", "COUNT", "1", "STREAMS", "s", ">", clients=i + 1)
    s.call("w", "MULTI")
    for i in range(200):
        s.call("w", "XADD", "s", "%d-1" % (i + 1), "f", "v")
    s.call("w", "EXEC")
    for who in names:
        s.read(who)
