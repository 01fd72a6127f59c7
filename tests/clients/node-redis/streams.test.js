"use strict";
// node-redis, with its default settings, does its ordinary stream work against the broker.

const test = require("node:test");
const assert = require("node:assert");
const { createClient, RESP_TYPES, SimpleError, WatchError } = require("redis");
const { Broker, Report, pause } = require("../lib/harness");

const report = new Report("node-redis", require("redis/package.json").version);
let broker;
let r;
const clients = [];

async function client(options = {}) {
  const made = createClient({ url: `redis://127.0.0.1:${broker.port}`, ...options });
  made.on("error", () => {});
  clients.push(made);
  return made.connect();
}

const ids = (entries) => entries.map((entry) => entry.id);
const at = (id) => ({ key: "s", id });

// A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1.
async function held() {
  await r.xGroupCreate("s", "g", "0", { MKSTREAM: true });
  for (let i = 1; i <= 4; i++) await r.xAdd("s", `${i}-1`, { n: String(i) });
  await r.xReadGroup("g", "one", at(">"));
}

test.before(async () => {
  broker = await Broker.start();
  r = await client();
  report.who(`RESP${(await r.clientInfo()).resp}`);
});
test.after(async () => {
  for (const one of clients) one.destroy();
  await broker.stop();
});
test.beforeEach(() => r.flushAll());

report.check("connect", async () => {
  const named = await client({ name: "check" });
  assert.strictEqual(await named.ping(), "PONG");
  const { name, resp, libName } = await named.clientInfo();
  assert.deepStrictEqual([name, resp, libName], ["check", 3, "node-redis"]);
  assert.match(await named.info("server"), /redis_version:\d/);
});

report.check("produce", async () => {
  const id = await r.xAdd("s", "*", { "user-id": "jake", "tx-amount": "1000" });
  assert.strictEqual(await r.xLen("s"), 1);
  const [entry] = await r.xRange("s", "-", "+");
  assert.deepStrictEqual([entry.id, { ...entry.message }], [id, { "user-id": "jake", "tx-amount": "1000" }]);
  assert.deepStrictEqual(ids((await r.xRead(at("0")))[0].messages), [id]);
  const binary = Buffer.from([...Array(256).keys()]);
  await r.xAdd("b", "*", { data: binary });
  const [{ message }] = await r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).xRange("b", "-", "+");
  assert.ok(message.data.equals(binary));
});

report.check("fan-out", async () => {
  const readers = await Promise.all([client(), client(), client()]);
  const waiting = readers.map((reader) => reader.xRead(at("$"), { BLOCK: 5000 }));
  while (!(await r.info("clients")).includes("blocked_clients:3")) await pause(5);
  const id = await r.xAdd("s", "*", { n: "1" });
  for (const [stream] of await Promise.all(waiting)) assert.deepStrictEqual(ids(stream.messages), [id]);
  assert.strictEqual(await r.xRead(at("$"), { BLOCK: 50 }), null);
});

report.check("group-read", async () => {
  await r.xGroupCreate("s", "g", "$", { MKSTREAM: true });
  const made = [];
  for (let i = 0; i < 6; i++) made.push(await r.xAdd("s", "*", { n: String(i) }));
  const [one] = await r.xReadGroup("g", "one", at(">"), { COUNT: 2 });
  const [two] = await r.xReadGroup("g", "two", at(">"), { BLOCK: 10 });
  assert.deepStrictEqual(ids([...one.messages, ...two.messages]), made);
  const [history] = await r.xReadGroup("g", "one", at("0"));
  assert.deepStrictEqual(ids(history.messages), made.slice(0, 2));
});

report.check("ack", async () => {
  await held();
  assert.strictEqual(await r.xAck("s", "g", ["1-1", "3-1"]), 2);
  assert.strictEqual(await r.xAck("s", "g", "1-1"), 0);
  assert.strictEqual((await r.xPending("s", "g")).pending, 2);
});

report.check("pending", async () => {
  await held();
  const { pending, firstId, lastId, consumers } = await r.xPending("s", "g");
  assert.deepStrictEqual([pending, firstId, lastId], [4, "1-1", "4-1"]);
  assert.deepStrictEqual(consumers.map((it) => ({ ...it })), [{ name: "one", deliveriesCounter: 4 }]);
  const [row] = await r.xPendingRange("s", "g", "(1-1", "+", 1, { consumer: "one" });
  assert.deepStrictEqual([row.id, row.consumer, row.deliveriesCounter], ["2-1", "one", 1]);
  assert.ok(row.millisecondsSinceLastDelivery >= 0);
  assert.deepStrictEqual(await r.xPendingRange("s", "g", "-", "+", 10, { IDLE: 60000 }), []);
});

report.check("claim", async () => {
  await held();
  const [claimed] = await r.xClaim("s", "g", "two", 0, "1-1");
  assert.deepStrictEqual([claimed.id, { ...claimed.message }], ["1-1", { n: "1" }]);
  assert.deepStrictEqual(await r.xClaimJustId("s", "g", "two", 0, "2-1"), ["2-1"]);
  assert.deepStrictEqual(await r.xClaim("s", "g", "two", 60000, "3-1"), []);
});

report.check("autoclaim", async () => {
  await held();
  await r.xDel("s", "2-1");
  const first = await r.xAutoClaim("s", "g", "two", 0, "0-0", { COUNT: 3 });
  assert.deepStrictEqual([first.nextId, ids(first.messages), first.deletedMessages], ["4-1", ["1-1", "3-1"], ["2-1"]]);
  const rest = await r.xAutoClaimJustId("s", "g", "two", 0, first.nextId);
  assert.deepStrictEqual([rest.nextId, rest.messages], ["0-0", ["4-1"]]);
});

report.check("trim", async () => {
  const TRIM = { strategy: "MAXLEN", strategyModifier: "=", threshold: 15 };
  for (let i = 1; i <= 20; i++) await r.xAdd("s", `${i}-1`, { n: String(i) }, { TRIM });
  assert.strictEqual(await r.xTrim("s", "MINID", "10-1", { strategyModifier: "=" }), 4);
  assert.strictEqual(await r.xDel("s", "20-1"), 1);
  assert.strictEqual(await r.xTrim("s", "MAXLEN", 7), 3);
  assert.strictEqual(await r.xLen("s"), 7);
});

report.check("info", async () => {
  await held();
  const stream = await r.xInfoStream("s");
  assert.deepStrictEqual([stream.length, stream["last-generated-id"], stream["entries-added"]], [4, "4-1", 4]);
  const [group] = await r.xInfoGroups("s");
  assert.deepStrictEqual([group.name, group.pending, group.lag], ["g", 4, 0]);
  const [consumer] = await r.xInfoConsumers("s", "g");
  assert.deepStrictEqual([consumer.name, consumer.pending], ["one", 4]);
});

report.check("transaction", async () => {
  const replies = await r.multi().xAdd("s", "1-1", { n: "1" }).xAdd("s", "2-1", { n: "2" }).xLen("s").exec();
  assert.deepStrictEqual(replies, ["1-1", "2-1", 2]);
});

report.check("watch", async () => {
  const other = await client();
  await other.watch("s");
  await r.xAdd("s", "1-1", { n: "1" });
  await assert.rejects(other.multi().xLen("s").exec(), WatchError);
});

report.check("pub-sub", async () => {
  const subscriber = await client();
  const heard = [];
  await subscriber.subscribe("news", (message, channel) => heard.push([channel, message]));
  await subscriber.pSubscribe("ne*", (message, channel) => heard.push([channel, message]));
  assert.strictEqual(await r.publish("news", "hello"), 2);
  while (heard.length < 2) await pause(5);
  assert.deepStrictEqual(heard, [["news", "hello"], ["news", "hello"]]);
});

report.check("reconnect", async () => {
  const lasting = await client();
  await lasting.xGroupCreate("s", "g", "0", { MKSTREAM: true });
  for (let i = 0; i < 50; i++) await lasting.xAdd("s", "*", { n: String(i) });
  await lasting.xReadGroup("g", "c", at(">"), { COUNT: 30 });
  const before = [await lasting.xRange("s", "-", "+"), await lasting.xPending("s", "g")];
  await broker.kill();
  await broker.run();
  while (!lasting.isReady) await pause(10);
  assert.deepStrictEqual([await lasting.xRange("s", "-", "+"), await lasting.xPending("s", "g")], before);
  const [rest] = await lasting.xReadGroup("g", "c", at(">"));
  assert.strictEqual(rest.messages.length, 20);
});

report.check("errors", async () => {
  await r.xGroupCreate("s", "g", "$", { MKSTREAM: true });
  const busy = r.xGroupCreate("s", "g", "$");
  await assert.rejects(busy, SimpleError);
  await assert.rejects(busy, /^Error: BUSYGROUP Consumer Group name already exists$/);
  await assert.rejects(r.xReadGroup("none", "c", at(">")), /^Error: NOGROUP No such key 's'/);
  await r.xAdd("s", "5-1", { n: "1" });
  await assert.rejects(r.xAdd("s", "4-1", { n: "1" }), /^Error: ERR The ID specified in XADD is equal or smaller/);
  await assert.rejects(r.get("s"), /^Error: WRONGTYPE/);
});
