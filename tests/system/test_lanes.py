#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lanes, as the origins see them: each at an address of its own, they note what arrives when."""
import json
import signal
import time
import unittest

import daemon_harness
import harness
from harness import SOME_FAILED

QUICK = ("--set", "retry.base=1ms", "--set", "retry.max=10ms")


class Lanes(harness.Case):
    """With `penstock fetch`, whose list comes to its end."""

    def origins(self, n):
        """Origins beside the class's own, each at another address."""
        return [self.server(harness.Origin, f"127.0.0.{i + 2}") for i in range(n)]

    def config(self, *rules, **more):
        text = "origins = (\n" + ",\n".join("{ " + rule + " }" for rule in rules) + "\n);\n"
        return self.write("penstock.conf", text + "".join(f"{k} = {v};\n" for k, v in more.items()))

    def test_jobs_in_front_do_not_hold_up_those_of_another_origin(self):
        fast, = self.origins(1)
        lines = self.urls(*["/delay/0.05"] * 120) + fast.url("/ok\n") * 5
        # However the wish is written: in a queue with room for all, or for next to none.
        for capacity in 1000, 2:
            with self.subTest(capacity=capacity):
                records = self.fetch("-w", 4, "-q", capacity, "--set", "origins[*].concurrency=3",
                                     "--set", "backlog.max_jobs=2000", stdin=lines).records
                of_fast = [i for i, r in enumerate(records) if r["url"].startswith(fast.name)]
                self.assertEqual(len(of_fast), 5)
                self.assertLess(of_fast[-1], 100)

    def test_concurrency_is_that_of_each_origin(self):
        others = self.origins(2)
        lines = "".join(o.url("/delay/0.3\n") for o in [self.origin, *others] for _ in range(6))
        self.fetch("-w", 20, "--per-origin", 3, stdin=lines)
        for origin in others:
            self.assertEqual(origin.counters()["max_in_flight"], 3)

    def test_starts_keep_to_the_rate(self):
        """However late a request may arrive, the last start is not before its time."""
        slow, fast = self.origins(2)
        config = self.config(f'match = "{slow.address}"; rate = "5/s"; burst = 3;',
                             f'match = "{fast.address}:{fast.port}"; gap = "200ms";')
        lines = slow.url("/ok\n") * 13 + fast.url("/ok\n") * 5 + self.urls(*["/ok"] * 200)
        ended = self.fetch("-c", config, stdin=lines)
        self.assertGreaterEqual(ended.seconds, 10 * 0.2)
        self.assertEqual(len(fast.arrivals("/ok")), 5)
        # The two that are throttled do not hold up the third.
        last = [r["url"].split("/")[2].split(":")[0] for r in ended.records[-3:]]
        self.assertEqual(last, [slow.address] * 3)

    def test_a_gap_is_kept_to(self):
        one, = self.origins(1)
        config = self.config(f'match = "{one.name}"; gap = "100ms";')
        ended = self.fetch("-c", config, stdin=one.url("/ok\n") * 5)
        self.assertGreaterEqual(ended.seconds, 4 * 0.1)

    def test_a_rate_on_the_command_line_is_that_of_every_origin(self):
        one, = self.origins(1)
        ended = self.fetch("--rate", "50/s", stdin=one.url("/ok\n") * 11)
        self.assertGreaterEqual(ended.seconds, 10 * 0.02)
        self.assertEqual(len(ended.records), 11)

    def test_a_retry_after_cools_the_whole_origin(self):
        busy, = self.origins(1)
        lines = busy.url("/flaky/1/a?retry_after=1\n") + busy.url("/ok\n") * 20 + \
            self.urls(*["/ok"] * 20)
        self.fetch(*QUICK, "-w", 1, stdin=lines)
        first = busy.arrivals("/flaky/1/a?retry_after=1")[0]
        self.assertGreaterEqual(busy.arrivals("/ok")[0] - first, 999)

    def test_a_list_comes_to_its_end_though_an_origin_never_answers(self):
        with harness.closed_port() as holder:
            closed = "http://127.0.0.1:%d/\n" % holder.getsockname()[1]
            records = self.fetch(*QUICK, "--max-attempts", 2, stdin=closed * 30 + self.urls("/ok"),
                                 code=SOME_FAILED).records
        self.assertEqual(len(records), 31)
        self.assertTrue(all(r["attempts"] == 2 for r in records if r["outcome"] == "dead"))

    def test_redirects_keep_to_the_rate_of_the_origin_that_they_lead_to(self):
        target, = self.origins(1)
        config = self.config(f'match = "{target.address}"; rate = "20/s";')
        lines = self.urls(*[f"/redirect-to?url={target.url('/ok')}"] * 8)
        ended = self.fetch("-c", config, "-w", 8, stdin=lines)
        self.assertEqual(len(target.arrivals("/ok")), 8)
        self.assertGreaterEqual(ended.seconds, 7 * 0.05)
        for record in ended.records:
            self.assertEqual((record["response_code"], record["num_redirects"]), (200, 1))
            self.assertEqual((record["attempts"], record["url_effective"]), (1, target.url("/ok")))

    def test_a_thousand_origins_share_a_small_queue(self):
        """127.0.0.0/8 is loopback, but an origin listens at one address: those that do not answer
        are origins, too."""
        addresses = [f"127.1.{i // 250}.{i % 250 + 1}" for i in range(1000)]
        lines = "".join(f"http://{a}:{self.origin.port}/\n" for a in addresses) + self.urls("/ok")
        records = self.fetch("-w", 8, "-q", 5, "--max-attempts", 1, stdin=lines,
                             code=SOME_FAILED).records
        self.assertEqual(sorted(r["url"] for r in records), sorted(lines.split()))


class Breaker(daemon_harness.Case):
    durable = True

    def test_an_origin_that_fails_is_probed_and_comes_back(self):
        holder = harness.closed_port()
        self.addCleanup(holder.close)
        port = holder.getsockname()[1]
        self.configure('origins = ( { match = "*"; breaker = 2; breaker_pause = "300ms"; '
                       'breaker_max = "300ms"; } );',
                       'retry: { base = "1ms"; max = "1ms"; max_attempts = 50; };',
                       sources=(self.follow(),), workers=1)
        start = time.monotonic()
        daemon = self.daemon()

        def most():
            """The attempts there can be: two open it, then it is probed, and 7 succeed."""
            return 2 + (time.monotonic() - start) / 0.3 + 7
        self.append("urls", "".join(json.dumps({"url": f"http://127.0.0.1:{port}/ok",
                                                "id": f"j{i}"}) + "\n" for i in range(6)))
        daemon.await_status(lambda s: s["waiting_by_reason"].get("breaker", 0) >= 5, "it is open")
        self.append("urls", self.jobs("/ok", ["other"]))
        daemon.await_records(1)  # the others go on
        self.assertLessEqual(daemon.status()["fetch"]["attempts"], most())

        server = self.server(harness.Notebook, port)
        daemon.await_records(7)
        self.assertEqual(len(server.requests), 6)
        attempts = sum(r["attempts"] for r in daemon.records())
        self.assertLessEqual(attempts, most())  # those that waited used none up
        daemon.stop()

    def test_a_retry_after_is_kept_to_over_a_restart(self):
        self.configure(sources=(self.follow(),), workers=1)
        daemon = self.daemon()
        busy = "/status/429?retry_after=600"
        self.append("urls", self.jobs(busy, ["a", "b", "c"]))
        daemon.await_status(lambda s: s["waiting_by_reason"].get("retry_after", 0) == 2 and
                            s["waiting_by_reason"].get("retry", 0) == 1, "the lane cools")
        asked = self.origin.requests("status")
        self.assertEqual(asked, 1)
        daemon.stop(signal.SIGTERM)
        daemon = self.daemon()
        status = daemon.status()
        self.assertEqual(status["waiting_by_reason"], {"retry": 1, "retry_after": 2})
        self.assertIn("retry_after", [daemon.get(f"/v1/jobs/{i}").json.get("why_code")
                                      for i in ("a", "b", "c")])
        # New jobs of this lane wait as well, those of others do not.
        self.append("urls", self.jobs(busy, ["d"]))
        other = self.server(harness.Origin, "127.0.0.2")
        self.append("urls", json.dumps({"url": other.url("/ok"), "id": "other"}) + "\n")
        daemon.await_records(1)
        self.assertEqual(self.origin.requests("status"), asked)


if __name__ == "__main__":
    harness.main()
