#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A job costs no more instructions and system calls than tests/bench/counts.json has."""
import os
import sys
import unittest

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bench"))
import counting  # noqa: E402
import counts  # noqa: E402

SKIPPED = 77


class Counts(unittest.TestCase):
    recorded = counts.load()
    only = None  # the part whose instructions are held; None: all

    def need(self, reason):
        """Skips the test for a reason, which is said."""
        if reason:
            print(f"skipped: {self.id()}: {reason}", file=sys.stderr)
            self.skipTest(reason)

    def hold(self, kind, what, only=None):
        recorded = self.recorded[kind][what]
        worse = counts.regressions(kind, what, recorded,
                                   counts.measure(kind, counts.SCENES[what]), only)
        if worse:
            self.fail("\n".join([*worse, f"if it is worth that, record it: {counts.HOW}"]))


class Instructions(Counts):
    def setUp(self):
        self.need(counting.missing("valgrind"))

    def test_of_a_fetch_over_http(self):
        self.hold("instructions", "http", self.only)

    def test_of_a_fetch_over_https(self):
        self.hold("instructions", "https", self.only)

    def test_of_a_job_in_the_database(self):
        self.hold("instructions", "durable", self.only)


class SystemCalls(Counts):
    def test_of_every_kind_of_job(self):
        self.need(counting.cannot_trace())
        for what in counts.SCENES:
            with self.subTest(what):
                self.hold("system calls", what)


def main():
    then, now = Counts.recorded["measured with"], counts.circumstances()
    reason = counting.missing() or counts.why_not_held(then, now) or \
        (counting.missing("valgrind") and counting.cannot_trace())
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    differences = counts.differences(then, now)
    if differences:
        Counts.only = "penstock"
        print("only penstock's own instructions are held, not those in libraries:",
              "; ".join(differences), file=sys.stderr)
    harness.main()


if __name__ == "__main__":
    main()
