#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reading results: GET /v1/results and `penstock results`, with readers that are many, slow or
gone, and daemons that are killed."""
import http.client
import json
import re
import signal
import subprocess

import daemon_harness
import harness
from harness import (CANNOT_CREATE, IO_ERROR, OK, PATIENCE, SOME_FAILED, UNAVAILABLE, USAGE,
                     eventually)
from stub_daemon import StubDaemon

MANY = 30
# So many records of such a size are more than is kept in memory (2 MiB), and in sockets.
LARGE, LARGE_BYTES = 1000, 4096
SEQ = re.compile(rb'^\{"seq":(\d+),', re.M)
# Jobs that end at once, for want of a server.
DEAD = "http://127.0.0.1:1/"
QUICKLY = ("retry: { max_attempts = 1; };",
           'origins: ( { match = "*"; concurrency = 0; breaker = 0; } );')


class Case(daemon_harness.Case):
    durable = True

    @classmethod
    def setUpClass(cls):
        pass  # nothing is fetched

    def begin(self, *lines, workers=8):
        self.configure(*QUICKLY, *lines, workers=workers)
        return self.daemon()

    def run_results(self, *args, code=OK, **options):
        ended = harness.run("results", "--socket", self.path("control.sock"), *args,
                            env=daemon_harness.environment(), **options)
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def follow_results(self, *args, **options):
        return self.start("--socket", self.path("control.sock"), "-f", *args, command="results",
                          env=daemon_harness.environment(), **options)

    def submit(self, n, wait=True, meta=None):
        text = "".join(json.dumps({"url": f"{DEAD}{i}", "meta": meta}) + "\n" for i in range(n))
        ended = harness.run("submit", "--socket", self.path("control.sock"), "-s",
                            *(["--wait"] if wait else []), stdin=text,
                            env=daemon_harness.environment())
        self.assertIn(ended.code, (OK, SOME_FAILED), ended.err)

    def await_settled(self, daemon, n):
        daemon.await_status(lambda s: s["results"]["last_seq"] >= n, f"{n} records")

    def log(self, daemon, n):
        """The results log, once it has so many records: a job is settled before."""
        daemon.await_records(n)
        return self.read("results.jsonl")

    def open(self, target):
        """A request whose answer has begun, and of which nothing more is read."""
        connection = daemon_harness.UnixConnection(self.path("control.sock"))
        self.addCleanup(connection.close)
        connection.request("GET", target)
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return response

    def seqs(self, reader):
        return [record["seq"] for record in reader.records]


def numbers(data):
    return list(map(int, SEQ.findall(data)))


class Many(Case):
    def test_slow_readers_hold_up_nobody_and_miss_nothing(self):
        n = LARGE
        daemon = self.begin()
        slow = [self.open("/v1/results?follow") for _ in range(MANY)]
        self.submit(n, meta="x" * LARGE_BYTES)  # every job is settled, while none of them reads
        before = daemon.status()
        self.assertEqual(before["results"]["last_seq"], n)
        self.assertEqual(len(daemon.await_records(n)), n)
        daemon.stop()  # which ends their answers, as far as there is time for that
        log = self.read("results.jsonl").encode()
        for response in slow:
            data = b""
            while chunk := self.read_some(response):
                data += chunk
            whole = b"".join(line for line in data.splitlines(True)
                             if line.endswith(b"\n") and line != b"\n")
            self.assertEqual(whole, log[:len(whole)])
            self.assertGreater(len(whole), 0)

    @staticmethod
    def read_some(response):
        try:
            return response.read1(1 << 20)
        except (OSError, http.client.HTTPException):  # cut off: it has not read in the last second
            return b""

    def test_who_was_slow_catches_up_from_the_database(self):
        daemon = self.begin()
        slow = [self.open("/v1/results?follow") for _ in range(4)]
        self.submit(LARGE, meta="x" * LARGE_BYTES)
        for response in slow:
            seen = []
            while len(seen) < LARGE:
                seen += numbers(response.readline())  # or an empty line
            self.assertEqual(seen, list(range(1, LARGE + 1)))
        self.assertEqual(numbers(self.run_results().out.encode()), list(range(1, LARGE + 1)))
        oldest = self.run_results("--last", LARGE - 1).out.encode()
        self.assertEqual(numbers(oldest), list(range(2, LARGE + 1)))
        daemon.stop()


class Follow(Case):
    def test_each_record_comes_once_whatever_befalls_the_daemon(self):
        n, rounds = 200, 3
        daemon = self.begin()
        reader = self.follow_results("--from", "0")
        late = None
        for i in range(1, rounds + 1):
            self.submit(n, wait=False)
            reader.await_records((i - 1) * n + 20)  # amid the jobs
            daemon.kill()
            daemon = self.daemon()
            late = late or self.follow_results("--from", "1")
        self.await_settled(daemon, rounds * n)
        for each in reader, late:
            each.await_records(rounds * n)
            self.assertEqual(self.seqs(each), list(range(1, rounds * n + 1)))
        self.assertEqual(reader.out.text, self.log(daemon, rounds * n))
        daemon.await_status(lambda s: s["results"]["readers"] == 2, "both have come back")
        said = reader.err.text.count("the daemon has gone; trying again")
        self.assertLessEqual(said, rounds)  # once each, unless it was back before that was noticed
        daemon.stop()
        eventually(lambda: reader.err.text.count("trying again") > said, "that it has gone")
        for each in reader, late:
            each.signal(signal.SIGINT)
            self.assertEqual(each.wait().code, OK)

    def test_from_now_on_and_only_the_dead(self):
        daemon = self.begin()
        self.submit(5)
        reader = self.follow_results()
        cancelled = self.follow_results("--outcome", "cancelled,done")
        daemon.await_status(lambda s: s["results"]["readers"] == 2, "both follow")
        self.submit(3)
        self.assertEqual([r["seq"] for r in reader.await_records(3)], [6, 7, 8])
        self.assertEqual(cancelled.lines, [])
        for each in reader, cancelled:
            each.signal(signal.SIGTERM)
            self.assertEqual(each.wait().code, OK)

    def test_what_passes_is_waited_for(self):
        stub = StubDaemon(self.path("control.sock"))
        self.addCleanup(lambda: stub and stub.stop())
        stub.store.planned = {
            "/v1/status": [(200, {"started_at": "", "backlog": {"type": "sqlite"},
                                  "results": {"last_seq": 0}})],
            "/v1/results?follow&from=1": [(500, "planned 500")]}
        reader = self.follow_results()
        reader.await_message("planned 500")
        stub = stub.stop()
        reader.await_message("the daemon has gone; trying again")
        daemon = self.begin()
        self.submit(2)
        self.assertEqual([r["seq"] for r in reader.await_records(2)], [1, 2])
        reader.signal(signal.SIGINT)
        self.assertEqual(reader.wait().code, OK)
        daemon.stop()

    def test_a_reader_that_is_enough_ends_it(self):
        daemon = self.begin()
        self.submit(2)
        command = f"{harness.PENSTOCK} results --socket control.sock -f --from 0 | head -n 3"
        with subprocess.Popen(["sh", "-c", command], cwd=self.dir, stdout=subprocess.PIPE,
                              env=daemon_harness.environment()) as shell:
            self.submit(1)  # and nothing behind it: it is noticed all the same
            self.assertEqual(numbers(shell.stdout.read()), [1, 2, 3])
            self.assertEqual(shell.wait(timeout=PATIENCE), OK)
        daemon.stop()

    def test_a_stop_ends_the_answers(self):
        daemon = self.begin()
        self.submit(3)
        response = self.open("/v1/results?follow&from=2")
        idle = self.open("/v1/results?follow&outcome=done")
        daemon.stop()
        self.assertEqual(numbers(response.read()), [2, 3])  # read() fails if it was cut off
        self.assertEqual(idle.read().strip(), b"")


class InMemory(Case):
    durable = False

    def test_who_has_stopped_is_told_what_it_has_missed(self):
        daemon = self.begin()
        n = LARGE
        reader = self.follow_results("--from", "0")
        self.submit(1, wait=False)
        reader.await_records(1)
        reader.freeze()
        try:
            self.submit(n, wait=False, meta="x" * LARGE_BYTES)
            self.await_settled(daemon, n + 1)
        finally:
            reader.signal(signal.SIGCONT)
        reader.await_message("is not there any more; those from")
        eventually(lambda: reader.lines[-1].startswith(f'{{"seq":{n + 1},'), "the last record")
        seqs = self.seqs(reader)
        holes = [(a, b) for a, b in zip(seqs, seqs[1:]) if b != a + 1]
        self.assertEqual(len(holes), 1, holes)
        missed, first = map(int, re.search(r"record (\d+) is not there any more; those from (\d+)",
                                           reader.err.text).groups())
        self.assertEqual(holes[0], (missed - 1, first))
        reader.signal(signal.SIGINT)
        self.assertEqual(reader.wait().code, SOME_FAILED)
        ended = self.run_results("--from", "1", code=SOME_FAILED)
        self.assertIn("record 1 is not there any more", ended.err)
        daemon.stop()

    def test_the_records_of_a_daemon_that_was_started_anew_are_all_read(self):
        daemon = self.begin()
        reader = self.follow_results("--from", "0")
        idle = self.follow_results("--outcome", "dead")
        daemon.await_status(lambda s: s["results"]["readers"] == 2, "both follow")
        self.submit(3, wait=False)
        for each in reader, idle:
            each.await_records(3)
        daemon.kill()
        daemon = self.daemon()
        self.submit(5, wait=False)  # more than there were: number 4 is there again
        for each in reader, idle:
            each.await_records(8)
            self.assertEqual(self.seqs(each), [1, 2, 3, 1, 2, 3, 4, 5])
            each.await_message("without a database: its results begin anew")
            each.signal(signal.SIGINT)
            self.assertEqual(each.wait().code, OK)
        daemon.stop()

    def test_the_newest_are_there(self):
        daemon = self.begin()
        self.submit(9, wait=False)
        self.await_settled(daemon, 9)
        self.assertEqual([r["seq"] for r in self.run_results("-n", "2").records], [8, 9])
        self.assertEqual(self.run_results("--from", "10").out, "")
        daemon.stop()


class Once(Case):
    def test_what_is_asked_for_is_written(self):
        daemon = self.begin()
        self.submit(9)
        whole = self.run_results()
        self.assertEqual(whole.out, self.log(daemon, 9))
        self.assertEqual([r["seq"] for r in self.run_results("--from", "8").records], [8, 9])
        self.assertEqual([r["seq"] for r in self.run_results("-n3").records], [7, 8, 9])
        self.assertEqual(len(self.run_results("--since", "1h", "--outcome", "dead").records), 9)
        self.assertEqual(self.run_results("--since", "2900-01-01T00:00:00Z").out, "")
        self.assertEqual(self.run_results("--outcome", "done").out, "")
        limited = daemon.get("/v1/results?limit=2&from=3")
        self.assertEqual(numbers(limited.body.encode()), [3, 4])
        self.assertEqual(limited.headers["Content-Type"], "application/x-ndjson")
        self.assertIn("the last one is 9", self.run_results("--from", "11", code=SOME_FAILED).err)
        self.assertIn("outcome=", self.run_results("--outcome", "lost", code=USAGE).err)
        for bad in ("--from", "-1"), ("--since", "today"), ("-n", ""), ("x",), ("--outcome", "&"):
            self.run_results(*bad, code=USAGE)
        with open("/dev/full", "wb") as full:
            ended = subprocess.run([harness.PENSTOCK, "results", "--socket", daemon.socket],
                                   stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE,
                                   env=daemon_harness.environment())
        self.assertEqual(ended.returncode, IO_ERROR, ended.stderr)
        daemon.stop()
        self.assertIn("no daemon answers", self.run_results("-f", code=UNAVAILABLE).err)

    def test_records_are_those_of_the_log_byte_for_byte(self):
        daemon = self.begin()
        job = json.dumps({"url": DEAD, "id": "ä\u2028", "meta": {"long": "x" * 100000}})
        harness.run("submit", "--socket", daemon.socket, "--wait", stdin=job + "\n",
                    env=daemon_harness.environment())
        self.assertEqual(self.run_results().out, self.log(daemon, 1))
        daemon.stop()

    def test_who_submits_gets_the_results_of_its_own_jobs(self):
        daemon = self.begin()
        self.submit(3)
        text = "".join(f'{{"url": "{DEAD}{i}", "meta": {i}.50}}\n' for i in range(20))
        for _ in range(2):  # the second time they are known
            ended = harness.run("submit", "--socket", daemon.socket, "--results", "-", "-s",
                                "--id-prefix", "x", stdin=text, env=daemon_harness.environment())
            self.assertEqual(ended.code, SOME_FAILED, ended.err)
            self.assertEqual([r["id"] for r in ended.records], [f"x-{i}" for i in range(1, 21)])
            self.assertEqual(sorted(ended.out.splitlines()),
                             sorted(self.log(daemon, 23).splitlines()[3:]))
        for args, code in ((("--results", self.dir), CANNOT_CREATE),
                           (("--results", "-", "--ids"), USAGE)):
            ended = harness.run("submit", "--socket", daemon.socket, *args, stdin=text,
                                env=daemon_harness.environment())
            self.assertEqual(ended.code, code, ended.err)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
