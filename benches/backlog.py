#!/usr/bin/env python3
"""What a large backlog costs: memory, disk, restarts and scans, of Alluvium or of Valkey.

usage: backlog.py (--alluvium BINARY | --valkey BINARY) [--entries N] [--streams N] [--maxlen N]
                  [--dir DIR] [--port PORT]

Adds N entries of one field of 100 bytes, JSON-like and all different, to each of the streams, waits
until background work has settled, and prints one line for each figure. Nothing but Python is needed.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

BATCH = 500


def command(*args):
    """A request as bytes."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = arg if isinstance(arg, bytes) else str(arg).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb", buffering=1 << 20)

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if not line:
            raise ConnectionError("the server has closed the connection")
        return rest

    def call(self, *args):
        self.socket.sendall(command(*args))
        return self.reply()

    def info(self, section):
        lines = self.call("INFO", section).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)


class Server:
    def __init__(self, args):
        self.args = args
        self.process = None

    def start(self):
        """Starts the server; seconds until it answers."""
        args, port = self.args, str(self.args.port)
        if args.alluvium:
            line = [args.alluvium, "--dir", args.dir, "--port", port, "--appendfsync", "everysec"]
        else:
            line = [args.valkey, "--dir", args.dir, "--port", port, "--appendonly", "yes"]
            line += ["--appendfsync", "everysec"]
        begin = time.monotonic()
        self.process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        while True:
            try:
                client = Client(self.args.port)
                client.call("PING")
                return time.monotonic() - begin
            except (ConnectionError, RuntimeError):
                time.sleep(0.002)

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait()

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            lines = [line for line in status if line.startswith("RssAnon")]
        return int(lines[0].split()[1]) / 1024

    def written(self):
        with open(f"/proc/{self.process.pid}/io") as counters:
            lines = [line for line in counters if line.startswith("write_bytes")]
        return int(lines[0].split()[1])


def value(number):
    noise = random.getrandbits(64)
    text = b'{"id":%d,"user":"u%06d","sku":"%016x","amount":%d.%02d,"ts":%d}' % (
        number,
        noise % 1000000,
        noise,
        noise % 997,
        noise % 89,
        1700000000000 + number * 3,
    )
    return text.ljust(100, b" ")[:100]


def fill(client, args):
    trim = ("MAXLEN", "~", args.maxlen) if args.maxlen else ()
    total = args.entries * args.streams
    waiting = 0
    for first in range(0, total, BATCH):
        numbers = range(first, min(total, first + BATCH))
        key = lambda number: b"s" if args.streams == 1 else b"s:%d" % (number % args.streams)
        adds = [command("XADD", key(n), *trim, "*", "data", value(n)) for n in numbers]
        client.socket.sendall(b"".join(adds))
        waiting += len(numbers)
        if waiting >= 4 * BATCH:
            for _ in range(waiting):
                client.reply()
            waiting = 0
    for _ in range(waiting):
        client.reply()


def settle(client, args):
    """Waits until background work is done."""
    quiet = 0
    while quiet < 3:
        time.sleep(1)
        if args.alluvium:
            info = client.info("alluvium")
            is_busy = int(info["sort_bytes_waiting"]) > 3 * 64 << 20
            is_busy |= info["checkpoint_in_progress"] == "1"
        else:
            info = client.info("persistence")
            is_busy = info["aof_rewrite_in_progress"] == "1"
        quiet = 0 if is_busy else quiet + 1


def scan(client):
    begin, start, count = time.monotonic(), b"-", 0
    while True:
        page = client.call("XRANGE", b"s", start, b"+", "COUNT", "1000")
        if not page:
            return count / (time.monotonic() - begin)
        count += len(page)
        start = b"(" + page[-1][0]


def disk(directory):
    files = [os.path.join(at, name) for at, _, names in os.walk(directory) for name in names]
    return sum(os.stat(file).st_blocks * 512 for file in files)


def drop_cache(directory):
    os.sync()
    for at, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--alluvium")
    parser.add_argument("--valkey")
    parser.add_argument("--entries", type=int, default=1000000)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--maxlen", type=int)
    parser.add_argument("--dir", default="backlog-data")
    parser.add_argument("--port", type=int, default=16379)
    args = parser.parse_args()
    if bool(args.alluvium) == bool(args.valkey):
        sys.exit("one of --alluvium and --valkey")
    shutil.rmtree(args.dir, ignore_errors=True)
    os.makedirs(args.dir)
    server = Server(args)
    server.start()
    client = Client(args.port)
    payload = args.entries * args.streams * 100
    begin = time.monotonic()
    fill(client, args)
    seconds = time.monotonic() - begin
    peak = server.memory()
    print(f"filled            {args.entries * args.streams / seconds:.0f} entries/s", flush=True)
    settle(client, args)
    print(f"anonymous memory  {server.memory():.0f} MB, {peak:.0f} MB behind the last XADD")
    print(f"disk              {disk(args.dir) / 1e6:.0f} MB, of {payload / 1e6:.0f} MB of values")
    print(f"written           {server.written() / 1e6:.0f} MB", flush=True)
    if args.alluvium:
        info = client.info("alluvium")
        names = ["log_bytes_written", "sorted_bytes_written", "sorted_segments", "dead_bytes"]
        print("                  " + " ".join(f"{name}={info[name]}" for name in names))
    server.stop(signal.SIGKILL)
    print(f"ready after kill  {server.start():.3f} s", flush=True)
    server.stop(signal.SIGTERM)
    drop_cache(args.dir)
    print(f"ready after stop  {server.start():.3f} s, files not cached", flush=True)
    client = Client(args.port)
    if args.streams == 1:
        for what in ["cold", "warm"]:
            print(f"scan, {what}        {scan(client):.0f} entries/s", flush=True)
    print(f"anonymous memory  {server.memory():.0f} MB behind that")
    server.stop(signal.SIGTERM)
    shutil.rmtree(args.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
