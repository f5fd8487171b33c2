#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker, a fetch, a job and a lane take no more memory than is published, and all together
stay below the ceiling that follows from the settings.  tests/bench/memory.py has the figures."""
import itertools
import unittest

import harness
import memory_harness
import nginx_harness
from memory_harness import each

# At most, in KiB, with some room above what was measured (tests/bench/README.md, "Memory").
IDLE_WORKER = 12
HTTP_FETCH = 40   # its worker not included, as in the next one
HTTPS_FETCH = 130
QUEUED_JOB = WAITING_JOB = 0.35
QUEUED_LANE, WAITING_LANE = 0.6, 0.35  # its one job not included, as in the next ones
SQLITE_JOB, SQLITE_LANE = 0.2, 0.2     # while its caches fill
SQLITE_JOB_ON_DISK, SQLITE_LANE_ON_DISK = 0.16, 0.13

N = 10000  # jobs


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.origin = harness.Origin("127.0.0.0/8")
        cls.addClassCleanup(cls.origin.stop)
        cls.origin.address = "127.0.0.1"  # of those that it has

    def check_ceiling(self, running):
        self.assertLess(running.status_kib("VmHWM"), running.ceiling_kib())

    def check_fetches(self, server, n, most, **settings):
        """What a fetch takes whose server does not answer; returns what n idle workers do."""
        with memory_harness.holder(workers=n, max_jobs=n, max_bytes="4M", **settings) as running:
            idle = running.kib()
            running.hold(memory_harness.urls(server, n), running=n)
            harness.eventually(lambda: self.origin.counters()["in_flight"] == n, "all have asked")
            # A wait that lasts comes to take less: see handle.c.
            harness.eventually(lambda: running.kib() <= idle + n * most,
                               f"{n} fetches take at most {most} KiB each", pause=0.1)
            self.check_ceiling(running)
        harness.eventually(lambda: self.origin.counters()["in_flight"] == 0, "all have gone")
        return n, idle

    def test_workers_that_are_idle_and_that_fetch(self):
        few = self.check_fetches(self.origin, 200, HTTP_FETCH)
        many = self.check_fetches(self.origin, 1000, HTTP_FETCH)
        self.assertLessEqual(each(few, many), IDLE_WORKER)

    @unittest.skipIf(nginx_harness.missing(), nginx_harness.missing())
    def test_fetches_with_tls(self):
        front = memory_harness.TlsFront(self.origin)
        self.addCleanup(front.stop)
        self.check_fetches(front, 250, HTTPS_FETCH, origin=front.trust)

    def check_jobs(self, account, lines, most, **settings):
        """What jobs take of which the second half comes after the first."""
        with memory_harness.holder(max_jobs=2 * N + 2, max_bytes="32M", **settings) as running:
            running.hold(memory_harness.urls(self.origin, 1), running=1)
            if account == "waiting":
                running.hold(memory_harness.urls(self.origin, 1), queued=1)
            taken = []
            for n in N, 2 * N:
                running.hold(itertools.islice(lines, N), **{account: n})
                taken.append((n, running.kib()))
            self.assertLessEqual(each(*taken), most)
            self.check_ceiling(running)
            return running.stopped_database_kib() if settings.get("backlog") == "sqlite" else 0

    def jobs(self):
        return memory_harness.urls(self.origin, 2 * N)

    def lanes(self):
        return memory_harness.origins_urls(self.origin.port, 2 * N)

    def test_jobs_and_lanes_in_the_queue(self):
        room = 2 * N + 200  # the feeder waits for room for many at once
        self.check_jobs("queued", self.jobs(), QUEUED_JOB, capacity=room)
        self.check_jobs("queued", self.lanes(), QUEUED_JOB + QUEUED_LANE, capacity=room)

    def test_jobs_and_lanes_that_wait_in_memory(self):
        self.check_jobs("waiting", self.jobs(), WAITING_JOB)
        self.check_jobs("waiting", self.lanes(), WAITING_JOB + WAITING_LANE)

    def test_jobs_and_lanes_that_wait_in_a_database(self):
        of_jobs = self.check_jobs("waiting", self.jobs(), SQLITE_JOB, backlog="sqlite")
        of_lanes = self.check_jobs("waiting", self.lanes(), SQLITE_JOB + SQLITE_LANE,
                                   backlog="sqlite")
        self.assertLessEqual(of_jobs, 2 * N * SQLITE_JOB_ON_DISK)
        self.assertLessEqual(of_lanes - of_jobs, 2 * N * SQLITE_LANE_ON_DISK)


if __name__ == "__main__":
    harness.main()
