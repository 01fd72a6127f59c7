"""The report takes nothing for granted: what is missing, failed or unexplained is a fault, and rows say what was found."""

import unittest

import report

CHECKS = {"one": "the first", "two": "the second"}


def heard(*lines):
    client = report.Client("c")
    for line in lines:
        client.hear(line)
    return client


WHO = {"version": "1.2", "runtime": "Ada", "protocol": "RESP3"}


def said(check, result="yes", **more):
    return {"check": check, "result": result, **more}


class Faults(unittest.TestCase):
    def faults(self, *lines):
        return list(heard(*lines).faults(CHECKS))

    def test_a_full_report_has_none(self):
        self.assertEqual(self.faults(WHO, said("one"), said("two", "impossible", why="no way")), [])

    def test_a_check_that_did_not_run_is_one(self):
        self.assertEqual(self.faults(WHO, said("one")), ["c: two was not checked"])

    def test_one_failed_test_fails_its_check(self):
        for lines in ([said("one"), said("one", "failed", why="no")], [said("one", "failed", why="no"), said("one")]):
            self.assertEqual(self.faults(WHO, said("two"), *lines), ["c: one failed: no"])

    def test_impossible_needs_a_reason(self):
        self.assertEqual(self.faults(WHO, said("one"), said("two", "impossible")), ["c: two is impossible without a reason"])

    def test_a_client_says_who_it_is(self):
        self.assertEqual(self.faults(said("one"), said("two")), ["c: did not say who it is"])


class Rows(unittest.TestCase):
    def test_a_row_tells_what_was_found(self):
        client = heard(WHO, said("one"), said("two", "impossible", why="no way"), said("three"))
        self.assertEqual(client.row(CHECKS), "| c | 1.2 | Ada | RESP3 | yes | - |")
        self.assertEqual(list(client.notes(CHECKS)), ["* c, two: no way", "* c also: three"])

    def test_a_row_may_differ_in_what_the_machine_decides_and_in_nothing_else(self):
        row, other = "| c | 1.2 | Go 1.26 | RESP3 | yes |", "| c | 1.2 | Go 1.27 | RESP3 | yes |"
        self.assertEqual(report.compared(row), report.compared(other))
        for other in ("| c | 1.3 | Go 1.26 | RESP3 | yes |", "| c | 1.2 | Go 1.26 | RESP3 | - |", "| d | 1.2 | Go 1.26 | RESP3 | yes |"):
            self.assertNotEqual(report.compared(row), report.compared(other))


if __name__ == "__main__":
    unittest.main()
