#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstock set and penstock reload: settings that change while the daemon runs."""
import json
import os
import random
import resource
import signal

import daemon_harness
import harness

SET, RELOAD = "/v1/control/set", "/v1/control/reload"


def post(daemon, target, body=None):
    """Posts an object, or nothing, to the control socket."""
    connection = daemon_harness.UnixConnection(daemon.socket)
    try:
        connection.request("POST", target, body=None if body is None else json.dumps(body))
        response = connection.getresponse()
        return daemon_harness.Answer(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


class Case(daemon_harness.Case):
    def start(self, *lines, **options):
        self.configure(*lines, sources=(self.follow(),), **options)
        return self.daemon()

    def penstock(self, command, *args):
        return harness.run(command, "--socket", self.path("control.sock"), *args)

    def check(self, ended, code, out="", err=""):
        """What the command has written to standard output, and to standard error."""
        self.assertEqual((ended.code, ended.out, ended.err), (code, out, err))

    def check_problem(self, answer, status, detail):
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        self.assertEqual((answer.status, answer.json["detail"]), (status, detail))


class Set(Case):
    def test_a_setting_is_in_force_at_once(self):
        daemon = self.start(daemon_harness.UNLIMITED, workers=2)
        self.append("urls", self.urls(*["/stall"] * 12))
        self.await_in_flight(2)
        self.check(self.penstock("set", "workers=12", "retry.base=2s"), harness.OK,
                   "workers: 12, was 2\nretry.base: 2s, was 1s\n")
        self.await_in_flight(12)
        daemon.await_message('retry.base: "2s", was "1s"')
        daemon.await_message("set: 2 settings differ")
        daemon.await_message(f"set: asked for by uid {os.getuid()} (pid ")
        self.check(self.penstock("set", "workers=12"), harness.OK, "nothing has changed\n")

    def test_what_is_asked_for_and_kept_of_answers_changes(self):
        origin = self.server(harness.Notebook)
        daemon = self.start(workers=1)
        self.append("urls", f"http://127.0.0.1:{origin.port}/1\n")
        before = daemon.await_records(1)[0]
        self.check(self.penstock("set", "results.headers=content-Length", "fetch.encodings=br"),
                   harness.OK, 'fetch.encodings: ( "br" ), was ( "gzip", "deflate" )\n'
                   'results.headers: ( "content-Length" ), was ( )\n')
        self.append("urls", f"http://127.0.0.1:{origin.port}/2\n")
        after = daemon.await_records(2)[1]
        self.assertNotIn("headers", before)
        self.assertEqual(after["headers"], {"content-length": ["0"]})
        self.assertEqual([r[2].get("Accept-Encoding") for r in origin.requests],
                         ["gzip, deflate", "br"])

    def test_the_socket_answers_with_what_has_changed(self):
        daemon = self.start(workers=2)
        answer = post(daemon, SET, {"workers": 5, "fetch.success": "200-399,404",
                                    "fetch.timeout": "30s"})
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual((answer.status, answer.json), (200, {"changed": [
            {"key": "workers", "before": "2", "after": "5"},
            {"key": "fetch.success", "before": '( "200-399" )',
             "after": '( "200-399", "404" )'}]}))
        self.append("urls", self.jobs("/status/404", ["a"]))
        self.assertEqual(daemon.await_records(1)[0]["outcome"], "done")
        daemon.stop()

    def test_how_much_is_logged_is_asked_and_set(self):
        daemon = self.start('log: { level = "warning"; };')
        self.check(self.penstock("log-level"), harness.OK, "warning\n")
        self.append("urls", self.jobs("/status/404?secret", ["a"]))
        daemon.await_records(1)
        self.check(self.penstock("log-level", "debug"), harness.OK)
        self.append("urls", self.jobs("/ok?secret", ["b"]))
        daemon.await_message("job b: attempt 1: http 200 after ")
        self.append("urls", self.jobs("/flaky/1/c", ["c"]))
        daemon.await_message("job c: attempt 1: http 503 after ")
        self.check(self.penstock("log-level"), harness.OK, "debug\n")
        self.assertNotIn("job a", daemon.err.text)
        self.assertNotIn("secret", daemon.err.text)
        self.assertEqual(self.penstock("log-level", "loud").err,
                         "penstock: error: loud: no level; give error, warning, info or debug\n")
        # What was set ends with a reload.
        self.assertEqual(self.penstock("reload").out, "log.level: warning, was debug\n")
        self.check(self.penstock("log-level"), harness.OK, "warning\n")
        daemon.stop()

    def test_origins_are_set_by_name(self):
        daemon = self.start('origins = ( { match = "a.example"; burst = 3; } );')
        self.check(self.penstock("set", "origins[a.example].rate=5/s", "origins[*].concurrency=2"),
                   harness.OK, "origins[a.example].rate: 5/s, was 0\n"
                   "origins[*].concurrency: 2, was 8\n")
        answer = post(daemon, SET, {"origins[http://[::1]:80].rate": "3/s"})
        change, = answer.json["changed"]
        self.assertEqual((change["key"], change["before"]), ("origins[http://[::1]:80]", "none"))
        self.assertIn('rate = "3/s";', change["after"])
        self.check(self.penstock("set", "origins[0].rate=4/s"), harness.OK,
                   "origins[http://[::1]:80].rate: 4/s, was 3/s\n")
        # They are as they were in the file after a reload.
        ended = self.penstock("reload")
        self.assertEqual(ended.code, harness.OK)
        self.assertIn("origins[http://[::1]:80]: none, was {", ended.out)
        self.assertIn("origins[a.example].rate: 0, was 5/s\n", ended.out)
        self.assertIn("origins[*].concurrency: 8, was 2\n", ended.out)
        daemon.stop()

    def test_a_refused_key_or_value_changes_nothing(self):
        daemon = self.start(workers=2)
        daemon.await_message("ready")
        before = daemon.err.text
        self.check(self.penstock("set", "workers=9", "wrokers=3", "retry.max_attempts=0"),
                   harness.CONFIG, "",
                   "penstock: error: set wrokers=3: unknown key; did you mean workers?\n"
                   "penstock: error: set retry.max_attempts=0: 0 is out of range; "
                   "give 1 to 1000 attempts\n")
        self.check_problem(post(daemon, SET, {"workers": 9, "retry.base": "10m"}), 400,
                           "set: retry.base: must not be longer than retry.max")
        self.check_problem(post(daemon, SET, {"workers": 9, "origins[A].rate": "5"}), 400,
                           'set origins[A].rate=5: "5" is not a rate; give for example "5/s" '
                           "(s, m, h or d)")
        self.assertEqual(post(daemon, SET, {}).status, 400)
        self.assertEqual(post(daemon, SET, {"workers": 1.5}).status, 400)
        self.assertEqual(daemon.status()["workers"], {"wanted": 2, "alive": 2})
        self.assertEqual(daemon.err.text, before)
        daemon.stop()

    def test_a_key_that_needs_a_restart_refuses_all(self):
        daemon = self.start(workers=2)
        said = ("results.path: needs a restart; change it in the file\n"
                "control.mode: needs a restart; change it in the file")
        self.check_problem(post(daemon, SET, {"workers": 9, "results.path": "other",
                                              "control.mode": "0600"}), 409, said)
        self.check(self.penstock("set", "workers=9", "results.path=other", "control.mode=0600"),
                   harness.CONFIG, "", "".join(f"penstock: error: {line}\n"
                                               for line in said.split("\n")))
        self.assertEqual(daemon.status()["workers"], {"wanted": 2, "alive": 2})
        daemon.stop()

    def test_more_workers_than_there_are_descriptors_for_are_refused(self):
        self.configure("fetch: { idle_connections = 0; };", sources=(self.follow(),), workers=2)
        daemon = self.daemon(preexec_fn=harness.limit(resource.RLIMIT_NOFILE, 1000))
        self.check_problem(post(daemon, SET, {"workers": 500, "retry.base": "2s"}), 409,
                           "workers: there are not enough descriptors for so many; see the log")
        daemon.await_message("up to 2")
        self.assertEqual(post(daemon, SET, {"workers": 3}).json["changed"][0]["before"], "2")
        daemon.stop()

    def test_an_edited_file_is_not_applied_by_accident(self):
        daemon = self.start(workers=2)
        self.configure("retry: { max_attempts = 9; };", "bogus = 1;", workers=7)
        self.check(self.penstock("set", "workers=3"), harness.OK, "workers: 3, was 2\n")
        self.assertEqual(daemon.status()["workers"]["wanted"], 3)
        self.assertNotIn("max_attempts", daemon.err.text)
        # What was set before stays.
        self.check(self.penstock("set", "retry.base=3s"), harness.OK, "retry.base: 3s, was 1s\n")
        self.assertEqual(daemon.status()["workers"]["wanted"], 3)
        daemon.stop()

    def test_the_command_line_is_explained(self):
        for args, message in ((("set",), "nothing to set: write KEY=VALUE"),
                              (("set", "workers"), "workers: no value; write KEY=VALUE"),
                              (("reload", "x"), "x: penstock reload takes no arguments"),
                              (("set", "--bogus"), "unrecognized option")):
            ended = self.penstock(*args)
            self.assertEqual((ended.code, ended.out), (harness.USAGE, ""))
            self.assertIn(message, ended.err)
        for command in "set", "reload":
            ended = self.penstock(command, "--help")
            self.assertEqual((ended.code, ended.err), (harness.OK, ""))
        ended = self.penstock("set", "workers=3")
        self.assertEqual(ended.code, harness.UNAVAILABLE)
        self.assertIn("no daemon answers", ended.err)


class Reload(Case):
    def test_the_file_is_read_again(self):
        daemon = self.start(workers=2)
        self.configure("queue: { capacity = 40; };", sources=(self.follow(),), workers=6)
        self.check(self.penstock("reload"), harness.OK,
                   "workers: 6, was 2\nqueue.capacity: 40, was 1000\n")
        self.assertEqual(daemon.status()["workers"]["wanted"], 6)
        daemon.await_message("reload: 2 settings differ")
        self.assertEqual(post(daemon, RELOAD).json, {"changed": []})
        daemon.stop()

    def test_what_was_set_ends_with_a_reload(self):
        self.configure(sources=(self.follow(),), workers=3)
        daemon = self.daemon("--set", "retry.base=2s")
        for again in (lambda: self.penstock("reload"), lambda: daemon.signal(signal.SIGHUP)):
            self.assertEqual(self.penstock("set", "workers=5", "retry.base=4s").code, harness.OK)
            self.assertEqual(daemon.status()["workers"]["wanted"], 5)
            again()
            daemon.await_status(lambda s: s["workers"]["wanted"] == 3, "the file's workers")
        self.assertEqual(daemon.stop().err.count('retry.base: "2s", was "4s"'), 2)

    def test_errors_come_back_and_change_nothing(self):
        daemon = self.start(workers=2)
        daemon.await_message("ready")
        self.configure("bogus = 1;", "retry: { max_attempts = 0; };", workers=9)
        self.check(self.penstock("reload"), harness.CONFIG, "",
                   "penstock: error: penstock.conf:2: bogus: unknown key; known here: workers, "
                   "stop_timeout, log, queue, backlog, sources, origins, fetch, guard, retry, "
                   "results, control\n"
                   "penstock: error: penstock.conf:3: retry.max_attempts: 0 is out of range; "
                   "give 1 to 1000 attempts\n")
        os.unlink(self.path("penstock.conf"))
        answer = post(daemon, RELOAD)
        self.assertEqual(answer.status, 400)
        self.assertIn("penstock.conf: cannot read it", answer.json["detail"])
        self.assertEqual(daemon.status()["workers"]["wanted"], 2)
        daemon.stop()
        self.assertEqual(daemon.err.text.count("penstockd: error: reload: nothing has changed"), 2)
        self.assertNotIn("differ", daemon.err.text)

    def test_what_needs_a_restart_is_named(self):
        daemon = self.start(workers=2)
        self.configure('results: { path = "other"; };', sources=(self.follow(), self.follow("b")),
                       workers=3)
        self.assertEqual(post(daemon, RELOAD).json, {
            "changed": [{"key": "workers", "before": "2", "after": "3"}],
            "needs_restart": ["sources", "results.path"]})
        self.check(self.penstock("reload"), harness.OK, "nothing has changed\n",
                   "penstock: warning: sources: differs, and needs a restart\n"
                   "penstock: warning: results.path: differs, and needs a restart\n")
        daemon.stop()

    def test_a_dry_run_says_what_would_change_and_changes_nothing(self):
        daemon = self.start("queue: { capacity = 40; };", workers=2)
        daemon.await_message("ready")
        before = daemon.err.text
        self.check(self.penstock("reload", "--diff"), harness.OK, "nothing would change\n")
        self.configure('results: { path = "other"; };', sources=(self.follow(),), workers=3)
        for _ in range(2):
            self.check(self.penstock("reload", "--diff"), 1,
                       "workers: 2 -> 3\nqueue.capacity: 40 -> 1000\n"
                       "results.path: differs, and needs a restart\n")
        self.assertEqual(post(daemon, RELOAD + "?dry_run=true").json, {
            "changed": [{"key": "workers", "before": "2", "after": "3"},
                        {"key": "queue.capacity", "before": "40", "after": "1000"}],
            "needs_restart": ["results.path"], "dry_run": True})
        self.check(self.penstock("set", "--dry-run", "workers=9"), harness.OK, "workers: 2 -> 9\n")
        self.check(self.penstock("set", "--dry-run", "workers=2"), harness.OK,
                   "nothing would change\n")
        self.check(self.penstock("set", "--dry-run", "results.path=x"), harness.CONFIG, "",
                   "penstock: error: results.path: needs a restart; change it in the file\n")
        self.check_problem(post(daemon, SET + "?dry_run=1", {"workers": 9}), 400,
                           "dry_run=1 must be true or false")
        self.configure("bogus = 1;", workers=3)
        ended = self.penstock("reload", "--diff")
        self.assertEqual((ended.code, ended.out), (harness.CONFIG, ""))
        self.assertIn("penstock.conf:2: bogus: unknown key", ended.err)
        status = daemon.status()
        self.assertEqual((status["workers"]["wanted"], status["queue"]["capacity_jobs"]), (2, 40))
        self.assertEqual(daemon.err.text, before)
        self.assertEqual(post(daemon, SET + "?dry_run=false", {"workers": 9}).json["changed"],
                         [{"key": "workers", "before": "2", "after": "9"}])
        daemon.stop()

    def test_while_it_stops_nothing_changes(self):
        daemon = self.start('stop_timeout = "1h";', workers=2)
        self.append("urls", self.urls("/stall"))
        self.await_in_flight(1)
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        said = "the daemon is stopping; its settings do not change any more"
        self.check_problem(post(daemon, SET, {"workers": 9}), 503, said)
        self.check_problem(post(daemon, RELOAD), 503, said)
        self.check(self.penstock("reload"), harness.UNAVAILABLE, "", f"penstock: error: {said}\n")
        daemon.stop()


class UnderLoad(Case):
    """Workers and capacity grow and shrink at random while jobs run; SET_SEED gives other ones."""
    durable = True
    SEED = os.environ.get("SET_SEED", "1")
    JOBS = 2000 if harness.SANITIZED else 4000

    def file(self, rng):
        self.configure(f"queue: {{ capacity = {rng.randint(1, 200)}; }};",
                       daemon_harness.UNLIMITED, sources=(self.follow(),),
                       workers=rng.randint(1, 32))

    def change(self, daemon, rng):
        """One step of the schedule.  Returns how many settings have changed."""
        kind = rng.random()
        if kind < 0.2:
            self.file(rng)
        if kind < 0.4:
            answer = post(daemon, RELOAD)
        elif kind < 0.5:
            answer = post(daemon, SET, {"workers": 3, "queue.capacity": 0})
            self.assertEqual(answer.status, 400)
            return 0
        else:
            some = {"workers": rng.choice((1, 2, 5, 16, 32)),
                    "queue.capacity": rng.choice((1, 2, 20, 200)),
                    "queue.max_bytes": rng.choice(("4M", "64M")),
                    "retry.base": rng.choice(("1s", "2s"))}
            answer = post(daemon, SET, dict(rng.sample(sorted(some.items()), rng.randint(1, 4))))
        self.assertEqual(answer.status, 200, answer.body)
        return len(answer.json["changed"])

    def test_changes_at_random_lose_no_job_and_abort_no_fetch(self):
        rng = random.Random(self.SEED)
        ids = [str(i) for i in range(self.JOBS)]
        self.file(rng)
        daemon = self.daemon()
        changes = 0
        for at in range(0, self.JOBS, 1000):
            self.append("urls", self.jobs("/delay/0-0.005", ids[at:at + 1000]))
            while daemon.status()["ledger"]["done"] < min(at + 500, self.JOBS):
                changes += self.change(daemon, rng)
        while daemon.status()["ledger"]["done"] < self.JOBS:
            changes += self.change(daemon, rng)
        self.assertGreater(changes, 20)
        # Each was asked for once: none was aborted, and none has come twice.
        self.assertEqual(self.origin.requests("delay"), self.JOBS)
        ended = daemon.stop()
        records = daemon.records()
        self.check_end(ended, records, ids)
        self.assertEqual({(r["attempts"], r["outcome"]) for r in records}, {(1, "done")})
        audit = harness.run("audit", "-c", "penstock.conf", cwd=self.dir)
        self.assertEqual(audit.code, harness.OK, audit.out + audit.err)


if __name__ == "__main__":
    harness.main()
