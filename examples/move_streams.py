"""Copies all streams of a server to another one, by ordinary commands: entries with their IDs, counters, groups with
their cursors, and what is pending, with owner, idle time and delivery count. Run it while nobody changes them.

    python examples/move_streams.py redis://from:6379 redis://to:6379
"""

import sys

import redis

PAGE = 1000


def connect(url):
    client = redis.Redis.from_url(url)
    # As they come: an entry may have the same field twice, which a dictionary would lose.
    client.set_response_callback("XRANGE", lambda reply, **options: reply)
    return client


def pages(read):
    """Pages of rows that begin with their ID, each behind the last of the one before."""
    start = b"-"
    while rows := read(start):
        yield rows
        start = b"(" + rows[-1][0]


def copy_entries(source, target, key):
    facts = source.xinfo_stream(key)
    if facts["length"] == 0:
        target.xadd(key, {"": ""}, id="0-1")
        target.xdel(key, "0-1")
    for rows in pages(lambda start: source.xrange(key, min=start, count=PAGE)):
        with target.pipeline(transaction=False) as pipe:
            for entry, fields in rows:
                pipe.execute_command("XADD", key, entry, *fields)
            pipe.execute()
    target.execute_command("XSETID", key, facts["last-generated-id"], "ENTRIESADDED", facts["entries-added"],
                           "MAXDELETEDID", facts["max-deleted-entry-id"])
    return facts["length"]


def copy_group(source, target, key, facts):
    group = facts["name"]
    target.xgroup_create(key, group, id=facts["last-delivered-id"], entries_read=facts["entries-read"])
    for consumer in source.xinfo_consumers(key, group):
        target.xgroup_createconsumer(key, group, consumer["name"])

    def pending(start):
        rows = source.xpending_range(key, group, start, "+", PAGE)
        return [(row["message_id"], row) for row in rows]

    for rows in pages(pending):
        with target.pipeline(transaction=False) as pipe:
            for entry, row in rows:
                pipe.xclaim(key, group, row["consumer"], 0, [entry], idle=row["time_since_delivered"],
                            retrycount=row["times_delivered"], force=True, justid=True)
            pipe.execute()
    return target.xpending(key, group)["pending"]


def main(source, target):
    for key in sorted(source.scan_iter(_type="stream")):
        if target.exists(key):
            raise SystemExit("%s is already there" % key.decode())
        entries = copy_entries(source, target, key)
        groups = source.xinfo_groups(key)
        pending = sum(copy_group(source, target, key, facts) for facts in groups)
        expiry = source.pexpiretime(key)
        if expiry > 0:
            target.pexpireat(key, expiry)
        print("%s: %d entries, %d groups, %d pending" % (key.decode(), entries, len(groups), pending))


if __name__ == "__main__":
    main(connect(sys.argv[1]), connect(sys.argv[2]))
