"""What the Python folders share: checks that report what they found, and a broker to find it with.

A line of the report is JSON in the file that CHECK_RESULTS names: first who the client is, then one line for each
check. A check that several tests make up holds where all of them do.
"""

import functools
import json
import os
import platform
import sys
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))

from peers import Peer  # noqa: E402

PYTHON = "Python " + ".".join(platform.python_version_tuple()[:2])


def broker():
    """A broker of its own on a free port: `kill` ends it with -9, `start` brings it back, `stop` removes it."""
    return Peer("alluvium", fsync="always")


class Report:
    """What one client shows."""

    def __init__(self, client):
        self.client = client

    def say(self, **line):
        with open(os.environ["CHECK_RESULTS"], "a") as results:
            results.write(json.dumps({"client": self.client, **line}) + "\n")

    def who(self, version, runtime, protocol):
        self.say(version=version, runtime=runtime, protocol=protocol)

    def impossible(self, check, why):
        self.say(check=check, result="impossible", why=why)

    def check(self, name):
        """Marks a test as a part of the named check."""

        def mark(test):
            @functools.wraps(test)
            def run(*arguments):
                try:
                    test(*arguments)
                except BaseException as error:
                    self.say(check=name, result="failed", why="%s: %s" % (test.__name__, error))
                    raise
                self.say(check=name, result="yes")

            return run

        return mark


def run(checks):
    """Runs functions that `Report.check` has marked, one after the other: the exit code."""
    failed = 0
    for check in checks:
        try:
            check()
            print("ok: %s" % check.__name__, flush=True)
        except (Exception, SystemExit):
            failed += 1
            print("FAILED: %s\n%s" % (check.__name__, traceback.format_exc()), flush=True)
    print("%d passed, %d failed" % (len(checks) - failed, failed))
    return 1 if failed else 0
