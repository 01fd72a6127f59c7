"use strict";
// ioredis, with its default settings, does its ordinary stream work against the broker.

const test = require("node:test");
const assert = require("node:assert");
const { Redis } = require("ioredis");
const { Broker, Report, pause } = require("../lib/harness");

const report = new Report("ioredis", require("ioredis/package.json").version);
let broker;
let r;
const clients = [];

function client(options = {}) {
  const made = new Redis({ host: "127.0.0.1", port: broker.port, ...options });
  made.on("error", () => {});
  clients.push(made);
  return made;
}

// A map of RESP3, or the flat array of RESP2, as an object.
function fields(reply) {
  if (!Array.isArray(reply)) return reply instanceof Map ? Object.fromEntries(reply) : reply;
  const out = {};
  for (let i = 0; i + 1 < reply.length; i += 2) out[reply[i]] = reply[i + 1];
  return out;
}

// The reply of XREAD: stream name -> entries.
function streams(reply) {
  if (reply instanceof Map) return Object.fromEntries(reply);
  if (!Array.isArray(reply)) return reply;
  return Array.isArray(reply[0]) ? Object.fromEntries(reply) : fields(reply);
}

const ids = (entries) => entries.map((entry) => entry[0]);

// A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1.
async function held() {
  await r.xgroup("CREATE", "s", "g", "0", "MKSTREAM");
  for (let i = 1; i <= 4; i++) await r.xadd("s", `${i}-1`, "n", String(i));
  await r.xreadgroup("GROUP", "g", "one", "STREAMS", "s", ">");
}

test.before(async () => {
  broker = await Broker.start();
  const bare = client();
  report.who(/resp=(\d)/.exec(await bare.client("INFO"))[1] === "3" ? "RESP3" : "RESP2");
  r = client();
});
test.after(async () => {
  for (const one of clients) one.disconnect();
  await broker.stop();
});
test.beforeEach(() => r.flushall());

report.check("connect", async () => {
  const named = client({ connectionName: "check" });
  assert.strictEqual(await named.ping(), "PONG");
  assert.strictEqual(await named.client("GETNAME"), "check");
  assert.strictEqual(named.options.protocol, 3);
  assert.match(await named.client("INFO"), /resp=3/);
  assert.match(await named.info("server"), /redis_version:\d/);
});

report.check("produce", async () => {
  const id = await r.xadd("s", "*", "user-id", "jake", "tx-amount", "1000");
  assert.strictEqual(await r.xlen("s"), 1);
  assert.deepStrictEqual(await r.xrange("s", "-", "+"), [[id, ["user-id", "jake", "tx-amount", "1000"]]]);
  assert.deepStrictEqual(streams(await r.xread("STREAMS", "s", "0")).s[0][0], id);
  const binary = Buffer.from([...Array(256).keys()]);
  await r.xadd("b", "*", "data", binary);
  const [[, values]] = await r.xrangeBuffer("b", "-", "+");
  assert.ok(values[1].equals(binary));
});

report.check("fan-out", async () => {
  const readers = [client(), client(), client()];
  const waiting = readers.map((reader) => reader.xread("BLOCK", 5000, "STREAMS", "s", "$"));
  while (!(await r.info("clients")).includes("blocked_clients:3")) await pause(5);
  const id = await r.xadd("s", "*", "n", "1");
  for (const reply of await Promise.all(waiting)) assert.strictEqual(streams(reply).s[0][0], id);
  assert.strictEqual(await r.xread("BLOCK", 50, "STREAMS", "s", "$"), null);
});

report.check("group-read", async () => {
  await r.xgroup("CREATE", "s", "g", "$", "MKSTREAM");
  const made = [];
  for (let i = 0; i < 6; i++) made.push(await r.xadd("s", "*", "n", String(i)));
  const one = streams(await r.xreadgroup("GROUP", "g", "one", "COUNT", 2, "STREAMS", "s", ">")).s;
  const two = streams(await r.xreadgroup("GROUP", "g", "two", "BLOCK", 10, "STREAMS", "s", ">")).s;
  assert.deepStrictEqual(ids([...one, ...two]), made);
  const history = streams(await r.xreadgroup("GROUP", "g", "one", "STREAMS", "s", "0")).s;
  assert.deepStrictEqual(ids(history), made.slice(0, 2));
});

report.check("ack", async () => {
  await held();
  assert.strictEqual(await r.xack("s", "g", "1-1", "3-1"), 2);
  assert.strictEqual(await r.xack("s", "g", "1-1"), 0);
  assert.strictEqual((await r.xpending("s", "g"))[0], 2);
});

report.check("pending", async () => {
  await held();
  assert.deepStrictEqual(await r.xpending("s", "g"), [4, "1-1", "4-1", [["one", "4"]]]);
  const [id, owner, idle, deliveries] = (await r.xpending("s", "g", "(1-1", "+", 1))[0];
  assert.deepStrictEqual([id, owner, deliveries], ["2-1", "one", 1]);
  assert.ok(idle >= 0);
  assert.deepStrictEqual(await r.xpending("s", "g", "IDLE", 60000, "-", "+", 10), []);
});

report.check("claim", async () => {
  await held();
  assert.deepStrictEqual(await r.xclaim("s", "g", "two", 0, "1-1"), [["1-1", ["n", "1"]]]);
  assert.deepStrictEqual(await r.xclaim("s", "g", "two", 0, "2-1", "JUSTID"), ["2-1"]);
  assert.deepStrictEqual(await r.xclaim("s", "g", "two", 60000, "3-1"), []);
});

report.check("autoclaim", async () => {
  await held();
  await r.xdel("s", "2-1");
  const [cursor, claimed, deleted] = await r.xautoclaim("s", "g", "two", 0, "0-0", "COUNT", 3);
  assert.deepStrictEqual([cursor, ids(claimed), deleted], ["4-1", ["1-1", "3-1"], ["2-1"]]);
  assert.deepStrictEqual(await r.xautoclaim("s", "g", "two", 0, cursor, "JUSTID"), ["0-0", ["4-1"], []]);
});

report.check("trim", async () => {
  for (let i = 1; i <= 20; i++) await r.xadd("s", "MAXLEN", "=", 15, `${i}-1`, "n", String(i));
  assert.strictEqual(await r.xtrim("s", "MINID", "=", "10-1"), 4);
  assert.strictEqual(await r.xdel("s", "20-1"), 1);
  assert.strictEqual(await r.xtrim("s", "MAXLEN", "=", 7), 3);
  assert.strictEqual(await r.xlen("s"), 7);
});

report.check("info", async () => {
  await held();
  const stream = fields(await r.xinfo("STREAM", "s"));
  assert.deepStrictEqual([stream.length, stream["last-generated-id"], stream["entries-added"]], [4, "4-1", 4]);
  const group = fields((await r.xinfo("GROUPS", "s"))[0]);
  assert.deepStrictEqual([group.name, group.pending, group.lag], ["g", 4, 0]);
  const consumer = fields((await r.xinfo("CONSUMERS", "s", "g"))[0]);
  assert.deepStrictEqual([consumer.name, consumer.pending], ["one", 4]);
});

report.check("transaction", async () => {
  const replies = await r.multi().xadd("s", "1-1", "n", "1").xadd("s", "2-1", "n", "2").xlen("s").exec();
  assert.deepStrictEqual(replies, [[null, "1-1"], [null, "2-1"], [null, 2]]);
});

report.check("watch", async () => {
  await r.watch("s");
  await client().xadd("s", "1-1", "n", "1");
  assert.strictEqual(await r.multi().xlen("s").exec(), null);
});

report.check("pub-sub", async () => {
  const subscriber = client();
  const heard = [];
  subscriber.on("message", (channel, message) => heard.push([channel, message]));
  subscriber.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
  await subscriber.subscribe("news");
  await subscriber.psubscribe("ne*");
  assert.strictEqual(await r.publish("news", "hello"), 2);
  while (heard.length < 2) await pause(5);
  assert.deepStrictEqual(heard, [["news", "hello"], ["ne*", "news", "hello"]]);
  // It would subscribe again when the broker is back, and may be cut off in the middle of that.
  subscriber.disconnect();
});

report.check("reconnect", async () => {
  const lasting = client({ retryStrategy: () => 50, maxRetriesPerRequest: null });
  await lasting.xgroup("CREATE", "s", "g", "0", "MKSTREAM");
  for (let i = 0; i < 50; i++) await lasting.xadd("s", "*", "n", String(i));
  await lasting.xreadgroup("GROUP", "g", "c", "COUNT", 30, "STREAMS", "s", ">");
  const before = [await lasting.xrange("s", "-", "+"), await lasting.xpending("s", "g")];
  await broker.kill();
  await broker.run();
  assert.deepStrictEqual([await lasting.xrange("s", "-", "+"), await lasting.xpending("s", "g")], before);
  assert.strictEqual(streams(await lasting.xreadgroup("GROUP", "g", "c", "STREAMS", "s", ">")).s.length, 20);
});

report.check("errors", async () => {
  await r.xgroup("CREATE", "s", "g", "$", "MKSTREAM");
  const busy = { name: "ReplyError", message: "BUSYGROUP Consumer Group name already exists" };
  await assert.rejects(r.xgroup("CREATE", "s", "g", "$"), busy);
  await assert.rejects(r.xreadgroup("GROUP", "none", "c", "STREAMS", "s", ">"), /^ReplyError: NOGROUP No such key 's'/);
  await r.xadd("s", "5-1", "n", "1");
  await assert.rejects(r.xadd("s", "4-1", "n", "1"), /^ReplyError: ERR The ID specified in XADD is equal or smaller/);
  await assert.rejects(r.get("s"), /^ReplyError: WRONGTYPE/);
});
