"""A notification store: one short stream a user. The app shows the newest, knows what is unread, and hears of new ones.

    python examples/notification_store.py [port]
"""

import sys
import threading

import redis

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
KEPT = 5


class Notifications:
    """The notifications of one user."""

    def __init__(self, store, user):
        self.store = store
        self.inbox = "notifications:" + user
        self.seen = "seen:" + user

    def add(self, text):
        """Appends, and keeps the newest: the stream trims itself."""
        return self.store.xadd(self.inbox, {"text": text}, maxlen=KEPT, approximate=False)

    def newest(self, count):
        return [fields["text"] for _, fields in self.store.xrevrange(self.inbox, count=count)]

    def mark_seen(self, entry):
        """Where the user is, as an entry of a stream of its own: this broker has no other kind of value."""
        self.store.xadd(self.seen, {"up-to": entry}, maxlen=1, approximate=False)

    def unread(self):
        """What came behind the last one that was seen."""
        last = self.store.xrevrange(self.seen, count=1)
        start = "(" + last[0][1]["up-to"] if last else "-"
        return [fields["text"] for _, fields in self.store.xrange(self.inbox, min=start)]

    def wait(self, after, seconds):
        """The next notification behind an entry, as soon as there is one."""
        reply = self.store.xread({self.inbox: after}, block=int(seconds * 1000), count=1)
        return reply[0][1][0][1]["text"] if reply else None


def main():
    store = redis.Redis(port=PORT, decode_responses=True)
    ann = Notifications(store, "ann")
    store.delete(ann.inbox, ann.seen)

    ids = [ann.add("message %d" % i) for i in range(1, 8)]
    print("newest:", ", ".join(ann.newest(2)))
    print("kept:", store.xlen(ann.inbox))
    ann.mark_seen(ids[4])
    print("unread:", ", ".join(ann.unread()))

    # A chat window that waits; the notification comes from somewhere else.
    timer = threading.Timer(0.1, ann.add, ["message 8"])
    timer.start()
    print("heard:", ann.wait(after=ids[-1], seconds=10))
    timer.join()

    # Ann has left for good.
    store.delete(ann.inbox, ann.seen)
    print("left:", store.exists(ann.inbox, ann.seen))


if __name__ == "__main__":
    main()
