#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory has a ceiling, a full hand-over blocks who is upstream, no job is lost or made twice."""
import json
import os
import re
import signal
import threading
import time

import harness
from harness import OK, UNFINISHED


class Blocked(harness.Case):
    def feed(self, fifo, n):
        """A thread that offers n URLs to the FIFO; returns it and its list of how many it wrote."""
        written = [0]
        line = (self.origin.url("/delay/0.05") + "\n").encode()

        def write():
            try:
                with open(fifo, "wb", buffering=0) as writer:
                    for _ in range(n):
                        writer.write(line)
                        written[0] += 1
            except BrokenPipeError:
                pass

        thread = threading.Thread(target=write)
        thread.start()
        return thread, written, len(line)

    def test_a_producer_that_is_too_fast_waits_and_memory_stays_flat(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        max_jobs, offered = 200, 50000
        before = self.origin.requests("delay")
        fetch = self.start("-w", 4, "-q", 10, "--set", f"backlog.max_jobs={max_jobs}", "-o",
                           self.path("results"), fifo)
        producer, written, line_bytes = self.feed(fifo, offered)

        # What the backlog, the pipe and the reader's buffer hold, and a batch on its way.
        held = max_jobs + (64 * 1024 + 2 * 64 * 1024) // line_bytes + 128

        def check(until):
            """So many jobs are fetched meanwhile, and no more is written than is held."""
            finished = 0
            while finished < until:
                n = written[0]  # first: what is finished meanwhile is more, not less
                finished = self.origin.requests("delay") - before
                self.assertLessEqual(n, held + finished)
                time.sleep(0.1)
            return fetch.status_kib("VmHWM")
        warm = check(80)
        grown = check(240) - warm
        self.assertLess(written[0], offered // 4)
        if not harness.SANITIZED:
            self.assertLess(grown, 1024)

        fetch.signal(signal.SIGINT)
        fetch.await_message("stopping")
        fetch.signal(signal.SIGINT)
        self.assertEqual(fetch.wait().code, UNFINISHED)
        producer.join(harness.PATIENCE)
        self.assertFalse(producer.is_alive())

    def test_the_ceiling_that_check_shows_holds_with_jobs_of_any_size(self):
        bodies = [200, 20000, 500000]
        path = self.path("jobs")
        with open(path, "w", encoding="ascii") as jobs:
            for i in range(900):
                jobs.write(json.dumps({"url": self.origin.url("/delay/0-0.002"), "method": "PUT",
                                       "body": "x" * bodies[i % 3]}) + "\n")
        args = ("-w", 8, "-q", 20, "--set", "backlog.max_bytes=8M", "--set", "queue.max_bytes=4M",
                path)
        shown = self.fetch("--check", *args).out
        number, unit = re.search(r"memory: at most ([\d.]+) (.)iB", shown).groups()
        ceiling_kib = float(number) * {"K": 1, "M": 1024, "G": 1024 * 1024}[unit]

        fetch = self.start("-o", self.path("results"), *args)
        peak = 0
        while fetch.process.poll() is None:
            try:
                peak = fetch.status_kib("VmHWM")
            except (OSError, TypeError):  # it has ended
                break
            time.sleep(0.01)
        ended = fetch.wait()
        self.assertEqual(ended.code, OK, ended.err)
        self.assertEqual(self.read("results").count("\n"), 900)
        if not harness.SANITIZED:
            self.assertGreater(peak, 0)
            self.assertLess(peak, ceiling_kib)


class Complete(harness.Case):
    def test_one_place_everywhere_is_enough_and_keeps_the_order(self):
        paths = [f"/ok/{i}" for i in range(300)]
        ended = self.fetch("-w", 1, "-q", 1, "--set", "backlog.max_jobs=1", stdin=self.urls(*paths))
        self.assertEqual([r["url"] for r in ended.records], [self.origin.url(p) for p in paths])
        self.assertEqual([r["id"] for r in ended.records], [f"p-{i + 1}" for i in range(300)])
        self.check_numbering(ended.records)

    def test_one_place_everywhere_is_enough_for_retries_and_many_sources(self):
        files = []
        for n in range(5):
            files.append(self.write(f"urls{n}", self.urls(
                *(f"/flaky/1/{n}-{i}" if i % 5 == 0 else f"/ok/{n}-{i}" for i in range(50)))))
        ended = self.fetch("-w", 1, "-q", 1, "--set", "backlog.max_jobs=1", "--set",
                           "retry.base=1ms", *files)
        self.assertEqual({r["outcome"] for r in ended.records}, {"done"})
        self.assertEqual(len({r["url"] for r in ended.records}), 250)
        self.check_numbering(ended.records)

    def test_each_of_many_jobs_is_fetched_and_recorded_exactly_once(self):
        n = 20000 // harness.SLOWNESS // 2 * 2
        path = self.path("jobs")
        with open(path, "w", encoding="ascii") as jobs:
            for i in range(n):
                jobs.write(self.urls(f"/ok/{i}") if i % 2 else json.dumps(
                    {"url": self.origin.url(f"/ok/{i}"), "id": f"job-{i}", "meta": i}) + "\n")
        before = self.origin.requests("ok")
        results = self.path("results")
        ended = self.fetch("-w", 64, "-q", 100, "-o", results, path)
        self.assertIn(f"{n} jobs: {n} done, 0 dead; ", ended.err)
        self.assertEqual(self.origin.requests("ok") - before, n)

        with open(results, encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        self.check_numbering(records)
        self.assertEqual(len({r["id"] for r in records}), n)
        self.assertEqual({r["url"] for r in records},
                         {self.origin.url(f"/ok/{i}") for i in range(n)})
        self.assertEqual({r["id"] for r in records if r["id"].startswith("job-")},
                         {f"job-{i}" for i in range(0, n, 2)})
        for record in records:
            if "meta" in record:
                self.assertEqual(record["id"], f"job-{record['meta']}")
        self.assertEqual({(r["outcome"], r["attempts"]) for r in records}, {("done", 1)})

    def test_many_failures_and_successes_add_up(self):
        kinds = {"/ok/": "done", "/status/404?": "dead", "/flaky/1/m": "done", "/reset?": "dead",
                 "/status/503?": "dead", "/redirect/2?": "done"}
        text = self.urls(*(f"{kind}{i}" for i in range(100) for kind in kinds))
        ended = self.fetch("-w", 16, "-q", 8, "--max-attempts", 3, "--set", "retry.base=1ms",
                           stdin=text, code=1)
        self.assertEqual(len(ended.records), 600)
        for record in ended.records:
            path = record["url"].removeprefix(self.origin.url(""))
            kind = next(k for k in kinds if path.startswith(k))
            self.assertEqual((path, record["outcome"]), (path, kinds[kind]))
        self.check_numbering(ended.records)
        self.assertIn("600 jobs: 300 done, 300 dead; 500 retries", ended.err)

    def test_more_workers_than_jobs_are_no_trouble(self):
        self.fetch("-w", 300, stdin=self.urls("/ok/1", "/ok/2"))

    def test_workers_work_at_the_same_time(self):
        n = 32
        gate = self.server(harness.Gate)
        fetch = self.start("-w", n, self.write("urls", "".join(
            gate.url(f"/{i}\n") for i in range(2 * n))))
        gate.await_waiting(n)
        gate.open()
        self.assertEqual(len(fetch.wait().records), 2 * n)
        self.assertEqual(gate.most_waiting, n)


if __name__ == "__main__":
    harness.main()
