#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is in the way of jobs, and what people do about it: `penstock why`, `lanes`, `pause`,
`resume` and `drain`; against a stub, and against penstockd."""
import json
import signal
import urllib.parse

import daemon_harness
import harness
from durable_harness import request
from harness import OK, SOME_FAILED, UNAVAILABLE, UNFINISHED, USAGE
from stub_daemon import StubDaemon

PAUSE, RESUME, DRAIN = "/v1/control/pause", "/v1/control/resume", "/v1/control/drain"


# --- the commands, against a stub ---------------------------------------------------------


class Stub(harness.Case):
    @classmethod
    def setUpClass(cls):
        pass  # nothing is fetched

    def stub(self, **planned):
        """Answers these: {target: [(status, answer), …]}."""
        stub = StubDaemon(self.path("sock"))
        stub.store.planned = planned
        self.addCleanup(stub.stop)
        return stub

    def call(self, command, *args, code=OK):
        ended = harness.run(command, "--socket", self.path("sock"), *args,
                            env=daemon_harness.environment())
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def begin(self, command, *args, **options):
        return self.start("--socket", self.path("sock"), *args, command=command,
                          env=daemon_harness.environment(), **options)


class Commands(Stub):
    def test_why_says_the_sentence_with_its_id_if_there_are_several(self):
        answer = {"id": "a/b", "state": "waiting", "why_code": "rate", "why": "at its\x1b rate"}
        self.stub(**{"/v1/jobs/a%2Fb": [(200, answer)],
                     "/v1/jobs/none": [(404, "there is no job none")]})
        self.assertEqual(self.call("why", "a/b").out, "at its? rate\n")
        ended = self.call("why", "a/b", "none", "a/b", code=SOME_FAILED)
        self.assertEqual(ended.out, "a/b: at its? rate\n" * 2)
        self.assertIn("none: there is no job none\n", ended.err)
        self.assertEqual(json.loads(self.call("why", "--json", "a/b").out), answer)

    def test_an_answer_without_a_sentence_is_not_understood(self):
        self.stub(**{"/v1/jobs/a": [(200, {"id": "a"})], PAUSE: [(200, {})], DRAIN: [(200, {})],
                     "/v1/lanes?limit=100": [(200, {})], "/v1/status": [(200, {})]})
        for command, *args in ("why", "a"), ("pause",), ("lanes",), ("drain",):
            self.assertIn("is not understood", self.call(command, *args, code=UNAVAILABLE).err)

    def test_origins_are_paused_and_resumed_one_by_one(self):
        stub = self.stub(**{
            PAUSE: [(200, {"paused": True, "origin": "http://a:80", "durable": True}),
                    (400, "b is no origin without its scheme")],
            RESUME: [(200, {"paused": False, "origin": None, "durable": True})]})
        ended = self.call("pause", "http://a/x", "b", "http://c", code=USAGE)
        self.assertEqual(ended.out, "paused http://a:80\n")
        self.assertIn("b is no origin", ended.err)
        self.assertEqual(self.call("resume").out, "resumed everything\n")
        self.assertEqual(stub.store.requests, [
            ("POST", PAUSE, {"origin": "http://a/x"}), ("POST", PAUSE, {"origin": "b"}),
            ("POST", RESUME, {})])

    def test_a_pause_that_will_be_forgotten_says_so(self):
        self.stub(**{PAUSE: [(200, {"paused": True, "origin": None, "durable": False})],
                     RESUME: [(200, {"paused": False, "origin": None, "durable": False})]})
        self.assertEqual(self.call("pause").out, "paused everything, until the daemon ends\n")
        self.assertEqual(self.call("resume").out, "resumed everything\n")

    def test_wrong_usage_and_no_daemon(self):
        for command, *args in (("why",), ("why", "--nonsense", "a"), ("lanes", "a"),
                               ("lanes", "--limit", "0"), ("lanes", "--limit", "1001"),
                               ("lanes", "--limit", "5x"), ("lanes", "--sort", "name"),
                               ("drain", "a"), ("drain", "--timeout", "5")):
            self.call(command, *args, code=USAGE)
        for command, *args in ("why", "a"), ("lanes",), ("pause",), ("resume",), ("drain",):
            self.assertIn("no daemon answers", self.call(command, *args, code=UNAVAILABLE).err)


class Table(Stub):
    LANES = [
        {"origin": "http://a:80", "depth": 1000, "waiting": 900, "queued": 92, "running": 8,
         "wait_seconds": 75.0, "concurrency": 8, "rate": "5/s", "burst": 1, "state": "rate",
         "until": None, "failures": 0},
        {"origin": "https://long.example:8443", "depth": 20, "waiting": 20, "queued": 0,
         "running": 0, "wait_seconds": 3600.0, "concurrency": None, "rate": None, "burst": 1,
         "state": "breaker", "until": "2999-01-01T00:00:00.000000Z", "failures": 5},
        {"origin": "http://c:80", "depth": 3, "waiting": 0, "queued": 0, "running": 3,
         "wait_seconds": None, "concurrency": 3, "rate": "1000/m", "burst": 9, "state": "open",
         "until": None, "failures": 0}]

    def stub_lanes(self, total=3):
        return self.stub(**{f"/v1/lanes?limit={n}": [(200, {"lanes": self.LANES[:n],
                                                            "total": total})]
                            for n in (1, 2, 100, 1000)})

    def rows(self, *args):
        return [line.split() for line in self.call("lanes", *args).out.splitlines()]

    def test_columns_are_aligned(self):
        self.stub_lanes()
        head, *rows = self.call("lanes").out.splitlines()
        self.assertEqual(head.split(), ["ORIGIN", "JOBS", "WAITING", "QUEUED", "RUNNING",
                                        "OLDEST", "RATE", "STATE"])
        self.assertEqual(rows[0].split(), ["http://a:80", "1000", "900", "92", "8/8", "1m", "15s",
                                           "5/s", "rate"])
        self.assertEqual(rows[1].split()[:6], ["https://long.example:8443", "20", "20", "0", "0",
                                               "1h"])
        self.assertRegex(rows[1], r" -  breaker \d+d \d\dh, 5 failures$")
        self.assertEqual(rows[2].split(), ["http://c:80", "3", "0", "0", "3/3", "-", "1000/m",
                                           "open"])
        state = head.index("STATE")
        for row, name in zip(rows, ("rate", "breaker", "open")):
            self.assertEqual(row[state - 2:state + len(name)], "  " + name)
        for column in "JOBS", "WAITING", "RUNNING":
            end = head.index(column) + len(column)
            for row in rows:
                self.assertEqual((row[end - 1].isdigit(), row[end]), (True, " "))

    def test_lanes_are_sorted_as_asked(self):
        stub = self.stub_lanes()
        for what, order in (("depth", "alc"), ("wait", "lac"), ("rate", "cal"), ("state", "lca")):
            first = [row[0].split("//")[1][0] for row in self.rows("--sort", what)[1:]]
            self.assertEqual("".join(first), order, what)
        self.assertEqual([target for _, target, _ in stub.store.requests],
                         ["/v1/lanes?limit=100"] + ["/v1/lanes?limit=1000"] * 3)

    def test_those_beyond_the_limit_are_counted(self):
        self.stub_lanes(total=5)
        lines = self.call("lanes", "--limit", 2).out.splitlines()
        self.assertEqual((len(lines), lines[-1]), (4, "… and 3 more"))
        lines = self.call("lanes", "--limit", 1, "--sort", "wait").out.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn("long.example", lines[1])
        self.assertEqual(lines[-1], "… and 4 more")

    def test_json_is_the_daemons_own(self):
        self.stub_lanes()
        self.assertEqual(json.loads(self.call("lanes", "--json").out),
                         {"lanes": self.LANES, "total": 3})


def status_of(state, done, left, **members):
    ledger = {"accepted": done + 2 + left, "done": done, "dead": 1, "cancelled": 1, "running": 1}
    return (200, {"state": state, "paused": False, "paused_lanes": 0, "ledger": ledger, **members})


class Drain(Stub):
    OVER = [status_of("running", 100, 20), status_of("draining", 110, 10),
            status_of("drained", 120, 0)]
    ENDLESS = [status_of("running", 100, 20), status_of("draining", 100, 20)]

    def stub_drain(self, statuses):
        return self.stub(**{"/v1/status": list(statuses), DRAIN: [(200, {"draining": True})]})

    def await_watching(self, stub):
        harness.eventually(lambda: len(stub.store.requests) >= 3, "it watches")

    def test_it_waits_until_nothing_is_left(self):
        stub = self.stub_drain(self.OVER)
        ended = self.call("drain")
        self.assertEqual((ended.out, ended.err), ("drained: 20 done, 0 dead, 0 cancelled\n", ""))
        self.assertEqual([target for _, target, _ in stub.store.requests],
                         ["/v1/status", DRAIN, "/v1/status", "/v1/status"])

    def test_it_need_not_wait(self):
        stub = self.stub_drain(self.ENDLESS)
        ended = self.call("drain", "--no-wait")
        self.assertEqual((ended.out, ended.err), ("", ""))
        self.assertEqual(stub.store.requests[-1], ("POST", DRAIN, {}))

    def test_the_time_may_be_up(self):
        self.stub_drain(self.ENDLESS)
        ended = self.call("drain", "--timeout", "10ms", code=UNFINISHED)
        self.assertIn("the daemon goes on draining", ended.err)
        self.assertEqual(ended.out, "")

    def test_a_signal_ends_the_waiting_only(self):
        stub = self.stub_drain(self.ENDLESS)
        drain = self.begin("drain")
        self.await_watching(stub)
        drain.signal(signal.SIGINT)
        ended = drain.wait()
        self.assertEqual(ended.code, UNFINISHED)
        self.assertIn("the daemon goes on draining", ended.err)

    def test_a_pause_is_said_once(self):
        for members, words in (({"paused": True}, "everything is paused"),
                               ({"paused_lanes": 2}, "lanes that are paused: 2;")):
            with self.subTest(words):
                paused = status_of("draining", 100, 20, **members)
                stub = self.stub_drain([self.OVER[0], paused, paused, self.OVER[-1]])
                ended = self.call("drain")
                self.assertEqual(ended.err.count(words), 1, ended.err)
                stub.stop()

    def test_a_daemon_that_is_stopped_meanwhile_is_an_error(self):
        self.stub_drain([self.OVER[0], status_of("stopping", 100, 20)])
        self.assertIn("the daemon is stopped, with 20 jobs left",
                      self.call("drain", code=UNAVAILABLE).err)

    def test_a_terminal_has_a_progress_line(self):
        stub = self.stub_drain(self.ENDLESS)
        terminal = self.terminal()
        drain = self.begin("drain", stderr=terminal.slave)
        harness.eventually(lambda: "draining: 20 jobs left, 1 of them running" in
                           terminal.screen.text, "a progress line")
        with stub.store.lock:
            stub.store.planned["/v1/status"] = [self.OVER[-1]]
        ended = drain.wait()
        self.assertEqual((ended.code, ended.out), (OK, "drained: 20 done, 0 dead, 0 cancelled\n"))
        self.assertTrue(terminal.hang_up().endswith("\r\x1b[K"))


# --- with penstockd -----------------------------------------------------------------------


class Case(daemon_harness.Case):
    durable = True

    def configure_limits(self, limits, *lines, **options):
        """The limits of every origin; without a breaker unless they say something else."""
        if "breaker" not in limits:
            limits += " breaker = 0;"
        self.configure(f'origins = ( {{ match = "*"; {limits} }} );', 'stop_timeout = "0s";',
                       'retry: { base = "1d"; max = "1d"; max_attempts = 3; };', *lines, **options)

    def call(self, command, *args, code=OK):
        ended = harness.run(command, "--socket", self.path("control.sock"), *args,
                            env=daemon_harness.environment())
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def post(self, daemon, job_id, target="/ok", origin=None, **members):
        url = (origin or self.origin).url(target)
        answer = request(daemon.socket, "POST", "/v1/jobs",
                         json.dumps({"url": url, "id": job_id, "timeout": "1h", **members}))
        self.assertEqual(answer.status, 202, answer.body)

    def move(self, daemon, target, origin=None):
        question = {"origin": origin.url("/")} if origin else {}
        answer = request(daemon.socket, "POST", target, json.dumps(question))
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json

    def look(self, daemon, job_id):
        answer = daemon.get("/v1/jobs/" + urllib.parse.quote(job_id, safe=""))
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json

    def await_why(self, daemon, job_id, code, *words):
        """Waits until this is in the way of the job; the sentence has these words."""
        seen = {}

        def is_so():
            seen.clear()
            seen.update(self.look(daemon, job_id))
            return seen["why_code"] == code
        try:
            harness.eventually(is_so, f"{job_id} is where it is for {code}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the last: {seen}") from None
        for word in words:
            self.assertIn(word, seen["why"])
        self.assertNotIn("/ok", seen["why"])
        return seen

    def lane(self, origin=None):
        return f"http://127.0.0.1:{(origin or self.origin).port}"

    def lanes(self, daemon):
        """The lanes by origin."""
        answer = daemon.get("/v1/lanes").json
        self.assertEqual(answer["total"], len(answer["lanes"]))
        return {lane["origin"]: lane for lane in answer["lanes"]}

    def check_reasons(self, daemon, **expected):
        """Metrics and status count the waiting jobs so, and as many as the ledger."""
        def counted():
            status, samples = daemon.status(), daemon.metrics()
            reasons = {name[len('penstock_jobs_waiting{reason="'):-2]: int(n)
                       for name, n in samples.items() if name.startswith("penstock_jobs_waiting{")}
            ledger = status["ledger"]
            return ({k: n for k, n in reasons.items() if n}, status["waiting_by_reason"],
                    sum(reasons.values()) ==
                    ledger["waiting"] + ledger["delayed"] + ledger["queued"])
        last = []

        def agrees():
            last[:] = counted()
            return last == [expected, expected, True]
        try:
            harness.eventually(agrees, f"{expected} wait")
        except AssertionError as error:
            raise AssertionError(f"{error}; the last: {last}") from None


class Why(Case):
    def test_a_rate(self):
        self.configure_limits('rate = "1/h"; burst = 1;')
        daemon = self.daemon()
        self.post(daemon, "first")
        self.await_why(daemon, "first", "done", "done")
        for i in range(3):
            self.post(daemon, f"next{i}")
        seen = self.await_why(daemon, "next2", "rate", f"lane {self.lane()} is at its rate of 1/h")
        self.assertEqual(seen["lane"], self.lane())
        self.check_reasons(daemon, rate=3)
        lane = self.lanes(daemon)[self.lane()]
        self.assertEqual((lane["depth"], lane["state"], lane["rate"]), (3, "rate", "1/h"))
        self.assertGreater(lane["wait_seconds"], 0)
        daemon.stop()

    def test_as_many_fetches_as_there_may_be(self):
        self.configure_limits("concurrency = 1;")
        daemon = self.daemon()
        self.post(daemon, "busy", "/stall")
        self.await_why(daemon, "busy", "running", "running for ", "timeout in ")
        for i in range(9):
            self.post(daemon, f"next{i}")
        for i in 0, 8:  # queued, and not
            self.await_why(daemon, f"next{i}", "concurrency",
                           f"lane {self.lane()} runs 1 of 1 fetches")
        self.check_reasons(daemon, concurrency=9)
        lane = self.lanes(daemon)[self.lane()]
        self.assertEqual((lane["depth"], lane["running"], lane["state"], lane["concurrency"]),
                         (10, 1, "concurrency", 1))
        daemon.stop()

    def test_a_retry_and_the_retry_after_of_its_lane(self):
        self.configure_limits("concurrency = 1;")
        daemon = self.daemon()
        self.post(daemon, "again", "/status/503?retry_after=3000")
        seen = self.await_why(daemon, "again", "retry", "retry: attempt 2 of 3 in ")
        self.assertEqual(seen["state"], "delayed")
        self.post(daemon, "next")
        self.await_why(daemon, "next", "retry_after", f"lane {self.lane()}: Retry-After until ")
        self.check_reasons(daemon, retry=1, retry_after=1)
        lane = self.lanes(daemon)[self.lane()]
        self.assertEqual((lane["depth"], lane["waiting"], lane["state"]), (2, 1, "retry_after"))
        self.assertIsNotNone(lane["until"])
        self.assertEqual(self.call("resume", self.lane()).out, f"resumed {self.lane()}\n")
        self.await_why(daemon, "next", "done")
        daemon.stop()

    def test_a_breaker(self):
        self.configure_limits('breaker = 1; breaker_pause = "1h"; breaker_max = "1h";')
        daemon = self.daemon()
        self.post(daemon, "broken", "/reset")
        self.await_why(daemon, "broken", "retry")
        self.post(daemon, "next")
        self.await_why(daemon, "next", "breaker", "breaker open after 1 failure", "next probe in ")
        lane = self.lanes(daemon)[self.lane()]
        self.assertEqual((lane["state"], lane["failures"]), ("breaker", 1))
        self.assertIn("breaker", self.call("lanes").out)
        self.call("resume", self.origin.url("/anything"))
        self.await_why(daemon, "next", "done")
        daemon.stop()

    def test_the_workers_and_the_queue(self):
        self.configure_limits("concurrency = 0;", "queue: { capacity = 1; };", workers=1)
        daemon = self.daemon()
        self.post(daemon, "busy", "/stall")
        self.await_why(daemon, "busy", "running")
        self.post(daemon, "queued")
        self.await_why(daemon, "queued", "worker", "queued, no job ahead",
                       "all 1 workers are busy")
        for i in range(8):  # the feeder may hold one or two
            self.post(daemon, f"w{i}")
        self.await_why(daemon, "w7", "queue", "not queued yet, ")
        daemon.stop()

    def test_a_time_an_end_and_jobs_that_nobody_knows(self):
        self.configure_limits("concurrency = 0;")
        daemon = self.daemon()
        self.post(daemon, "later", not_before="2999-11-28T12:00:00Z")
        self.await_why(daemon, "later", "not_before", "not before 2999-11-28T12:00:00Z")
        self.post(daemon, "dead", "/status/404")
        seen = self.await_why(daemon, "dead", "dead", "dead: http 404")
        self.assertNotIn("lane", seen)
        self.check_reasons(daemon, not_before=1)
        ended = self.call("why", "later", "none", "dead", code=SOME_FAILED)
        self.assertEqual(ended.out, "later: not before 2999-11-28T12:00:00Z\ndead: dead: http 404\n")
        self.assertIn("none: there is no job none", ended.err)
        self.assertEqual(json.loads(self.call("why", "--json", "dead").out)["why_code"], "dead")
        daemon.stop()


class Pause(Case):
    def test_one_origin_waits_also_after_a_restart(self):
        other = self.server(harness.Origin)
        self.configure_limits("concurrency = 4;")
        daemon = self.daemon()
        self.assertEqual(self.call("pause", self.origin.url("/x?y")).out,
                         f"paused {self.lane()}\n")
        before = self.origin.requests("ok")
        for i in range(5):
            self.post(daemon, f"here{i}")
            self.post(daemon, f"there{i}", origin=other)
        for i in range(5):
            self.await_why(daemon, f"there{i}", "done")
            self.await_why(daemon, f"here{i}", "paused", f"lane {self.lane()} is paused")
        self.check_reasons(daemon, paused=5)
        self.assertEqual(daemon.metrics()['penstock_lanes{state="paused"}'], 1)
        self.assertEqual(daemon.status()["paused_lanes"], 1)
        self.assertEqual(self.lanes(daemon)[self.lane()]["state"], "paused")
        daemon.stop()

        daemon = self.daemon()
        self.await_why(daemon, "here4", "paused", self.lane())
        self.assertEqual(daemon.status()["paused_lanes"], 1)
        self.assertEqual(self.origin.requests("ok"), before)
        self.assertEqual(self.move(daemon, RESUME, self.origin),
                         {"paused": False, "origin": self.lane(), "durable": True})
        for i in range(5):
            self.await_why(daemon, f"here{i}", "done")
        self.assertEqual(self.origin.requests("ok"), before + 5)
        daemon.stop()

        daemon = self.daemon()  # that, too, is remembered
        self.post(daemon, "last")
        self.await_why(daemon, "last", "done")
        daemon.stop()

    def test_everything_waits_also_after_a_restart(self):
        self.configure_limits("concurrency = 4;")
        daemon = self.daemon()
        self.assertEqual(self.move(daemon, PAUSE),
                         {"paused": True, "origin": None, "durable": True})
        before = self.origin.requests("ok")
        self.post(daemon, "a")
        for _ in range(2):
            self.await_why(daemon, "a", "paused", "everything is paused")
            self.check_reasons(daemon, paused=1)
            status = daemon.status()
            self.assertEqual((status["state"], status["paused"]), ("running", True))
            self.assertEqual(daemon.metrics()["penstock_paused"], 1)
            self.assertIn("paused:   everything", self.call("status").out)
            daemon.stop()
            daemon = self.daemon()
        self.assertEqual(self.origin.requests("ok"), before)
        self.assertEqual(self.call("resume").out, "resumed everything\n")
        self.await_why(daemon, "a", "done")
        self.assertEqual(daemon.metrics()["penstock_paused"], 0)
        daemon.stop()

    def test_a_fetch_under_way_goes_on(self):
        self.configure_limits("concurrency = 4;")
        daemon = self.daemon()
        gate = self.server(harness.Gate)
        self.post(daemon, "a", "/", origin=gate)
        self.await_why(daemon, "a", "running")
        self.move(daemon, PAUSE, gate)
        gate.open()
        self.await_why(daemon, "a", "done")
        daemon.stop()

    def test_a_lane_that_is_paused_itself_stays_so(self):
        self.configure_limits("concurrency = 4;")
        daemon = self.daemon()
        self.move(daemon, PAUSE)
        self.move(daemon, PAUSE, self.origin)
        self.post(daemon, "a")
        self.await_why(daemon, "a", "paused", "everything is paused")
        self.move(daemon, RESUME)
        self.await_why(daemon, "a", "paused")
        harness.eventually(lambda: "lane " in self.look(daemon, "a")["why"], "its lane is named")
        self.move(daemon, RESUME, self.origin)
        self.await_why(daemon, "a", "done")
        daemon.stop()

    def test_a_memory_backlog_forgets_it(self):
        self.configure('backlog: { type = "memory"; };', 'stop_timeout = "0s";')
        daemon = self.daemon()
        before = self.origin.requests("ok")
        self.assertEqual(self.call("pause", self.lane()).out,
                         f"paused {self.lane()}, until the daemon ends\n")
        self.post(daemon, "a")
        harness.eventually(lambda: self.lanes(daemon).get(self.lane(), {}).get("depth") == 1,
                           "it waits")
        self.check_reasons(daemon, paused=1)
        self.assertEqual(self.origin.requests("ok"), before)
        self.assertIn("cannot do this", self.call("why", "a", code=UNAVAILABLE).err)
        self.call("resume", self.lane())
        daemon.await_records(1)
        daemon.stop()


class DrainDaemon(Case):
    def test_it_takes_nothing_more_and_finishes_what_it_has(self):
        self.configure_limits("concurrency = 2;")
        daemon = self.daemon()
        self.move(daemon, PAUSE)
        for i in range(20):
            self.post(daemon, f"a{i}", "/status/404" if i < 3 else "/ok")
        drain = self.start("--socket", daemon.socket, command="drain",
                           env=daemon_harness.environment())
        drain.await_message("everything is paused")
        why = "the daemon is draining and takes no more jobs"
        for answer in (request(daemon.socket, "POST", "/v1/jobs", self.origin.url("/ok")),
                       request(daemon.socket, "POST", "/v1/control/requeue", '{"all": true}'),
                       daemon.get("/readyz")):
            self.assertEqual((answer.status, answer.json["detail"]), (503, why))
        self.assertEqual(daemon.status()["state"], "draining")
        self.assertEqual(daemon.get("/healthz").status, 200)
        self.await_why(daemon, "a0", "paused")
        self.move(daemon, RESUME)
        ended = drain.wait()
        self.assertEqual((ended.code, ended.out), (OK, "drained: 17 done, 3 dead, 0 cancelled\n"))
        self.assertEqual(daemon.status()["state"], "drained")
        self.assertEqual(daemon.get("/readyz").json["detail"], why)
        self.assertIn("drained", self.call("status").out)
        self.check_records(daemon.await_records(20), [f"a{i}" for i in range(20)])
        daemon.stop()

        daemon = self.daemon()  # a new one takes jobs again
        self.post(daemon, "b")
        self.await_why(daemon, "b", "done")
        daemon.stop()

    def test_sources_are_read_no_further(self):
        self.write("urls", self.urls("/ok"))
        self.configure('stop_timeout = "0s";', sources=[self.follow()])
        daemon = self.daemon()
        daemon.await_status(lambda s: s["ledger"]["done"] == 1, "it is booked")
        self.assertEqual(self.call("drain").out, "drained: 0 done, 0 dead, 0 cancelled\n")
        self.append("urls", self.urls("/ok"))
        self.assertEqual(self.call("drain").out, "drained: 0 done, 0 dead, 0 cancelled\n")
        self.assertEqual(daemon.status()["ledger"]["accepted"], 1)
        daemon.stop()
        daemon = self.daemon()
        daemon.await_records(2)
        daemon.stop()

    def test_a_retry_keeps_it_from_its_end(self):
        self.configure_limits("concurrency = 2;")
        daemon = self.daemon()
        self.post(daemon, "again", "/status/500")
        self.await_why(daemon, "again", "retry")
        ended = self.call("drain", "--timeout", "100ms", code=UNFINISHED)
        self.assertIn("the daemon goes on draining", ended.err)
        self.assertEqual(daemon.status()["state"], "draining")
        self.assertEqual(self.call("drain", "--no-wait").out, "")
        self.assertEqual(request(daemon.socket, "DELETE", "/v1/jobs/again").status, 202)
        daemon.await_status(lambda s: s["state"] == "drained", "the last job is cancelled")
        daemon.stop()


if __name__ == "__main__":
    harness.main()
