#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Timeouts hold in every phase, name resolution included, and hold up nobody else."""
import json
import re
import signal
import time

import harness
from harness import OK, SOME_FAILED, UNFINISHED


class Phases(harness.Case):
    def expect_timeout(self, url, reason, *args, timeout=0.4, **job):
        job["url"] = url

        def attempt(seconds):
            ended = self.fetch("--max-attempts", 1, "--timeout", f"{round(seconds * 1000)}ms", *args,
                               stdin=json.dumps(job), code=SOME_FAILED)
            record = ended.records[0]
            self.assertEqual((record["outcome"], record["attempts"], record["exitcode"]),
                             ("dead", 1, 28))
            self.assertGreaterEqual(record["time_total"], seconds)
            # The thread may be late on a busy machine, but not by libcurl's ten seconds.
            self.assertLess(record["time_total"], seconds + 5 * harness.SLOWNESS)
            self.assertLess(ended.seconds, seconds + 8 * harness.SLOWNESS)
            return record["reason"]
        is_so = re.compile(f"timeout: {reason}").match
        self.assertTrue(is_so(harness.in_time(attempt, is_so, timeout)), reason)

    def test_resolving(self):
        names = self.server(harness.NameServer)
        self.expect_timeout("http://a.dead.test/", "resolving",
                            "--set", "fetch.dns_servers=" + names.address)

    def test_connecting(self):
        port = self.server(harness.Silent, full=True).port
        self.expect_timeout(f"http://127.0.0.1:{port}/", "connecting")

    def test_connecting_has_its_own_limit(self):
        port = self.server(harness.Silent, full=True).port
        ended = self.fetch("--max-attempts", 1, "--set", "fetch.connect_timeout=300ms",
                           stdin=f"http://127.0.0.1:{port}/", code=SOME_FAILED)
        self.assertEqual(ended.records[0]["reason"],
                         "timeout: connecting (fetch.connect_timeout)")
        self.assertLess(ended.seconds, 8 * harness.SLOWNESS)

    def test_tls(self):
        port = self.server(harness.Silent).port
        self.expect_timeout(f"https://127.0.0.1:{port}/", "tls handshake")

    def test_waiting(self):
        self.expect_timeout(self.origin.url("/stall"), "waiting for the response")

    def test_headers(self):
        self.expect_timeout(self.origin.url("/slow-headers/60"), "reading the headers", timeout=1)

    def test_body(self):
        self.expect_timeout(self.origin.url("/stall-body"), "reading the body")

    def test_a_body_that_goes_on_for_ever(self):
        self.expect_timeout(self.origin.url("/drip/10000/60"), "reading the body")

    def test_a_redirect_does_not_start_the_time_again(self):
        self.expect_timeout(self.origin.url("/redirect-to?url=/stall"), "waiting")

    def test_a_job_may_have_a_shorter_time_of_its_own(self):
        def attempt(seconds):
            job = {"url": self.origin.url("/stall"), "timeout": f"{round(seconds * 1000)}ms"}
            ended = self.fetch("--max-attempts", 1, code=SOME_FAILED, stdin=json.dumps(job))
            return ended.records[0]["reason"]
        reason = "timeout: waiting for the response"
        self.assertEqual(harness.in_time(attempt, lambda r: r == reason, 0.2), reason)

    def test_a_timeout_is_retried(self):
        def attempt(seconds):
            before = len(self.origin.arrivals("/stall?twice"))
            record = self.fetch("--max-attempts", 2, "--timeout", f"{round(seconds * 1000)}ms",
                                "--set", "retry.base=1ms", stdin=self.urls("/stall?twice"),
                                code=SOME_FAILED).records[0]
            return (record["reason"], record["attempts"],
                    len(self.origin.arrivals("/stall?twice")) - before)
        expected = ("retries exhausted: timeout: waiting for the response", 2, 2)
        self.assertEqual(harness.in_time(attempt, lambda seen: seen == expected, 0.2), expected)

    def test_all_at_once_end_together(self):
        names = self.server(harness.NameServer)
        full, silent = self.server(harness.Silent, full=True), self.server(harness.Silent)
        each = ["http://%d.dead.test/", f"http://127.0.0.1:{full.port}/%d",
                f"https://127.0.0.1:{silent.port}/%d", self.origin.url("/stall?%d"),
                self.origin.url("/slow-headers/9?%d"), self.origin.url("/stall-body?%d")]
        text = "".join(url % i + "\n" for i in range(5) for url in each)
        ended = self.fetch("--max-attempts", 1, "--timeout", "1s", "--set",
                           "fetch.dns_servers=" + names.address, stdin=text, code=SOME_FAILED)
        self.assertEqual(len(ended.records), 30)
        for record in ended.records:
            self.assertIn("timeout: ", record["reason"])
        self.assertLess(ended.seconds, 10 * harness.SLOWNESS)


class Names(harness.Case):
    def setUp(self):
        super().setUp()
        self.names = self.server(harness.NameServer)
        self.args = ("--set", "fetch.dns_servers=" + self.names.address)

    def named(self, name, path="/ok"):
        return f"http://{name}:{self.origin.port}{path}\n"

    def test_a_name_is_resolved_once_for_many_jobs(self):
        text = "".join(self.named("one.up.test", f"/ok/{i}") for i in range(100))
        records = self.fetch(*self.args, stdin=text).records
        self.assertEqual({(r["outcome"], r["remote_ip"]) for r in records}, {("done", "127.0.0.1")})
        self.assertEqual(len(records), 100)
        self.assertGreater(max(r["time_namelookup"] for r in records), 0)
        # One question for each address family.
        self.assertLessEqual(self.names.questions["one.up.test"], 2)

    def test_a_name_that_does_not_exist_is_not_asked_for_again(self):
        record = self.fetch(*self.args, stdin=self.named("a.nx.test"), code=SOME_FAILED).records[0]
        self.assertEqual((record["outcome"], record["reason"], record["attempts"]),
                         ("dead", "name: no such host", 1))

    def test_a_failing_name_server_is_tried_again(self):
        record = self.fetch(*self.args, "--max-attempts", 2, "--set", "retry.base=1ms",
                            stdin=self.named("a.broken.test"), code=SOME_FAILED).records[0]
        self.assertEqual((record["reason"], record["attempts"]),
                         ("retries exhausted: name: the name server failed", 2))

    def test_a_redirect_to_a_name_resolves_it(self):
        there = self.named("there.up.test", "/ok/there").strip()
        text = self.urls("/redirect-to?url=" + there, "/redirect-to?url=http://gone.nx.test/")
        records = sorted(self.fetch(*self.args, stdin=text, code=SOME_FAILED).records,
                         key=lambda r: r["outcome"])
        self.assertEqual([r["reason"] for r in records], ["name: no such host", None])
        self.assertEqual(records[1]["url_effective"], there)

    def test_dead_names_in_front_hold_up_nobody_behind_them(self):
        dead = "".join(f"http://{i}.dead.test/\n" for i in range(200))
        alive = [f"/ok/{i}" for i in range(200)]
        fetch = self.start(*self.args, "--timeout", "60s",
                           self.write("urls", dead + self.urls(*alive)))

        # A name that gets no answer is given up after seven seconds at the earliest, five times.
        records = fetch.await_records(200)
        took = time.monotonic() - fetch.started
        self.assertEqual({r["url"] for r in records}, {self.origin.url(path) for path in alive})
        self.assertLess(took, 7 * harness.SLOWNESS)

        fetch.signal(signal.SIGINT)
        fetch.await_message("stopping")
        fetch.signal(signal.SIGINT)
        ended = fetch.wait()
        self.assertEqual(ended.code, UNFINISHED)
        self.assertLess(ended.seconds, took + 5 * harness.SLOWNESS)

    def test_a_dead_name_server_makes_each_job_dead_in_time(self):
        text = "".join(f"http://{i}.dead.test/\n" for i in range(8))
        ended = self.fetch(*self.args, "-w", 16, "--timeout", "500ms", "--max-attempts", 2,
                           "--set", "retry.base=1ms", stdin=text, code=SOME_FAILED)
        self.assertEqual(len(ended.records), 8)
        for record in ended.records:
            self.assertIn("retries exhausted: timeout: resolving", record["reason"])
        self.assertLess(ended.seconds, 10 * harness.SLOWNESS)

    def test_names_of_the_hosts_file_need_no_server(self):
        self.fetch(*self.args, stdin=self.named("localhost"), code=OK)
        self.assertEqual(self.names.questions["localhost"], 0)


if __name__ == "__main__":
    harness.main()
