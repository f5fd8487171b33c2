#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A job whose fetch crashes penstockd is set aside after the second crash, and nobody else is
blamed: neither what ran beside it, nor anything that ran at a SIGKILL."""
import contextlib
import os
import signal
import unittest

import daemon_harness
import durable_harness
import harness
from durable_harness import BROKEN, Book, Job, request


@unittest.skipUnless(os.path.exists(durable_harness.FAULTS), "tests/system/faults.so is not built")
class Poison(daemon_harness.Case):
    def setUp(self):
        super().setUp()
        self.book = Book()
        self.silent = self.server(harness.Silent)  # connecting there is deadly…
        self.deadly = durable_harness.faulty([], CRASH_PORT=self.silent.port)  # …with this
        self.gate = self.server(harness.Gate)
        durable_harness.write_config(self.dir, workers=8)

    def submit(self, daemon, key, url, outcome="done"):
        job = self.book.add(Job(key, url, key, outcome))
        self.assertEqual(durable_harness.submit(daemon, job).status, 202)
        return job

    def submit_beside(self, daemon):
        """Four that are under way until the gate is opened."""
        return [self.submit(daemon, f"beside{i}", self.gate.url("/")) for i in range(4)]

    def submit_poison(self, daemon, key):
        """The crash may be quicker than the receipt, but not than the acceptance."""
        url = f"http://127.0.0.1:{self.silent.port}/"
        job = self.book.add(Job(key, url, key, "dead"))
        try:
            durable_harness.submit(daemon, job)
        except BROKEN:
            job.fate = Job.ACCEPTED
        return job

    def await_crash(self, daemon):
        ended = daemon.wait()
        self.assertEqual(ended.code, -signal.SIGSEGV, ended.err)

    def finish(self, daemon):
        """Waits until all is settled, and returns the records by id."""
        ledger = durable_harness.await_settled(daemon)
        daemon.stop()
        durable_harness.check_sound(daemon)
        records = durable_harness.log_records(self.dir)
        durable_harness.prove(self.book, records, ledger)
        durable_harness.audit(self.dir)
        return {record["id"]: record for record in records}

    def check_not_blamed(self, records, jobs):
        for job in jobs:
            self.assertEqual(records[job.id]["attempts"], 1, records[job.id])

    def test_it_is_set_aside_after_two_crashes_and_bystanders_are_not_blamed(self):
        daemon = self.daemon(env=self.deadly)
        beside = self.submit_beside(daemon)
        self.gate.await_waiting(4)
        self.submit_poison(daemon, "poison")
        self.await_crash(daemon)
        self.await_crash(self.launch(env=self.deadly))

        self.gate.open()
        daemon = self.daemon(env=self.deadly)
        late = self.submit(daemon, "late", self.origin.url("/ok"))
        records = self.finish(daemon)
        self.assertIn("crashed the daemon 2 times", daemon.err.text)
        self.assertTrue(records["poison"]["reason"].startswith("poison"), records["poison"])
        self.check_not_blamed(records, [*beside, late])

    def test_it_is_one_of_several_each_of_which_is_found(self):
        """They are fetched at once: a crash blames one of them, and it takes six to blame all."""
        daemon = self.daemon(env=self.deadly)
        beside = [self.submit(daemon, f"beside{i}", self.origin.url("/delay/0.05"))
                  for i in range(20)]
        self.submit_poison(daemon, "poison0")
        self.await_crash(daemon)
        # The others come at a start whose fetches are harmless, and wait: nobody answers.
        daemon = self.daemon()
        poison = [self.submit_poison(daemon, f"poison{i}") for i in (1, 2)]
        durable_harness.kill(daemon)
        crashes = 1
        while True:
            daemon = self.launch(env=self.deadly)

            def has_come_to_an_end():
                with contextlib.suppress(*BROKEN):
                    return daemon.process.poll() is not None or \
                        daemon.status()["ledger"]["dead"] == 3
            harness.eventually(has_come_to_an_end, "a crash, or the end")
            if daemon.process.poll() is None:
                break
            self.await_crash(daemon)
            crashes += 1
            self.assertLessEqual(crashes, 6)
        self.assertEqual(crashes, 6)
        records = self.finish(daemon)
        for job in poison:
            self.assertTrue(records[job.id]["reason"].startswith("poison"), records[job.id])
        self.check_not_blamed(records, beside)

    def test_one_crash_is_forgiven(self):
        daemon = self.daemon(env=self.deadly)
        job = self.submit_poison(daemon, "unlucky")
        self.await_crash(daemon)
        daemon = self.daemon()  # the same port is harmless now, and says nothing
        harness.eventually(lambda: request(daemon.socket, "GET", "/v1/jobs/unlucky").json["state"]
                           == "running", "it is fetched again")
        durable_harness.kill(daemon)
        self.assertEqual(job.fate, Job.ACCEPTED)

    def test_a_kill_blames_nobody(self):
        daemon = self.daemon()
        beside = self.submit_beside(daemon)
        for _ in range(4):
            self.gate.await_waiting(4)
            durable_harness.kill(daemon)
            self.gate.await_waiting(0)
            daemon = self.daemon()
        self.gate.open()
        self.check_not_blamed(self.finish(daemon), beside)

    def test_a_crash_of_nobodys_making_blames_nobody(self):
        daemon = self.daemon()
        beside = self.submit_beside(daemon)
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            self.gate.await_waiting(4)
            daemon.signal(number)
            self.assertNotIn(daemon.wait().code, (harness.OK, None))
            self.gate.await_waiting(0)
            daemon = self.daemon()
        self.gate.open()
        self.check_not_blamed(self.finish(daemon), beside)


if __name__ == "__main__":
    harness.main()
