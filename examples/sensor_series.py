"""A time series of a sensor: the entry ID is the time of the reading, so a range of IDs is a range of time.

    python examples/sensor_series.py [port]
"""

import sys

import redis

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
SERIES = "sensor:roof:temperature"
NOON = 1767268800000  # of 2026-01-01, UTC, in milliseconds
MINUTE = 60_000


def record(store, readings):
    """Appends readings in one round trip. An ID of milliseconds and `-*` lets two readings share a millisecond."""
    with store.pipeline(transaction=False) as pipe:
        for at, celsius in readings:
            pipe.xadd(SERIES, {"celsius": "%.1f" % celsius}, id="%d-*" % at)
        return pipe.execute()


def between(store, start, end):
    """The readings from `start` up to, and without, `end`."""
    found = store.xrange(SERIES, min=start, max="(%d-0" % end)
    return [(int(entry.split("-")[0]), float(fields["celsius"])) for entry, fields in found]


def averages(store, start, end, step):
    """One average for each step of time that has readings."""
    for low in range(start, end, step):
        values = [value for _, value in between(store, low, low + step)]
        if values:
            yield low, sum(values) / len(values)


def main():
    store = redis.Redis(port=PORT, decode_responses=True)
    store.delete(SERIES)

    # Two hours, a reading each ten seconds: it gets a degree warmer each hour.
    record(store, [(NOON + i * 10_000, 4.0 + i / 360) for i in range(720)])
    print("readings:", store.xlen(SERIES))
    print("first ten minutes:", len(between(store, NOON, NOON + 10 * MINUTE)))
    for low, average in averages(store, NOON, NOON + 120 * MINUTE, 60 * MINUTE):
        print("hour %d: %.1f" % ((low - NOON) // (60 * MINUTE), average))
    entry, fields = store.xrevrange(SERIES, count=1)[0]
    print("latest:", fields["celsius"])

    # A reading cannot come late: IDs grow.
    try:
        record(store, [(NOON, 3.0)])
    except redis.ResponseError as error:
        print("late:", "equal or smaller" in str(error))

    # Keep one hour.
    print("dropped:", store.xtrim(SERIES, minid=NOON + 60 * MINUTE, approximate=False))
    print("kept:", store.xlen(SERIES))


if __name__ == "__main__":
    main()
