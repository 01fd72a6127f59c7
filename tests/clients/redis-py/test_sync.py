"""redis-py does its ordinary stream work against the broker, with its default settings."""

import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import redis

from harness import PYTHON, Report, broker

report = Report("redis-py")


def entries(reply):
    """The entries in a reply about one stream."""
    ((_, found),) = reply
    return found


class Sync(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.peer = broker()
        with redis.Redis(port=cls.peer.port) as client:
            report.who(redis.__version__, PYTHON, "RESP%s" % client.client_info()["resp"])

    @classmethod
    def tearDownClass(cls):
        cls.peer.stop()

    def client(self, **options):
        client = redis.Redis(host="127.0.0.1", port=self.peer.port, **options)
        self.addCleanup(client.close)
        return client

    def setUp(self):
        self.r = self.client(decode_responses=True)
        self.r.flushall()

    @report.check("connect")
    def test_connecting_with_defaults_speaks_resp3(self):
        client = redis.Redis(host="127.0.0.1", port=self.peer.port, client_name="check")
        self.addCleanup(client.close)
        self.assertTrue(client.ping())
        self.assertEqual(client.client_getname() in (b"check", "check"), True)
        self.assertEqual(client.client_info()["resp"], "3")
        info = self.r.info()
        self.assertEqual(info["role"], "master")
        self.assertEqual(info["loading"], 0)
        self.assertGreaterEqual(int(info["redis_version"].split(".")[0]), 7)

    @report.check("produce")
    def test_entries_come_back_as_they_were_produced(self):
        first = self.r.xadd("s", {"user-id": "jake", "tx-amount": 1000})
        second = self.r.xadd("s", {"user-id": "ann", "empty": ""})
        self.assertEqual(self.r.xlen("s"), 2)
        self.assertEqual(self.r.xrange("s"), [
            (first, {"user-id": "jake", "tx-amount": "1000"}), (second, {"user-id": "ann", "empty": ""}),
        ])
        self.assertEqual(self.r.xrevrange("s", count=1)[0][0], second)
        self.assertEqual(self.r.xrange("s", min="(" + first)[0][0], second)
        self.assertEqual(entries(self.r.xread({"s": first}))[0][0], second)
        binary = self.client()
        payload = bytes(range(256))
        entry = binary.xadd("b", {b"data": payload})
        self.assertEqual(binary.xrange("b"), [(entry, {b"data": payload})])

    @report.check("fan-out")
    def test_blocked_readers_all_hear_a_new_entry(self):
        heard = []

        def listen():
            client = self.client(decode_responses=True)
            heard.append(client.xread({"s": "$"}, block=5000))

        threads = [threading.Thread(target=listen) for _ in range(5)]
        for thread in threads:
            thread.start()
        while self.r.info("clients")["blocked_clients"] < 5:
            time.sleep(0.01)
        entry = self.r.xadd("s", {"n": 1})
        for thread in threads:
            thread.join()
        self.assertEqual([entries(reply)[0][0] for reply in heard], [entry] * 5)
        start = time.monotonic()
        self.assertFalse(self.r.xread({"s": "$"}, block=100))
        self.assertGreater(time.monotonic() - start, 0.09)

    @report.check("group-read")
    @report.check("ack")
    @report.check("pending")
    def test_a_group_shares_the_work_and_settles_it(self):
        self.r.xgroup_create("s", "g", id="$", mkstream=True)
        ids = [self.r.xadd("s", {"n": i}) for i in range(10)]
        one = entries(self.r.xreadgroup("g", "one", {"s": ">"}, count=4))
        two = entries(self.r.xreadgroup("g", "two", {"s": ">"}, count=10, block=10))
        self.assertEqual([entry for entry, _ in one + two], ids)
        self.assertEqual(self.r.xack("s", "g", *ids[:3]), 3)
        summary = self.r.xpending("s", "g")
        self.assertEqual((summary["pending"], summary["min"], summary["max"]), (7, ids[3], ids[-1]))
        self.assertEqual(sorted((c["name"], c["pending"]) for c in summary["consumers"]), [("one", 1), ("two", 6)])
        row = self.r.xpending_range("s", "g", "-", "+", 10, consumername="one")[0]
        self.assertEqual((row["message_id"], row["consumer"], row["times_delivered"]), (ids[3], "one", 1))
        history = entries(self.r.xreadgroup("g", "one", {"s": "0"}))
        self.assertEqual([entry for entry, _ in history], [ids[3]])

    @report.check("claim")
    @report.check("autoclaim")
    def test_pending_entries_move_by_claim_and_autoclaim(self):
        self.r.xgroup_create("s", "g", id="0", mkstream=True)
        ids = [self.r.xadd("s", {"n": i}) for i in range(5)]
        self.r.xreadgroup("g", "dead", {"s": ">"})
        self.assertEqual(self.r.xclaim("s", "g", "alive", 0, [ids[0]]), [(ids[0], {"n": "0"})])
        self.assertEqual(self.r.xclaim("s", "g", "alive", 100000, [ids[1]]), [])
        self.assertEqual(self.r.xclaim("s", "g", "alive", 0, [ids[1]], justid=True), [ids[1]])
        self.r.xdel("s", ids[2])
        cursor, claimed, deleted = self.r.xautoclaim("s", "g", "alive", 0, count=10)
        self.assertEqual((cursor, deleted), ("0-0", [ids[2]]))
        self.assertEqual([entry for entry, _ in claimed], [ids[0], ids[1], ids[3], ids[4]])
        counts = {row["message_id"]: row["times_delivered"] for row in self.r.xpending_range("s", "g", "-", "+", 10)}
        self.assertEqual(counts, {ids[0]: 3, ids[1]: 2, ids[3]: 2, ids[4]: 2})
        self.assertEqual(self.r.xgroup_delconsumer("s", "g", "dead"), 0)

    @report.check("trim")
    def test_trimming_and_deleting(self):
        for i in range(250):
            self.r.xadd("s", {"n": i}, id="%d-1" % (i + 1), maxlen=100, approximate=False)
        self.assertEqual(self.r.xlen("s"), 100)
        self.assertEqual(self.r.xtrim("s", minid="200-1", approximate=False), 49)
        self.assertEqual(self.r.xdel("s", "250-1", "1-1"), 1)
        self.assertEqual(self.r.xtrim("s", maxlen=10, approximate=False), 40)
        self.assertEqual(self.r.xrevrange("s", count=1)[0][0], "249-1")

    @report.check("info")
    def test_info_tells_counters_groups_and_consumers(self):
        self.r.xadd("s", {"n": 1}, id="1-1")
        self.r.xadd("s", {"n": 2}, id="2-1")
        self.r.xgroup_create("s", "g", id="0")
        self.r.xreadgroup("g", "c", {"s": ">"}, count=1)
        info = self.r.xinfo_stream("s")
        self.assertEqual((info["length"], info["last-generated-id"], info["groups"]), (2, "2-1", 1))
        self.assertEqual(info["first-entry"], ("1-1", {"n": "1"}))
        self.assertEqual(info["entries-added"], 2)
        group = self.r.xinfo_groups("s")[0]
        self.assertEqual((group["name"], group["pending"], group["lag"], group["entries-read"]), ("g", 1, 1, 1))
        consumer = self.r.xinfo_consumers("s", "g")[0]
        self.assertEqual((consumer["name"], consumer["pending"]), ("c", 1))
        full = self.r.xinfo_stream("s", full=True)
        self.assertEqual(len(full["entries"]), 2)
        self.assertEqual(full["groups"][0]["pel-count"], 1)

    @report.check("transaction")
    @report.check("watch")
    def test_transactions_pipelines_and_watch(self):
        with self.r.pipeline(transaction=True) as pipe:
            pipe.xadd("s", {"n": 1}, id="1-1")
            pipe.xadd("s", {"n": 2}, id="2-1")
            pipe.xlen("s")
            self.assertEqual(pipe.execute(), ["1-1", "2-1", 2])
        with self.r.pipeline(transaction=False) as pipe:
            for i in range(100):
                pipe.xadd("t", {"n": i})
            self.assertEqual(len(pipe.execute()), 100)
        with self.r.pipeline() as pipe:
            pipe.watch("s")
            self.r.xadd("s", {"n": 3})
            pipe.multi()
            pipe.xadd("s", {"n": 4})
            with self.assertRaises(redis.WatchError):
                pipe.execute()
        self.assertEqual(self.r.xlen("s"), 3)

    @report.check("errors")
    def test_errors_have_their_own_names(self):
        self.r.xgroup_create("s", "g", mkstream=True)
        with self.assertRaisesRegex(redis.ResponseError, "^BUSYGROUP Consumer Group name already exists$"):
            self.r.xgroup_create("s", "g")
        with self.assertRaisesRegex(redis.ResponseError, "^NOGROUP No such key 's' or consumer group 'none'"):
            self.r.xreadgroup("none", "c", {"s": ">"})
        self.r.xadd("s", {"n": 1}, id="5-1")
        with self.assertRaisesRegex(redis.ResponseError, "equal or smaller than the target stream top item"):
            self.r.xadd("s", {"n": 1}, id="4-1")
        with self.assertRaisesRegex(redis.ResponseError, "^WRONGTYPE "):
            self.r.get("s")
        self.assertIsNone(self.r.get("missing"))

    @report.check("pub-sub")
    def test_pub_sub_and_keyspace_events(self):
        self.r.config_set("notify-keyspace-events", "KEA")
        listener = self.client(decode_responses=True).pubsub()
        listener.subscribe("news")
        listener.psubscribe("__keyspace@0__:s")
        for _ in range(2):
            listener.get_message(timeout=2)
        self.r.publish("news", "hello")
        self.r.xadd("s", {"n": 1})
        heard = [listener.get_message(timeout=2) for _ in range(2)]
        self.assertEqual([(m["type"], m["data"]) for m in heard], [("message", "hello"), ("pmessage", "xadd")])
        listener.close()

    def test_keys_and_expiry(self):
        for name in ("a", "b", "c"):
            self.r.xadd(name, {"n": 1})
        self.assertEqual(sorted(self.r.scan_iter("*")), ["a", "b", "c"])
        self.assertEqual(self.r.type("a"), "stream")
        self.assertTrue(self.r.expire("a", 100))
        self.assertIn(self.r.ttl("a"), (99, 100))
        self.assertTrue(self.r.rename("b", "d"))
        self.assertTrue(self.r.copy("d", "e"))
        self.assertEqual(self.r.delete("a", "c", "nothing"), 2)
        self.assertEqual(self.r.dbsize(), 2)
        self.assertEqual(self.r.object("encoding", "e"), "stream")

    @report.check("reconnect")
    def test_work_goes_on_after_kill_and_restart(self):
        self.r.xgroup_create("s", "g", id="0", mkstream=True)
        ids = [self.r.xadd("s", {"n": i}) for i in range(100)]
        self.r.xreadgroup("g", "c", {"s": ">"}, count=60)
        self.r.xack("s", "g", *ids[:20])
        before = (self.r.xrange("s"), self.r.xpending("s", "g"), self.r.xinfo_groups("s"))
        self.peer.kill()
        self.peer.start()
        self.assertEqual((self.r.xrange("s"), self.r.xpending("s", "g"), self.r.xinfo_groups("s")), before)
        rest = entries(self.r.xreadgroup("g", "c", {"s": ">"}))
        self.assertEqual([entry for entry, _ in rest], ids[60:])


if __name__ == "__main__":
    unittest.main(verbosity=1)
