#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Name servers that lie, and zones whose names nobody answers for: who suffers, and who not."""
import json

import daemon_harness
import dns_server
import harness
from harness import OK, SOME_FAILED

SILENCE = "dead timeout: resolving .*"
FAILED = "dead name: the name server failed"
NONE = "dead name: (no such host|the name has no address)"
DONE = "done"
NO_ANSWER = f"{SILENCE}|{FAILED}|{NONE}"

# What may become of a job whose host the server lies about, as in dns_server.py.
EXPECTED = {
    "sound": DONE,
    "other-name": NO_ANSWER,
    "other-type": NO_ANSWER,
    "other-owner": f"{DONE}|{NO_ANSWER}",
    "nx-with-answers": f"{DONE}|{NONE}",
    "no-address": NONE,
    "alias-to-itself": NO_ANSWER,
    "alias-loop": NO_ANSWER,
    "alias-chain": f"{DONE}|{NO_ANSWER}",
    "alias-nowhere": NO_ANSWER,
    "thousand-addresses": DONE,
    "wrong-id": SILENCE,
    "wrong-id-first": DONE,
    "spoofed": SILENCE,
    "spoofed-first": DONE,
    "truncated-stall": NO_ANSWER,
    "truncated-close": NO_ANSWER,
    "truncated-garbage": NO_ANSWER,
    "garbage": NO_ANSWER,
    "short": NO_ANSWER,
    "question-back": NO_ANSWER,
    "servfail": FAILED,
    "refused": FAILED,
    "notimp": FAILED,
    "rcode-15": f"{FAILED}|{NONE}",
    "long-address": NO_ANSWER,
    "short-address": NO_ANSWER,
    "length-beyond-the-end": NO_ANSWER,
    "count-beyond-the-end": NO_ANSWER,
    "name-that-points-to-itself": NO_ANSWER,
    "name-that-points-beyond-the-end": NO_ANSWER,
    "negative-ttl": DONE,
    "v6-only-answered": SILENCE,
}


def result(record):
    return DONE if record["outcome"] == "done" else f"dead {record['reason']}"


class Lies(harness.Case):
    def fetch_all(self, lies, workers=100):
        """A sound name comes behind each of the others."""
        names = self.server(dns_server.Liar)
        jobs = []
        for i, lie in enumerate(lies):
            at = f":{self.origin.port}/ok/{lie}"
            jobs.append({"id": lie, "url": f"http://{lie}.test{at}", "timeout": "1500ms"})
            jobs.append({"id": f"sound-{i}", "url": f"http://sound.{lie}.test{at}"})
        sound = all(EXPECTED[lie] == DONE for lie in lies)
        ended = self.fetch("-w", workers, "--max-attempts", 1,
                           "--set", "fetch.dns_servers=" + names.address,
                           stdin="".join(json.dumps(job) + "\n" for job in jobs),
                           code=OK if sound else SOME_FAILED)
        self.assertLess(ended.seconds, 8 * harness.SLOWNESS)
        records = {record["id"]: record for record in ended.records}
        self.assertEqual(len(records), len(jobs))
        for name, record in records.items():
            with self.subTest(name=name):
                self.assertRegex(result(record), f"^({EXPECTED.get(name, DONE)})$")
                if record["outcome"] == "done":
                    self.assertEqual(record["remote_ip"], "127.0.0.1")

    def test_a_server_that_lies(self):
        self.assertEqual(set(EXPECTED), set(dns_server.LIES))
        self.fetch_all([lie for lie in EXPECTED if not dns_server.takes_tcp(lie)])

    def test_a_server_that_lies_over_tcp(self):
        """One at a time, as a TCP connection that breaks also ends what else was asked of the
        server; so a sound name comes when the lie has ended."""
        for lie in filter(dns_server.takes_tcp, EXPECTED):
            self.fetch_all([lie], workers=1)


class DeadZones(daemon_harness.Case):
    DEAD, LIVE, WORKERS = 1000, 200, 64

    def test_dead_zones_do_not_take_the_workers(self):
        names = self.server(dns_server.Liar)
        self.configure(
            f'fetch: {{ dns_servers = ( "{names.address}" ); }};',
            "retry: { max_attempts = 1; };",
            sources=[self.follow()], workers=self.WORKERS)
        dead = [{"id": f"dead-{i}", "url": f"http://{i}.dead.test/", "timeout": "150ms"}
                for i in range(self.DEAD)]
        live = [{"id": f"live-{i}", "url": f"http://{i}.up.test:{self.origin.port}/ok"}
                for i in range(self.LIVE)]
        self.write("urls", "".join(json.dumps(job) + "\n" for job in dead + live))
        daemon = self.daemon()

        most = 0

        def ended():
            nonlocal most
            most = max(most, daemon.metrics()["penstock_dns_waiting_workers"])
            ledger = daemon.status()["ledger"]
            return ledger["done"] + ledger["dead"] == self.DEAD + self.LIVE
        harness.eventually(ended, "all have ended")

        records = daemon.await_records(self.DEAD + self.LIVE)
        self.check_records(records, [job["id"] for job in dead + live])
        for record in records:
            self.assertRegex(result(record), DONE if record["id"].startswith("live") else SILENCE)
        # The last of the live ones is done long before the dead ones have all been tried.
        last = max(i for i, record in enumerate(records) if record["outcome"] == "done")
        self.assertLess(last, self.LIVE + self.DEAD // 2)
        self.assertGreater(most, 0)
        self.assertLessEqual(most, self.WORKERS // 2)

        # The workers are all there.
        self.append("urls", self.jobs("/ok", ["after"]))
        daemon.await_records(self.DEAD + self.LIVE + 1)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
