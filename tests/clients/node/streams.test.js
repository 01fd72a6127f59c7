"use strict";
// ioredis, with its default settings (RESP3), does its ordinary stream work against the broker.

const test = require("node:test");
const assert = require("node:assert");
const { Redis } = require("ioredis");
const { Broker } = require("./broker");

let broker;
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

test.before(async () => { broker = await Broker.start(); });
test.after(async () => {
  for (const one of clients) one.disconnect();
  await broker.stop();
});
test.beforeEach(async () => { await client().flushall(); });

test("connects with its defaults over RESP3", async () => {
  const r = client({ connectionName: "check" });
  assert.strictEqual(await r.ping(), "PONG");
  assert.strictEqual(await r.client("GETNAME"), "check");
  assert.strictEqual(r.options.protocol, 3);
  assert.match(await r.client("INFO"), /resp=3/);
  assert.match(await r.info("server"), /redis_version:\d/);
});

test("produces and reads back", async () => {
  const r = client();
  const id = await r.xadd("s", "*", "user-id", "jake", "tx-amount", "1000");
  assert.strictEqual(await r.xlen("s"), 1);
  assert.deepStrictEqual(await r.xrange("s", "-", "+"), [[id, ["user-id", "jake", "tx-amount", "1000"]]]);
  assert.deepStrictEqual(streams(await r.xread("STREAMS", "s", "0")).s[0][0], id);
  const binary = Buffer.from([...Array(256).keys()]);
  await r.xadd("b", "*", "data", binary);
  const [[, values]] = await r.xrangeBuffer("b", "-", "+");
  assert.ok(values[1].equals(binary));
});

test("every blocked reader hears a new entry", async () => {
  const writer = client();
  const readers = [client(), client(), client()];
  const waiting = readers.map((reader) => reader.xread("BLOCK", 5000, "STREAMS", "s", "$"));
  while (!(await writer.info("clients")).includes("blocked_clients:3")) await new Promise((r) => setTimeout(r, 5));
  const id = await writer.xadd("s", "*", "n", "1");
  for (const reply of await Promise.all(waiting)) assert.strictEqual(streams(reply).s[0][0], id);
  assert.strictEqual(await writer.xread("BLOCK", 50, "STREAMS", "s", "$"), null);
});

test("a group shares, settles, claims and reports", async () => {
  const r = client();
  await r.xgroup("CREATE", "s", "g", "$", "MKSTREAM");
  const ids = [];
  for (let i = 0; i < 6; i++) ids.push(await r.xadd("s", "*", "n", String(i)));
  const one = streams(await r.xreadgroup("GROUP", "g", "one", "COUNT", 2, "STREAMS", "s", ">")).s;
  const two = streams(await r.xreadgroup("GROUP", "g", "two", "BLOCK", 10, "STREAMS", "s", ">")).s;
  assert.deepStrictEqual([...one, ...two].map((entry) => entry[0]), ids);
  assert.strictEqual(await r.xack("s", "g", ids[0], ids[2]), 2);
  const [count, low, high, consumers] = await r.xpending("s", "g");
  assert.deepStrictEqual([count, low, high, consumers], [4, ids[1], ids[5], [["one", "1"], ["two", "3"]]]);
  const [id, owner, idle, deliveries] = (await r.xpending("s", "g", "-", "+", 1))[0];
  assert.deepStrictEqual([id, owner, deliveries], [ids[1], "one", 1]);
  assert.ok(idle >= 0);
  assert.deepStrictEqual(await r.xclaim("s", "g", "two", 0, ids[1], "JUSTID"), [ids[1]]);
  const [cursor, claimed, deleted] = await r.xautoclaim("s", "g", "one", 0, "0-0", "COUNT", 100);
  assert.deepStrictEqual([cursor, claimed.map((entry) => entry[0]), deleted], ["0-0", [ids[1], ids[3], ids[4], ids[5]], []]);
  const group = fields((await r.xinfo("GROUPS", "s"))[0]);
  assert.deepStrictEqual([group.name, group.pending, group.lag], ["g", 4, 0]);
  const stream = fields(await r.xinfo("STREAM", "s"));
  assert.deepStrictEqual([stream.length, stream["last-generated-id"]], [6, ids[5]]);
});

test("trims, deletes and keeps the counters", async () => {
  const r = client();
  for (let i = 1; i <= 20; i++) await r.xadd("s", "MAXLEN", "=", 15, `${i}-1`, "n", String(i));
  assert.strictEqual(await r.xtrim("s", "MINID", "=", "10-1"), 4);
  assert.strictEqual(await r.xdel("s", "20-1"), 1);
  assert.strictEqual(await r.xlen("s"), 10);
  assert.strictEqual(fields(await r.xinfo("STREAM", "s"))["entries-added"], 20);
});

test("transactions are one step and WATCH breaks them", async () => {
  const r = client();
  const replies = await r.multi().xadd("s", "1-1", "n", "1").xadd("s", "2-1", "n", "2").xlen("s").exec();
  assert.deepStrictEqual(replies, [[null, "1-1"], [null, "2-1"], [null, 2]]);
  await r.watch("s");
  await client().xadd("s", "3-1", "n", "3");
  assert.strictEqual(await r.multi().xlen("s").exec(), null);
});

test("errors arrive with their code", async () => {
  const r = client();
  await r.xgroup("CREATE", "s", "g", "$", "MKSTREAM");
  await assert.rejects(r.xgroup("CREATE", "s", "g", "$"), { message: "BUSYGROUP Consumer Group name already exists" });
  await assert.rejects(r.xreadgroup("GROUP", "none", "c", "STREAMS", "s", ">"), /^ReplyError: NOGROUP No such key 's'/);
  await assert.rejects(r.get("s"), /WRONGTYPE/);
});

test("pub/sub goes on beside commands", async () => {
  const subscriber = client();
  const heard = new Promise((resolve) => subscriber.on("message", (channel, message) => resolve([channel, message])));
  await subscriber.subscribe("news");
  assert.strictEqual(await client().publish("news", "hello"), 1);
  assert.deepStrictEqual(await heard, ["news", "hello"]);
});

test("reconnects by itself after kill -9 and finds everything", async () => {
  const r = client({ retryStrategy: () => 50, maxRetriesPerRequest: null });
  await r.xgroup("CREATE", "s", "g", "0", "MKSTREAM");
  for (let i = 0; i < 50; i++) await r.xadd("s", "*", "n", String(i));
  await r.xreadgroup("GROUP", "g", "c", "COUNT", 30, "STREAMS", "s", ">");
  const before = [await r.xrange("s", "-", "+"), await r.xpending("s", "g")];
  await broker.kill();
  await broker.run();
  assert.deepStrictEqual([await r.xrange("s", "-", "+"), await r.xpending("s", "g")], before);
  assert.strictEqual(streams(await r.xreadgroup("GROUP", "g", "c", "STREAMS", "s", ">")).s.length, 20);
});
