"use strict";
// A server of its own for the checks: started on a free port, killed with -9 and started again on request.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");

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

class Broker {
  static async start() {
    const broker = new Broker();
    broker.port = await freePort();
    broker.directory = fs.mkdtempSync(path.join(os.tmpdir(), "alluvium-node-"));
    await broker.run();
    return broker;
  }

  async run() {
    // VALKEY_BIN lets the checks be proven on another server.
    const other = process.env.VALKEY_BIN;
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.directory, "--appendfsync", "always"];
    this.process = spawn(other || process.env.ALLUVIUM_BIN, other ? [...args, "--appendonly", "yes"] : args, { stdio: "ignore" });
    for (let i = 0; i < 500; i++) {
      if (await answers(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("the server did not start");
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

module.exports = { Broker };
