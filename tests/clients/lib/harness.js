"use strict";
// What the Node.js folders share: checks that report what they found, and a broker to find it with.
//
// A line of the report is JSON in the file that CHECK_RESULTS names: first who the client is, then one line for
// each check.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const test = require("node:test");

function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.on("data", (data) => { socket.destroy(); resolve(data.toString() === "+PONG\r\n"); });
    socket.on("error", () => resolve(false));
  });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A broker of its own: started on a free port, killed with -9 and started again on request.
class Broker {
  static async start() {
    const broker = new Broker();
    broker.port = await freePort();
    broker.directory = fs.mkdtempSync(path.join(os.tmpdir(), "alluvium-node-"));
    await broker.run();
    return broker;
  }

  async run() {
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.directory];
    this.process = spawn(process.env.ALLUVIUM_BIN, [...args, "--appendfsync", "always"], { stdio: "ignore" });
    for (let i = 0; i < 500; i++) {
      if (await answers(this.port)) return;
      await pause(20);
    }
    throw new Error("the broker did not start");
  }

  kill() {
    return new Promise((resolve) => {
      this.process.once("exit", resolve);
      this.process.kill("SIGKILL");
    });
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

// What one client shows.
class Report {
  constructor(client, version) {
    this.client = client;
    this.version = version;
  }

  say(line) {
    fs.appendFileSync(process.env.CHECK_RESULTS, `${JSON.stringify({ client: this.client, ...line })}\n`);
  }

  who(protocol) {
    this.say({ version: this.version, runtime: `Node.js ${process.versions.node.split(".")[0]}`, protocol });
  }

  // A test that is one of the checks.
  check(name, work) {
    test(name, async () => {
      try {
        await work();
      } catch (error) {
        this.say({ check: name, result: "failed", why: String(error) });
        throw error;
      }
      this.say({ check: name, result: "yes" });
    });
  }
}

module.exports = { Broker, Report, pause };
