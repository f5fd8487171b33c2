#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signals: a stop finishes what runs, a second one does not, and what is written stays whole."""
import os
import re
import signal

import harness
from harness import OK, UNFINISHED


class Stopping(harness.Case):
    def start_slow(self, target, *args, workers=4, n=200):
        """Starts with n URLs, and waits until all are read and all workers have a request under
        way.  The list is read in parts: requests are sent before the last part is."""
        path = self.write("urls", self.urls(*(f"{target}?{i}" for i in range(n))))
        fetch = self.start("-w", workers, *args, path)
        harness.eventually(lambda: self.origin.counters()["in_flight"] >= workers,
                           "every worker has sent a request")
        self.await_state(fetch, rf"\d+/{n} done  ")  # ~n until the end of the list is seen
        return fetch

    def await_state(self, fetch, pattern):
        """Asks for the state until a line of it begins so; returns that line."""
        def ask():
            fetch.signal(signal.SIGUSR2)
            return re.search(rf"^penstock: {pattern}.*\n", fetch.err.text, re.M)
        return harness.eventually(ask, f"a state {pattern!r}")[0]

    def await_quiet_origin(self):
        harness.eventually(lambda: self.origin.counters()["in_flight"] == 0, "all hung up")

    def check_clean_stop(self, number):
        before = self.origin.requests("delay")
        fetch = self.start_slow("/delay/1")
        fetch.signal(number)
        ended = fetch.wait()
        self.assertEqual(ended.code, UNFINISHED)
        self.assertIn("stopping: the fetches that run have up to 5s; once more to stop now",
                      ended.err)
        # Everything that was asked for was also recorded.
        records = ended.records
        self.assertEqual(len(records), self.origin.requests("delay") - before)
        self.assertGreaterEqual(len(records), 4)
        self.assertLess(len(records), 200)
        self.assertEqual({r["outcome"] for r in records}, {"done"})
        self.check_numbering(records)
        self.assertIn(f"200 jobs: {len(records)} done, 0 dead, {200 - len(records)} not finished",
                      ended.err)

    def test_sigint_finishes_what_runs(self):
        self.check_clean_stop(signal.SIGINT)

    def test_sigterm_finishes_what_runs(self):
        self.check_clean_stop(signal.SIGTERM)

    def test_sighup_finishes_what_runs(self):
        self.check_clean_stop(signal.SIGHUP)

    def check_second_signal(self, first, second):
        fetch = self.start_slow("/stall", "--set", "stop_timeout=1h")
        fetch.signal(first)
        fetch.await_message("stopping: the fetches that run have up to 1h")
        self.assertIsNone(fetch.process.poll())
        fetch.signal(second)
        ended = fetch.wait()
        self.assertEqual((ended.code, ended.out), (UNFINISHED, ""))
        self.assertIn("0 done, 0 dead, 200 not finished", ended.err)
        self.assertNotIn("retries", ended.err)
        self.await_quiet_origin()

    def test_a_second_signal_stops_at_once(self):
        self.check_second_signal(signal.SIGINT, signal.SIGINT)
        self.check_second_signal(signal.SIGTERM, signal.SIGINT)

    def test_the_stop_timeout_ends_what_does_not(self):
        fetch = self.start_slow("/stall-body", "--set", "stop_timeout=200ms")
        fetch.signal()
        ended = fetch.wait()
        self.assertEqual((ended.code, ended.out), (UNFINISHED, ""))
        self.await_quiet_origin()

    def test_a_results_file_holds_whole_lines_after_a_stop(self):
        results = self.path("results.jsonl")
        path = self.write("urls", self.urls(*(f"/delay/0-0.05?{i}" for i in range(5000))))
        fetch = self.start("-o", results, "-w", 8, path)
        harness.eventually(lambda: os.path.exists(results) and os.path.getsize(results) > 50000,
                           "some results")
        fetch.signal()
        ended = fetch.wait()
        self.assertEqual(ended.code, UNFINISHED)
        records = harness.Ended(0, self.read("results.jsonl"), "", 0).records
        self.check_numbering(records)
        self.assertIn(f"{len(records)} done, 0 dead, ", ended.err)

    def test_a_stop_ends_the_wait_for_input(self):
        read_end, write_end = os.pipe()
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        urls = self.write("urls", self.urls("/ok"))
        for args in ("-",), (fifo,), ("--follow", self.path("none")):
            fetch = self.start(urls, *args, stdin=read_end)
            fetch.await_records(1)
            fetch.signal()
            ended = fetch.wait()
            self.assertEqual((ended.code, len(ended.records)), (UNFINISHED, 1))
        os.close(read_end)
        os.close(write_end)

    def test_a_stop_ends_the_wait_for_a_retry(self):
        path = self.write("urls", self.urls("/status/503?retry_after=60"))
        fetch = self.start(path)
        harness.eventually(lambda: self.origin.arrivals("/status/503?retry_after=60"), "a request")
        fetch.signal()
        ended = fetch.wait()
        self.assertEqual((ended.code, ended.out), (UNFINISHED, ""))
        self.assertIn("1 job: 0 done, 0 dead, 1 not finished", ended.err)

    def test_sigusr2_logs_the_state_and_stops_nothing(self):
        fetch = self.start_slow("/delay/0.3", "-q", 50, n=20)
        state = self.await_state(fetch, r"\d+/20 done")
        self.assertRegex(state, r"^penstock: \d+/20 done  \d+/s  .*/s  queue \d+/50  failed 0")
        ended = fetch.wait()
        self.assertEqual((ended.code, len(ended.records)), (OK, 20))

    def test_a_signal_before_the_first_job_is_not_lost(self):
        # Whenever it comes, it ends the run: by default before it is caught, cleanly after.
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        for _ in range(20):
            fetch = self.start(fifo)
            fetch.signal()
            self.assertIn(fetch.wait().code, (-signal.SIGINT, UNFINISHED))


if __name__ == "__main__":
    harness.main()
