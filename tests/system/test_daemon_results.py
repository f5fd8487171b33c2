#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd's results: rotated while it writes, on a disk that is full, and whole after a kill."""
import os
import resource
import signal
import time
import unittest

import daemon_harness
import harness
from harness import IO_ERROR, OK


class Rotation(daemon_harness.Case):
    def rotate(self, daemon, n):
        """As logrotate does; returns once the new file is written to."""
        os.rename(self.path("results.jsonl"), self.path(f"results.jsonl.{n}"))
        said = daemon.err.text.count("results.jsonl: opened anew")
        daemon.signal(signal.SIGUSR1)
        harness.eventually(
            lambda: daemon.err.text.count("results.jsonl: opened anew") > said, "it is opened")

    def test_new_records_go_to_the_new_file(self):
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()
        self.append("urls", self.jobs("/ok", ["old"]))
        daemon.await_records(1)
        self.rotate(daemon, 1)
        self.append("urls", self.jobs("/ok", ["new"]))
        self.assertEqual([(r["id"], r["seq"]) for r in daemon.await_records(1)], [("new", 2)])
        self.assertEqual([r["id"] for r in daemon.records("results.jsonl.1")], ["old"])
        daemon.stop()

    def test_none_is_lost_or_doubled_under_load(self):
        ids = [str(i) for i in range(4000)]
        self.configure("queue: { capacity = 100; };", sources=(self.follow(),), workers=8)
        daemon = self.daemon()
        for n in range(10):
            self.append("urls", self.jobs("/ok", ids[400 * n:400 * n + 400]))
            daemon.await_records(1)
            self.rotate(daemon, n)
        daemon.await_status(lambda s: s["results"]["recorded"] == 4000, "all are recorded")
        ended = daemon.stop()
        parts = [daemon.records(f"results.jsonl.{n}") for n in range(10)]
        records = [r for part in parts for r in part] + daemon.records()
        self.check_end(ended, records, ids)  # seq goes on from file to file
        self.assertTrue(all(parts))

    def test_without_a_rename_it_stays_the_same_file(self):
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()
        self.append("urls", self.jobs("/ok", ["a"]))
        daemon.await_records(1)
        daemon.signal(signal.SIGUSR1)
        daemon.await_message("results.jsonl: opened anew")
        self.append("urls", self.jobs("/ok", ["b"]))
        self.check_records(daemon.await_records(2), ["a", "b"])
        daemon.stop()

    def test_a_file_that_cannot_be_made_leaves_the_old_one_in_use(self):
        os.mkdir(self.path("out"))
        self.configure('results: { path = "out/results.jsonl"; };', sources=(self.follow(),))
        daemon = self.daemon()
        os.rename(self.path("out"), self.path("moved"))
        daemon.signal(signal.SIGUSR1)
        daemon.await_message("out/results.jsonl: cannot be opened anew: No such file or directory")
        self.append("urls", self.jobs("/ok", ["a"]))
        daemon.await_records(1, "moved/results.jsonl")
        daemon.stop()
        self.check_records(daemon.records("moved/results.jsonl"), ["a"])


class FullDisk(daemon_harness.Case):
    """The limit of a file's size stands for the disk: it can be raised from outside."""

    LIMIT = 20000  # about 40 records

    def start_full(self, *lines, n=400, workers=4):
        self.ids = [str(i) for i in range(n)]
        self.configure("queue: { capacity = 20; };", *lines, sources=(self.follow(),),
                       workers=workers)
        daemon = self.daemon()  # without a limit yet: a sanitizer makes files at its start
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (self.LIMIT, resource.RLIM_INFINITY))
        self.append("urls", self.jobs("/ok", self.ids))
        daemon.await_status(lambda s: s["results"]["error"], "the disk is full")
        return daemon

    def make_room(self, daemon):
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def test_it_says_so_and_waits_and_loses_nothing(self):
        before = self.origin.requests("ok")
        daemon = self.start_full(n=8000)
        daemon.await_message("error: results cannot be written: File too large; nothing is lost, "
                             "fetching waits until they can")
        self.assertEqual(daemon.status()["results"]["error"], "File too large")
        self.assertEqual(daemon.metrics()["penstock_results_failing"], 1)
        self.assertEqual(daemon.get("/healthz").status, 200)  # no reason to restart it

        # Fetching comes to rest, with what the recorder holds, and costs nothing.
        def rests():
            cpu, done = daemon.cpu_seconds(), self.origin.requests("ok")
            time.sleep(0.5)  # there is nothing to wait for but that nothing happens
            return self.origin.requests("ok") == done and daemon.cpu_seconds() - cpu < 0.2
        harness.eventually(rests, "fetching rests")
        self.assertLess(self.origin.requests("ok") - before, 7000)
        records = daemon.records()
        self.check_numbering(records)
        self.assertLessEqual(os.path.getsize(self.path("results.jsonl")), self.LIMIT)
        self.assertIn(self.read("results.jsonl")[-1:], ("", "\n"))  # no torn line

        self.make_room(daemon)
        daemon.await_message("results can be written again")
        daemon.await_status(lambda s: s["results"]["error"] is None and
                            s["ledger"]["done"] == 8000, "all is recorded")
        self.assertEqual(daemon.metrics()["penstock_results_failing"], 0)
        self.check_end(daemon.stop(), daemon.records(), self.ids)
        self.assertEqual(self.origin.requests("ok") - before, 8000)  # each was fetched once

    def check_lost(self, ended):
        """Nothing could be recorded of some jobs: they are said to wait, and the code tells."""
        records = daemon_harness.whole_records(self.path("results.jsonl"))
        ledger = daemon_harness.last_ledger(ended.err)
        self.check_numbering(records)
        self.assertEqual(ledger["done"], len(records))
        self.assertEqual(ledger["accepted"], ledger["done"] + ledger["waiting"])
        self.assertIn("results.jsonl: results cannot be written: File too large", ended.err)
        self.assertIn(self.read("results.jsonl")[-1:], ("", "\n"))  # no torn line
        self.assertFalse(os.path.exists(self.path("control.sock")))

    def test_a_stop_while_it_is_full_ends_with_74(self):
        daemon = self.start_full('stop_timeout = "300ms";')
        self.check_lost(daemon.stop(code=IO_ERROR))

    def test_a_second_stop_while_it_is_full_ends_at_once(self):
        daemon = self.start_full('stop_timeout = "1h";')
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        self.check_lost(daemon.stop(code=IO_ERROR))

    def test_a_stop_waits_for_room_as_long_as_it_may(self):
        daemon = self.start_full('stop_timeout = "1h";')
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        self.make_room(daemon)
        ended = daemon.wait()
        self.assertEqual(ended.code, OK, ended.err)
        records = daemon.records()
        self.check_ledger(ended.err, records)
        self.check_numbering(records)
        self.assertEqual(len({r["id"] for r in records}), len(records))

    @unittest.skipUnless(daemon_harness.can_unshare(), "needs root and mount namespaces")
    def test_a_disk_that_is_really_full(self):
        os.mkdir(self.path("disk"))
        ids = [str(i) for i in range(2000)]
        self.write("urls", self.jobs("/ok", ids))
        self.configure('results: { path = "disk/results.jsonl"; };', sources=(self.follow(),))
        daemon = self.daemon(before=(
            "unshare", "-m", "sh", "-ec", "mount -t tmpfs -o size=2m tmpfs disk;"
            "dd if=/dev/zero of=disk/filler bs=4096 count=500 2>/dev/null; exec \"$@\"", "sh"))
        daemon.await_status(lambda s: s["results"]["error"] == "No space left on device", "full")
        disk = f"/proc/{daemon.pid}/root" + self.path("disk")
        os.unlink(f"{disk}/filler")
        daemon.await_status(lambda s: s["results"]["error"] is None and
                            s["ledger"]["done"] == 2000, "all is recorded")
        records = daemon_harness.whole_records(f"{disk}/results.jsonl")
        self.check_end(daemon.stop(), records, ids)


class Killed(daemon_harness.Case):
    def test_what_is_recorded_is_whole_and_the_next_goes_on_behind_it(self):
        self.write("urls", self.jobs("/ok", [str(i) for i in range(20000)]))
        self.configure(sources=(self.follow(),), workers=8)
        daemon = self.daemon()
        daemon.await_records(500)
        daemon.kill()
        before = daemon.records()
        self.check_numbering(before)

        self.write("urls", self.jobs("/ok", ["next"]))
        daemon = self.daemon()
        records = daemon.await_records(len(before) + 1)
        self.assertEqual(records[:-1], before)
        self.assertEqual(records[-1]["id"], "next")
        daemon.stop()


if __name__ == "__main__":
    harness.main()
