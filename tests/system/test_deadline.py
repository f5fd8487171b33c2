#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A job's deadline: it ends waits, retries and attempts, wherever the job is; and the books
balance."""
import datetime
import json
import urllib.parse

import daemon_harness
import harness
from durable_harness import request
from harness import OK, SOME_FAILED

SOON = 0.5 * harness.SLOWNESS  # seconds in which a job can be submitted, and a fetch begin
DEAD = "deadline: waiting to be fetched"
DAY = 86400


def moment(seconds):
    """So many seconds from now, as a job has it."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.isoformat().replace("+00:00", "Z")


def parsed(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Case(daemon_harness.Case):
    def begin(self, *lines, **options):
        self.configure('stop_timeout = "0s";', *lines, **options)
        return self.daemon()

    def ask(self, daemon, target, question, status=200):
        answer = request(daemon.socket, "POST", target, json.dumps(question))
        self.assertEqual(answer.status, status, answer.body)
        return answer.json

    def post(self, daemon, job_id, target="/ok", seconds=None, status=202, origin=None, **members):
        job = {"url": (origin or self.origin).url(target), "id": job_id, "timeout": "1h", **members}
        if seconds is not None:
            job["deadline"] = moment(seconds)
        self.ask(daemon, "/v1/jobs", job, status)
        return job

    def pause(self, daemon, **question):
        self.ask(daemon, "/v1/control/pause", question)

    def resume(self, daemon, **question):
        self.ask(daemon, "/v1/control/resume", question)

    def await_ledger(self, daemon, **expected):
        """Waits until the accounts are so; and whenever they are looked at, they balance."""
        return self.await_that(daemon, lambda ledger: all(
            ledger[name] == n for name, n in expected.items()), f"the ledger has {expected}")

    def await_that(self, daemon, holds, what):
        def agrees(status):
            ledger = status["ledger"]
            self.assertEqual(ledger["accepted"],
                             sum(n for name, n in ledger.items() if name != "accepted"), ledger)
            return holds(ledger)
        return daemon.await_status(agrees, what)

    def await_queued(self, daemon, n):
        """So many are in the queue, or on a busy machine it is too late for some already."""
        self.await_that(daemon, lambda ledger: ledger["queued"] + ledger["dead"] == n,
                        f"{n} are queued or dead")

    def check_dead(self, daemon, *jobs, reason=DEAD, n=None):
        """These jobs have died of their deadline, and not before it."""
        records = {r["id"]: r for r in daemon.await_records(n or len(jobs))}
        for job in jobs:
            record = records[job["id"]]
            self.assertEqual((record["outcome"], record["reason"]), ("dead", reason))
            self.assertGreaterEqual(parsed(record["finished_at"]), parsed(job["deadline"]))
        self.check_numbering(daemon.records())
        return records

    def await_reason(self, daemon, target, reason):
        """Has the deadline of a job pass when it has come so far; returns its record."""
        def attempt(seconds):
            n = len(daemon.records())
            job = self.post(daemon, f"soon{n}", target, seconds=seconds)
            self.await_ledger(daemon, dead=n + 1)
            record = daemon.await_records(n + 1)[n]
            self.check_dead(daemon, job, reason=record["reason"], n=n + 1)
            return record
        record = harness.in_time(attempt, lambda record: record["reason"] == reason, SOON)
        self.assertEqual(record["reason"], reason)
        return record


class Waits(Case):
    """The backlog in memory."""

    def test_a_pause_of_everything(self):
        before = self.origin.requests("ok")
        daemon = self.begin()
        self.pause(daemon)
        jobs = [self.post(daemon, f"soon{i}", seconds=SOON + i / 10) for i in range(3)]
        self.post(daemon, "later", seconds=DAY)
        self.post(daemon, "never")
        self.await_ledger(daemon, accepted=5, dead=3, waiting=2)
        records = self.check_dead(daemon, *jobs)
        for record in records.values():
            self.assertEqual((record["attempts"], record["started_at"]), (0, None))
        self.assertEqual(self.origin.requests("ok"), before)
        self.resume(daemon)
        self.await_ledger(daemon, accepted=5, dead=3, done=2)
        daemon.stop()

    def test_a_pause_of_everything_with_jobs_in_the_queue(self):
        daemon = self.begin("queue: { capacity = 8; };", daemon_harness.UNLIMITED, workers=1)
        self.post(daemon, "busy", "/stall")
        self.await_ledger(daemon, running=1)
        jobs = [self.post(daemon, f"soon{i}", seconds=SOON) for i in range(4)]
        self.post(daemon, "never")
        self.await_queued(daemon, 5)
        self.pause(daemon)
        self.await_ledger(daemon, accepted=6, dead=4, running=1, waiting=0, queued=1)
        self.check_dead(daemon, *jobs)
        daemon.stop()

    def test_a_queue_that_is_full_of_large_jobs(self):
        large = {"body": "b" * 900000, "method": "POST"}
        daemon = self.begin("queue: { capacity = 64; max_bytes = \"4M\"; };",
                            daemon_harness.UNLIMITED, workers=1)
        self.post(daemon, "busy", "/stall")
        self.await_ledger(daemon, running=1)
        for i in range(4):
            self.post(daemon, f"never{i}", **large)
        self.await_ledger(daemon, queued=4)
        jobs = [self.post(daemon, "large", seconds=4 * SOON, **large)]
        self.await_queued(daemon, 5)  # it is being pushed, and has no room
        jobs.append(self.post(daemon, "small", seconds=SOON))
        self.await_ledger(daemon, accepted=7, dead=2, running=1, queued=4)
        self.check_dead(daemon, *jobs)
        daemon.stop()

    def test_a_queue_behind_a_fetch_that_takes_long(self):
        daemon = self.begin('origins: ( { match = "*"; concurrency = 1; } );')
        self.post(daemon, "busy", "/stall")
        self.await_ledger(daemon, running=1)
        jobs = [self.post(daemon, f"soon{i}", seconds=SOON + i / 10) for i in range(5)]
        self.post(daemon, "never")
        self.await_ledger(daemon, accepted=7, dead=5, running=1)
        self.check_dead(daemon, *jobs)
        daemon.stop()

    def test_a_full_queue(self):
        daemon = self.begin("queue: { capacity = 1; };", daemon_harness.UNLIMITED, workers=1)
        self.post(daemon, "busy", "/stall")
        self.await_ledger(daemon, running=1)
        for i in range(6):  # the queue's one, the feeder's, and some behind them
            self.post(daemon, f"never{i}", "/stall")
        self.await_ledger(daemon, running=1, queued=1)
        jobs = [self.post(daemon, f"soon{i}", seconds=SOON - i / 10) for i in range(3)]
        self.await_ledger(daemon, accepted=10, dead=3, running=1)
        self.check_dead(daemon, *jobs)
        daemon.stop()

    def test_a_lane_that_rests(self):
        daemon = self.begin('origins: ( { match = "*"; rate = "1/h"; burst = 1; } );')
        self.post(daemon, "first")
        self.await_ledger(daemon, done=1)
        jobs = [self.post(daemon, f"soon{i}", seconds=SOON) for i in range(3)]
        self.post(daemon, "never")
        self.await_ledger(daemon, accepted=5, done=1, dead=3)
        self.check_dead(daemon, *jobs, n=4)
        daemon.stop()

    def test_a_job_that_is_not_due(self):
        daemon = self.begin()
        self.post(daemon, "late", seconds=DAY + 1, not_before=moment(DAY))
        self.ask(daemon, "/v1/jobs", {"url": self.origin.url("/ok"), "not_before": moment(DAY),
                                      "deadline": moment(DAY - 1)}, 400)
        self.await_ledger(daemon, accepted=1, delayed=1)
        daemon.stop()

    def test_a_backlog_that_is_full_has_room_again(self):
        daemon = self.begin("backlog: { max_jobs = 5; };")
        self.pause(daemon)
        for i in range(5):
            self.post(daemon, f"soon{i}", seconds=SOON)
        harness.eventually(lambda: request(
            daemon.socket, "POST", "/v1/jobs",
            json.dumps({"url": self.origin.url("/ok"), "id": "next"})).status == 202, "room")
        self.await_ledger(daemon, accepted=6, dead=5, waiting=1)
        daemon.stop()

    def test_many_at_once_beside_others(self):
        daemon = self.begin(sources=[self.follow()])
        self.pause(daemon, origin=self.origin.url("/"))
        other = self.server(harness.Origin, "127.0.0.2")
        at = moment(2 * SOON)
        self.append("urls", "".join(
            json.dumps({"url": (self.origin if i % 2 else other).url("/ok"), "id": f"j{i}",
                        **({"deadline": at} if i % 2 else {})}) + "\n" for i in range(3000)))
        self.await_ledger(daemon, accepted=3000, done=1500, dead=1500)
        records = daemon.await_records(3000)
        self.check_records(records, [f"j{i}" for i in range(3000)])
        self.assertEqual({r["reason"] for r in records}, {None, DEAD})
        daemon.stop()


class Durable(Waits):
    """The same and more with a database."""

    durable = True

    def tearDown(self):
        ended = harness.run("audit", "-c", "penstock.conf", cwd=self.dir,
                            env=daemon_harness.environment())
        self.assertEqual(ended.code, OK, ended.out + ended.err)

    def look(self, daemon, job_id):
        return daemon.get("/v1/jobs/" + urllib.parse.quote(job_id, safe="")).json

    def test_a_restart_in_between(self):
        daemon = self.begin()
        self.pause(daemon)
        jobs = [self.post(daemon, "soon0", seconds=SOON),
                self.post(daemon, "soon1", seconds=2 * SOON),
                self.post(daemon, "soon2", seconds=3 * SOON, not_before=moment(2 * SOON))]
        self.post(daemon, "later", seconds=DAY)
        daemon.kill()
        daemon = self.daemon()
        self.await_ledger(daemon, accepted=4, dead=3, waiting=1)
        self.check_dead(daemon, *jobs)
        daemon.stop()
        daemon = self.daemon()
        self.await_ledger(daemon, accepted=4, dead=3, waiting=1)
        daemon.stop()

    def test_one_that_has_passed_already(self):
        daemon = self.begin()
        job = self.post(daemon, "past", seconds=-DAY)
        for _ in range(2):
            self.await_ledger(daemon, accepted=1, dead=1)
            self.assertEqual(self.ask(daemon, "/v1/jobs", job, 200)["status"], "known")
        self.check_dead(daemon, job)
        daemon.stop()

    def test_why_says_it_and_a_repetition_has_none(self):
        daemon = self.begin()
        self.pause(daemon)
        self.post(daemon, "later", seconds=DAY)
        seen = self.look(daemon, "later")
        self.assertIn("everything is paused; deadline in ", seen["why"])
        self.assertEqual(parsed(seen["deadline"]).tzinfo, datetime.timezone.utc)
        job = self.post(daemon, "soon", seconds=SOON)
        self.await_ledger(daemon, dead=1)
        self.check_dead(daemon, job)
        again = self.ask(daemon, "/v1/control/requeue", {"id": "soon"})["id"]
        self.assertNotIn("deadline", self.look(daemon, again))
        self.resume(daemon)
        self.await_ledger(daemon, accepted=3, done=2, dead=1)
        daemon.stop()

    def test_a_redirect_to_a_lane_that_is_paused(self):
        other = self.server(harness.Origin, "127.0.0.2")
        daemon = self.begin()
        self.pause(daemon, origin=other.url("/"))
        target = "/redirect-to?url=" + urllib.parse.quote(other.url("/ok"), safe="")
        self.await_reason(daemon, target, "deadline: waiting to follow a redirect")
        self.assertEqual(other.requests("ok"), 0)
        daemon.stop()


class Attempts(Case):
    def test_an_origin_that_stalls(self):
        daemon = self.begin(daemon_harness.UNLIMITED)
        for target, reason in (("/stall", "deadline: waiting for the response"),
                               ("/stall-body", "deadline: reading the body")):
            record = self.await_reason(daemon, target, reason)
            self.assertEqual(record["attempts"], 1)
        daemon.stop()

    def test_a_retry_that_would_come_too_late_is_not_waited_for(self):
        daemon = self.begin('retry: { max_retry_after = "2h"; };')
        self.post(daemon, "one", "/status/503?retry_after=7200", seconds=3600)
        self.await_ledger(daemon, accepted=1, dead=1)
        record, = daemon.await_records(1)
        self.assertEqual(record["reason"], "deadline before the next attempt: http 503")
        daemon.stop()

    def test_retries_end_with_it(self):
        daemon = self.begin('retry: { base = "50ms"; max = "50ms"; max_attempts = 1000; };',
                            "origins: ( { match = \"*\"; breaker = 0; } );")
        self.post(daemon, "one", "/status/503", seconds=2 * SOON)
        self.await_ledger(daemon, accepted=1, dead=1)
        record, = daemon.await_records(1)
        self.assertTrue(record["reason"].startswith("deadline"), record)
        self.assertGreater(record["attempts"], 1)
        daemon.stop()


class Fetch(harness.Case):
    """`penstock fetch`."""

    def test_jobs_with_deadlines(self):
        stalled = "deadline: waiting for the response"

        def attempt(seconds):
            ok, stall = self.origin.url("/ok"), self.origin.url("/stall")
            lines = [{"url": ok, "id": "ok", "deadline": moment(DAY)},
                     {"url": ok, "id": "past", "deadline": "2020-01-01T00:00:00Z"},
                     {"url": stall, "id": "stall", "deadline": moment(seconds)},
                     {"url": ok, "id": "late", "deadline": moment(DAY), "not_before": moment(SOON)}]
            ended = self.fetch("--rate", "100/s", code=SOME_FAILED,
                               stdin="".join(json.dumps(line) + "\n" for line in lines))
            return {r["id"]: r["reason"] for r in ended.records}
        reasons = harness.in_time(attempt, lambda reasons: reasons["stall"] == stalled, SOON)
        self.assertEqual(reasons, {"ok": None, "past": DEAD, "late": None, "stall": stalled})

    def test_a_lane_without_a_place_before_the_deadline(self):
        at = moment(SOON)  # of all but the first, for whom there is a place
        lines = self.urls("/ok") + "".join(
            json.dumps({"url": self.origin.url("/ok"), "deadline": at}) + "\n" for _ in range(199))
        ended = self.fetch("--rate", "1/h", stdin=lines, code=SOME_FAILED)
        outcomes = [r["outcome"] for r in ended.records]
        self.assertEqual((outcomes.count("done"), outcomes.count("dead")), (1, 199))
        self.assertEqual({r["reason"] for r in ended.records}, {None, DEAD})


if __name__ == "__main__":
    harness.main()
