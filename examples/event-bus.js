"use strict";
// An event bus between services: the shop appends what happened to one stream, `orders`; each service that cares is a
// group of its own and sees every event; the instances of a service are consumers of its group and share them.
//
//   node examples/event-bus.js [redis://127.0.0.1:6379]

const { createClient } = require("redis");

const url = process.argv[2] || "redis://127.0.0.1:6379";
const STREAM = "orders";
const ORDERS = 6;

async function connect() {
  return createClient({ url }).on("error", (error) => console.error(error.message)).connect();
}

// An instance of a service: reads what is new for its group, handles it, and acknowledges it when it is done.
async function instance(service, name, handle, done) {
  const bus = await connect();
  while (!done()) {
    const streams = await bus.xReadGroup(service, name, { key: STREAM, id: ">" }, { COUNT: 1, BLOCK: 100 });
    for (const { id, message } of streams?.[0].messages ?? []) {
      await handle(message);
      await bus.xAck(STREAM, service, id);
    }
  }
  await bus.close();
}

async function main() {
  const shop = await connect();
  await shop.del(STREAM);
  // A group remembers for itself how far it is. "0" is the beginning: also what was appended before it existed.
  for (const service of ["billing", "shipping"]) await shop.xGroupCreate(STREAM, service, "0", { MKSTREAM: true });

  const billed = [];
  const shipped = [];
  const services = [
    instance("billing", "billing-1", (order) => billed.push(order.number), () => billed.length === ORDERS),
    instance("shipping", "shipping-1", (order) => shipped.push(order.number), () => shipped.length === ORDERS),
    instance("shipping", "shipping-2", (order) => shipped.push(order.number), () => shipped.length === ORDERS),
  ];
  for (let number = 1; number <= ORDERS; number++) {
    // The reply means that the event is on disk.
    await shop.xAdd(STREAM, "*", { type: "placed", number: String(number) });
  }
  await Promise.all(services);

  console.log(`billed: ${billed.join(" ")}`);
  console.log(`shipped: ${shipped.sort().join(" ")}`);
  for (const group of await shop.xInfoGroups(STREAM)) {
    console.log(`${group.name}: ${group.pending} pending, ${group.lag} to come`);
  }
  await shop.close();
}

main().catch((error) => { console.error(error); process.exitCode = 1; });
