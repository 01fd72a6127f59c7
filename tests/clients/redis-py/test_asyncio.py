"""redis-py under asyncio does its ordinary stream work against the broker, with its default settings."""

import asyncio
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import redis
import redis.asyncio

from harness import PYTHON, Report, broker

report = Report("redis-py asyncio")


def task(test):
    """A test that is a coroutine, as `Report.check` calls it."""

    def run(self):
        async def work():
            self.r = self.client(decode_responses=True)
            await self.r.flushall()
            try:
                await test(self)
            finally:
                for client in self.clients:
                    await client.aclose()

        asyncio.run(work())

    run.__name__ = test.__name__
    return run


def entries(reply):
    """The entries in a reply about one stream."""
    ((_, found),) = reply
    return found


def ids(found):
    return [entry for entry, _ in found]


class Asyncio(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.peer = broker()

        async def protocol():
            async with redis.asyncio.Redis(port=cls.peer.port) as client:
                return (await client.client_info())["resp"]

        report.who(redis.__version__, PYTHON, "RESP%s" % asyncio.run(protocol()))

    @classmethod
    def tearDownClass(cls):
        cls.peer.stop()

    def setUp(self):
        self.clients = []

    def client(self, **options):
        client = redis.asyncio.Redis(host="127.0.0.1", port=self.peer.port, **options)
        self.clients.append(client)
        return client

    async def held(self):
        """A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1."""
        await self.r.xgroup_create("s", "g", id="0", mkstream=True)
        for i in range(1, 5):
            await self.r.xadd("s", {"n": i}, id="%d-1" % i)
        await self.r.xreadgroup("g", "one", {"s": ">"})

    @report.check("connect")
    @task
    async def test_connecting_with_defaults(self):
        named = self.client(client_name="check", decode_responses=True)
        self.assertTrue(await named.ping())
        self.assertEqual(await named.client_getname(), "check")
        self.assertEqual((await named.client_info())["resp"], "3")
        self.assertEqual((await named.info())["loading"], 0)

    @report.check("produce")
    @task
    async def test_entries_come_back(self):
        first = await self.r.xadd("s", {"user-id": "jake", "tx-amount": 1000})
        self.assertEqual(await self.r.xrange("s"), [(first, {"user-id": "jake", "tx-amount": "1000"})])
        self.assertEqual(ids(entries(await self.r.xread({"s": "0"}))), [first])
        binary, payload = self.client(), bytes(range(256))
        entry = await binary.xadd("b", {b"data": payload})
        self.assertEqual(await binary.xrange("b"), [(entry, {b"data": payload})])
        added = await asyncio.gather(*[self.r.xadd("many", {"n": i}) for i in range(100)])
        self.assertEqual(ids(await self.r.xrange("many")), sorted(added, key=lambda it: [*map(int, it.split("-"))]))

    @report.check("fan-out")
    @task
    async def test_blocked_readers_all_hear(self):
        waiting = [asyncio.create_task(self.r.xread({"s": "$"}, block=5000)) for _ in range(5)]
        while (await self.r.info("clients"))["blocked_clients"] < 5:
            await asyncio.sleep(0.01)
        entry = await self.r.xadd("s", {"n": 1})
        for reply in await asyncio.gather(*waiting):
            self.assertEqual(ids(entries(reply)), [entry])
        self.assertFalse(await self.r.xread({"s": "$"}, block=50))

    @report.check("fan-out")
    @task
    async def test_a_cancelled_read_leaves_the_client_usable(self):
        waiting = asyncio.create_task(self.r.xread({"s": "$"}, block=0))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        await self.r.xadd("s", {"n": 1})
        self.assertEqual(await self.r.xlen("s"), 1)

    @report.check("group-read")
    @report.check("ack")
    @task
    async def test_workers_of_a_group_share_and_settle(self):
        await self.r.xgroup_create("s", "g", id="0", mkstream=True)
        handled = []

        async def worker(name):
            while reply := await self.r.xreadgroup("g", name, {"s": ">"}, count=7, block=300):
                for entry, fields in entries(reply):
                    handled.append(int(fields["n"]))
                    self.assertEqual(await self.r.xack("s", "g", entry), 1)
                    self.assertEqual(await self.r.xack("s", "g", entry), 0)

        workers = [asyncio.create_task(worker("w%d" % i)) for i in range(3)]
        for start in range(0, 200, 50):
            await asyncio.gather(*[self.r.xadd("s", {"n": i}) for i in range(start, start + 50)])
        await asyncio.gather(*workers)
        self.assertEqual(sorted(handled), list(range(200)))
        self.assertEqual((await self.r.xpending("s", "g"))["pending"], 0)

    @report.check("pending")
    @task
    async def test_what_is_pending_is_told(self):
        await self.held()
        summary = await self.r.xpending("s", "g")
        self.assertEqual((summary["pending"], summary["min"], summary["max"]), (4, "1-1", "4-1"))
        self.assertEqual(summary["consumers"], [{"name": "one", "pending": 4}])
        (row,) = await self.r.xpending_range("s", "g", "(1-1", "+", 1)
        self.assertEqual((row["message_id"], row["consumer"], row["times_delivered"]), ("2-1", "one", 1))
        self.assertEqual(await self.r.xpending_range("s", "g", "-", "+", 10, idle=60000), [])

    @report.check("claim")
    @task
    async def test_entries_are_claimed(self):
        await self.held()
        self.assertEqual(await self.r.xclaim("s", "g", "two", 0, ["1-1"]), [("1-1", {"n": "1"})])
        self.assertEqual(await self.r.xclaim("s", "g", "two", 0, ["2-1"], justid=True), ["2-1"])
        self.assertEqual(await self.r.xclaim("s", "g", "two", 60000, ["3-1"]), [])

    @report.check("autoclaim")
    @task
    async def test_the_whole_list_is_claimed(self):
        await self.held()
        await self.r.xdel("s", "2-1")
        cursor, claimed, deleted = await self.r.xautoclaim("s", "g", "two", 0, count=3)
        self.assertEqual((cursor, ids(claimed), deleted), ("4-1", ["1-1", "3-1"], ["2-1"]))
        self.assertEqual(await self.r.xautoclaim("s", "g", "two", 0, start_id=cursor, justid=True), ["4-1"])

    @report.check("trim")
    @task
    async def test_trimming_and_deleting(self):
        for i in range(1, 21):
            await self.r.xadd("s", {"n": i}, id="%d-1" % i, maxlen=15, approximate=False)
        self.assertEqual(await self.r.xtrim("s", minid="10-1", approximate=False), 4)
        self.assertEqual(await self.r.xdel("s", "20-1"), 1)
        self.assertEqual(await self.r.xtrim("s", maxlen=7, approximate=False), 3)
        self.assertEqual(await self.r.xlen("s"), 7)

    @report.check("info")
    @task
    async def test_info_has_the_counters(self):
        await self.held()
        stream = await self.r.xinfo_stream("s")
        self.assertEqual((stream["length"], stream["last-generated-id"], stream["entries-added"]), (4, "4-1", 4))
        (group,) = await self.r.xinfo_groups("s")
        self.assertEqual((group["name"], group["pending"], group["lag"]), ("g", 4, 0))
        (consumer,) = await self.r.xinfo_consumers("s", "g")
        self.assertEqual((consumer["name"], consumer["pending"]), ("one", 4))

    @report.check("transaction")
    @report.check("watch")
    @task
    async def test_transactions_and_watch(self):
        async with self.r.pipeline(transaction=True) as pipe:
            self.assertEqual(await pipe.xadd("s", {"n": 1}, id="1-1").xlen("s").execute(), ["1-1", 1])
        async with self.r.pipeline() as pipe:
            await pipe.watch("s")
            await self.r.xadd("s", {"n": 2})
            pipe.multi()
            pipe.xadd("s", {"n": 3})
            with self.assertRaises(redis.WatchError):
                await pipe.execute()
        self.assertEqual(await self.r.xlen("s"), 2)

    @report.check("pub-sub")
    @task
    async def test_messages_reach_channels_and_patterns(self):
        async with self.r.pubsub(ignore_subscribe_messages=True) as listener:
            await listener.subscribe("news")
            await listener.psubscribe("ne*")
            while await self.r.pubsub_numpat() < 1:
                await asyncio.sleep(0.01)
            await self.r.publish("news", "hello")
            heard = []
            while len(heard) < 2:
                message = await listener.get_message(timeout=2)
                if message:
                    heard.append((message["type"], message["data"]))
            self.assertEqual(heard, [("message", "hello"), ("pmessage", "hello")])

    @report.check("reconnect")
    @task
    async def test_work_goes_on_after_kill_and_restart(self):
        await self.held()
        before = (await self.r.xrange("s"), await self.r.xpending("s", "g"))
        self.peer.kill()
        self.peer.start()
        self.assertEqual((await self.r.xrange("s"), await self.r.xpending("s", "g")), before)
        entry = await self.r.xadd("s", {"n": 5})
        self.assertEqual(ids(entries(await self.r.xreadgroup("g", "one", {"s": ">"}))), [entry])

    @report.check("errors")
    @task
    async def test_errors_have_their_own_names(self):
        await self.held()
        with self.assertRaisesRegex(redis.ResponseError, "^BUSYGROUP Consumer Group name already exists$"):
            await self.r.xgroup_create("s", "g")
        with self.assertRaisesRegex(redis.ResponseError, "^NOGROUP No such key 's' or consumer group 'none'"):
            await self.r.xreadgroup("none", "c", {"s": ">"})
        with self.assertRaisesRegex(redis.ResponseError, "equal or smaller than the target stream top item"):
            await self.r.xadd("s", {"n": 1}, id="3-1")


if __name__ == "__main__":
    unittest.main(verbosity=1)
