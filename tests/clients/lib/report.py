"""Compares what the clients reported with what they must show, and writes `docs/clients.md` from it.

    report.py RESULTS               checks each RESULTS/*.jsonl, and that the rows of docs/clients.md say the same
    report.py --update RESULTS      writes docs/clients.md; needs the results of all clients

A check is `yes` when each of its tests passed; a check without a result is a failure. Only what a client cannot do at
all is `impossible`, with the reason.
"""

import glob
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "..", "..", "docs", "clients.md")

# In the order of the table.
CLIENTS = [
    "redis-py", "redis-py asyncio", "node-redis", "ioredis", "Lettuce", "Jedis", "Spring Data Redis", "Redisson",
    "go-redis", "redis-rs", "redis-rs async", "redis-cli", "redis-benchmark",
]
ABSENT = {
    "StackExchange.Redis": "not run, because the machines of these checks have neither a .NET SDK nor a way to its registry",
}

BEGIN = """# Clients

Each of these clients runs the same checks against the broker, with its default settings, in every CI run:
`tests/clients/run.sh`. This page is written from what the runs reported; `-` is what a client cannot do, with the reason below.
"""

END = """
## Notes

Clients that are not in the table work as far as they send the commands of `docs/commands.md`; what needs Lua scripts, modules or
other data types than streams does not. Run one folder by its name, `tests/clients/run.sh go-redis`; after a change of versions
write this page again with `UPDATE=1 tests/clients/run.sh`.
"""


def required():
    """The checks: name -> what holds."""
    with open(os.path.join(HERE, "checks.txt")) as lines:
        rows = [line.strip().split(": ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return dict(rows)


class Client:
    """What one client reported."""

    def __init__(self, name):
        self.name = name
        self.who = None
        self.results = {}
        self.reasons = {}

    def hear(self, line):
        if "check" not in line:
            self.who = (line["version"], line["runtime"], line["protocol"])
            return
        check, result = line["check"], line["result"]
        if self.results.get(check) != "failed":
            self.results[check] = result
        if "why" in line:
            self.reasons.setdefault(check, line["why"])

    def faults(self, checks):
        if self.who is None:
            yield "%s: did not say who it is" % self.name
        for check in checks:
            if check not in self.results:
                yield "%s: %s was not checked" % (self.name, check)
        for check, result in self.results.items():
            if result not in ("yes", "impossible"):
                yield "%s: %s %s: %s" % (self.name, check, result, self.reasons.get(check, "no reason"))
            elif result == "impossible" and not self.reasons.get(check):
                yield "%s: %s is impossible without a reason" % (self.name, check)

    def row(self, checks):
        cells = ["yes" if self.results[check] == "yes" else "-" for check in checks]
        return "| " + " | ".join([self.name, *self.who, *cells]) + " |"

    def notes(self, checks):
        """Lines about what the table does not show: checks of its own, and what is impossible."""
        why = {}
        for check in checks:
            if self.results[check] == "impossible":
                why.setdefault(self.reasons[check], []).append(check)
        for reason, names in why.items():
            yield "* %s, %s: %s" % (self.name, ", ".join(names), reason)
        for check in self.results:
            if check not in checks:
                yield "* %s also: %s" % (self.name, check)


def read(folder):
    clients = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
        with open(path) as lines:
            for text in lines:
                line = json.loads(text)
                name = line.pop("client")
                clients.setdefault(name, Client(name)).hear(line)
    return clients


def wrapped(text, width=130, indent="  "):
    """A list item in lines of prose."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line = word if not line else line + " " + word
    return "\n".join([*lines, line])


def page(clients, checks):
    head = ["client", "version", "runtime", "protocol", *checks]
    lines = [BEGIN, "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [clients[name].row(checks) for name in CLIENTS]
    lines.append("")
    notes = [note for name in CLIENTS for note in clients[name].notes(checks)]
    notes += ["* %s: %s" % (name, why) for name, why in ABSENT.items()]
    lines += [wrapped(note) for note in notes]
    lines += ["", "## What `yes` means", ""]
    lines += [wrapped("* **%s**: %s" % (name, claim)) for name, claim in checks.items()]
    return "\n".join(lines) + "\n" + END


def compared(text):
    """The lines of a page, without what a machine decides: a language's version, and that of a distribution's tools."""
    lines = []
    for line in text.split("\n"):
        cells = line.split(" | ")
        if len(cells) > 4:
            cells[1:3] = ["", ""] if cells[2] == "C" else [cells[1], ""]
        lines.append(" | ".join(cells))
    return lines


def main():
    update = "--update" in sys.argv
    clients, checks = read(sys.argv[-1]), required()
    faults = [fault for client in clients.values() for fault in client.faults(checks)]
    faults += ["%s is not known to the report" % name for name in clients if name not in CLIENTS]
    if faults:
        print("\n".join(faults))
        return 1
    missing = [name for name in CLIENTS if name not in clients]
    if update:
        if missing:
            print("no results of %s: run all clients" % ", ".join(missing))
            return 1
        with open(PAGE, "w") as file:
            file.write(page(clients, checks))
        return 0
    with open(PAGE) as file:
        written = compared(file.read())
    if missing:
        wrong = [line for it in clients.values() for line in compared(it.row(checks)) if line not in written]
    else:
        found = compared(page(clients, checks))
        wrong = [line for line in found if line not in written]
        wrong += [] if wrong or written == found else ["(the order of the lines differs, or there are more)"]
    if wrong:
        print("docs/clients.md is not what the runs show; UPDATE=1 tests/clients/run.sh writes it:")
        print("\n".join(wrong))
        return 1
    print("%d clients, %d checks each" % (len(clients), len(checks)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
