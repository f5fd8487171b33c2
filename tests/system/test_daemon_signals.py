#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd's signals: HUP reloads, TERM stops and a second one stops now, USR2 tells."""
import os
import signal
import time

import daemon_harness
import harness


class Reload(daemon_harness.Case):
    def reload(self, daemon, *lines, **options):
        """Writes new settings, sends HUP, and waits until they are in force or refused."""
        said = daemon.err.text.count("penstockd: reload: ")
        refused = daemon.err.text.count("penstockd: error: reload: ")
        self.configure(*lines, daemon_harness.UNLIMITED, sources=(self.follow(),), **options)
        daemon.signal(signal.SIGHUP)
        harness.eventually(
            lambda: daemon.err.text.count("penstockd: reload: ") > said or
            daemon.err.text.count("penstockd: error: reload: ") > refused, "the reload")

    def start_with(self, *lines, **options):
        self.configure(*lines, daemon_harness.UNLIMITED, sources=(self.follow(),), **options)
        return self.daemon()

    def test_workers_can_become_more_and_fewer(self):
        daemon = self.start_with(workers=2)
        ids = [str(i) for i in range(60)]
        self.append("urls", self.jobs("/stall", ids))
        self.await_in_flight(2)
        self.reload(daemon, workers=12)
        daemon.await_message("workers: 12, was 2")
        self.await_in_flight(12)

        # Fewer: those that fetch are left to finish.
        self.reload(daemon, workers=3)
        daemon.await_message("workers: 3, was 12")
        self.assertEqual(daemon.status()["workers"], {"wanted": 3, "alive": 12})
        self.assertEqual(self.in_flight(), 12)
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        self.check_end(daemon.stop(), daemon.records(), ids)

    def test_fewer_workers_run_fewer_fetches(self):
        daemon = self.start_with("queue: { capacity = 50; };", workers=8)
        gate = self.server(harness.Gate)
        self.append("urls", "".join(gate.url(f"/{i}\n") for i in range(16)))
        gate.await_waiting(8)
        self.reload(daemon, "queue: { capacity = 50; };", workers=2)
        gate.open()
        daemon.await_status(lambda s: s["workers"] == {"wanted": 2, "alive": 2} and
                            s["ledger"]["done"] == 16, "6 have left, the others go on")
        self.append("urls", self.jobs("/stall", [f"s{i}" for i in range(9)]))
        daemon.await_status(lambda s: s["ledger"]["running"] == 2, "two workers run")
        self.await_in_flight(2)

    def test_the_queue_can_grow_and_shrink(self):
        sizes = ["queue: { capacity = %d; };" % n for n in (5, 30, 4)]
        backlog = "backlog: { max_jobs = 1000; };"
        daemon = self.start_with(sizes[0], backlog, workers=1)
        ids = [str(i) for i in range(100)]
        self.append("urls", self.jobs("/stall", ids))
        self.await_in_flight(1)
        daemon.await_status(lambda s: s["queue"]["jobs"] == 5, "a queue of 5 is full")
        self.reload(daemon, sizes[1], backlog, workers=1)
        daemon.await_message("queue.capacity: 30, was 5")
        daemon.await_status(lambda s: s["queue"]["jobs"] == 30, "a queue of 30 is full")

        # A smaller one keeps what it has, and takes nothing more.
        self.reload(daemon, sizes[2], backlog, workers=1)
        daemon.await_message("queue.capacity: 4, was 30")
        queue = daemon.status()["queue"]
        self.assertEqual((queue["jobs"], queue["pushed"], queue["popped"]), (30, 31, 1))
        self.reload(daemon, sizes[2], backlog, workers=21)
        self.await_in_flight(21)
        queue = daemon.status()["queue"]
        self.assertEqual((queue["jobs"], queue["pushed"], queue["popped"]), (10, 31, 21))
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        self.check_end(daemon.stop(), daemon.records(), ids)

    def test_retries_and_timeouts_change_for_what_comes(self):
        before = ('retry: { base = "1h"; max = "1h"; };', 'fetch: { timeout = "1h"; };')
        after = ("retry: { max_attempts = 1; };", 'fetch: { timeout = "250ms"; };')
        daemon = self.start_with(*before)
        self.append("urls", self.jobs("/status/503", ["waits"]) + self.jobs("/stall", ["runs"]))
        daemon.await_status(lambda s: s["ledger"]["delayed"] == 1 and s["ledger"]["running"] == 1,
                            "one waits for its retry, one runs")
        self.reload(daemon, *after)
        for message in ("retry.max_attempts: 1, was 5", 'retry.base: "1s", was "1h"',
                        'fetch.timeout: "250ms", was "1h"'):
            daemon.await_message(message)
        self.append("urls", self.jobs("/status/503", ["bad"]) + self.jobs("/stall", ["late"]))
        records = {r["id"]: r for r in daemon.await_records(2)}
        self.assertEqual((records["bad"]["outcome"], records["bad"]["attempts"]), ("dead", 1))
        self.assertIn("timeout", records["late"]["reason"])
        self.assertGreaterEqual(records["late"]["time_total"], 0.25)
        self.await_in_flight(1)  # what ran before is not touched, and "late" has hung up
        self.assertEqual(daemon.status()["ledger"]["delayed"], 1)

    def test_what_is_a_success_changes(self):
        daemon = self.start_with()
        self.append("urls", self.jobs("/status/404", ["before"]))
        self.assertEqual(daemon.await_records(1)[0]["outcome"], "dead")
        self.reload(daemon, 'fetch: { success = ( "200-399", "404" ); };')
        daemon.await_message('fetch.success: ( "200-399", "404" ), was ( "200-399" )')
        self.append("urls", self.jobs("/status/404", ["after"]))
        self.assertEqual(daemon.await_records(2)[1]["outcome"], "done")

    def test_a_key_that_needs_a_restart_is_named_and_stays(self):
        daemon = self.start_with()
        self.reload(daemon, 'results: { path = "other.jsonl"; };',
                    'control: { socket = "other.sock"; mode = "0600"; };',
                    'fetch: { connect_timeout = "7s"; };')
        for message in ('warning: results.path: "" stays in force, "other.jsonl" needs a restart',
                        'warning: control.socket: "control.sock" stays in force, "other.sock" ',
                        'warning: control.mode: "0660" stays in force, "0600" needs a restart',
                        'warning: fetch.connect_timeout: "5s" stays in force, "7s" needs'):
            daemon.await_message(message)
        self.append("urls", self.jobs("/ok", ["a"]))
        self.assertEqual(daemon.await_records(1)[0]["id"], "a")
        self.assertFalse(os.path.exists(self.path("other.jsonl")))
        self.assertFalse(os.path.exists(self.path("other.sock")))
        # They are named each time, for they differ as long as there is no restart.
        self.reload(daemon, 'results: { path = "other.jsonl"; };')
        self.assertEqual(daemon.stop().err.count('"other.jsonl" needs a restart'), 2)

    def test_other_sources_need_a_restart(self):
        self.write("more", self.jobs("/ok", ["more"]))
        daemon = self.start_with()
        self.configure(sources=(self.follow(), self.follow("more")))
        daemon.signal(signal.SIGHUP)
        daemon.await_message("warning: sources: has changed, and needs a restart")
        self.append("urls", self.jobs("/ok", ["a"]))
        self.assertEqual([r["id"] for r in daemon.await_records(1)], ["a"])
        daemon.stop()

    def test_nothing_that_differs_is_said_too(self):
        daemon = self.start_with()
        self.reload(daemon)
        daemon.await_message("reload: 0 settings differ")
        self.assertNotIn(", was ", daemon.err.text)
        daemon.stop()

    def test_a_bad_file_changes_nothing(self):
        good = "queue: { capacity = 40; };"
        daemon = self.start_with(good, workers=3)
        self.append("urls", self.urls(*["/stall"] * 3))
        self.await_in_flight(3)
        before = daemon.status()
        for lines, message in (
                (("queue: { capacity = 50; };", "retry: { max_attempts = 0; };"),
                 "error: penstock.conf:3: retry.max_attempts: "),
                (("queue: { capacity = 50; };", "bogus = 1;"),
                 "error: penstock.conf:3: bogus: unknown key"),
                (("queue: { capacity = 50;",), "error: penstock.conf:"),
                (('control: { mode = "no"; };',), "error: penstock.conf:2: control.mode: ")):
            self.reload(daemon, *lines, workers=9)
            daemon.await_message(message)
        os.unlink(self.path("penstock.conf"))
        daemon.signal(signal.SIGHUP)
        daemon.await_message("error: penstock.conf: ")
        harness.eventually(lambda: daemon.err.text.count("reload: nothing has changed") == 5,
                           "five refusals")
        after = daemon.status()
        self.assertEqual(after["workers"], before["workers"])
        self.assertEqual(after["queue"]["capacity_jobs"], 40)
        self.assertEqual(self.in_flight(), 3)
        self.assertNotIn(", was ", daemon.err.text)

        self.reload(daemon, good, workers=5)  # and it can still be mended
        daemon.await_message("workers: 5, was 3")

    def test_the_command_line_stays_above_the_file(self):
        self.configure(daemon_harness.UNLIMITED, sources=(self.follow(),))
        daemon = self.daemon("--set", "workers=2")
        self.reload(daemon, workers=7)
        daemon.await_message("reload: 0 settings differ")
        self.assertEqual(daemon.status()["workers"], {"wanted": 2, "alive": 2})
        daemon.stop()

    def test_reloads_under_load_lose_nothing(self):
        ids = [str(i) for i in range(1500)]
        daemon = self.start_with("queue: { capacity = 20; };", workers=4)
        self.append("urls", self.jobs("/delay/0-0.005", ids))
        for workers, capacity in (16, 100), (1, 1), (8, 3), (2, 500), (12, 20):
            self.reload(daemon, f"queue: {{ capacity = {capacity}; }};", workers=workers)
        self.assertEqual(len(daemon.await_records(1500)), 1500)
        daemon.await_status(lambda s: s["workers"] == {"wanted": 12, "alive": 12}, "12 workers")
        ended = daemon.stop()
        self.check_end(ended, daemon.records(), ids)
        self.assertEqual({r["outcome"] for r in daemon.records()}, {"done"})


class Stop(daemon_harness.Case):
    def start_busy(self, target, *lines, n=200, workers=4):
        """A daemon whose workers all fetch, with n jobs."""
        self.ids = [f"job{i}" for i in range(n)]
        self.write("urls", self.jobs(target, self.ids))
        self.configure("queue: { capacity = 10; };", *lines, sources=(self.follow(),),
                       workers=workers)
        daemon = self.daemon()
        daemon.await_status(lambda s: s["ledger"]["accepted"] == min(n, 100), "all is read")
        self.await_in_flight(workers)
        return daemon

    def accepted(self, daemon):
        """The ids that were accepted: those of the file's first lines, in order."""
        ledger = daemon_harness.last_ledger(daemon.err.text)
        return self.ids[:ledger["accepted"]]

    def check_clean_stop(self, number):
        before = self.origin.requests("delay")
        daemon = self.start_busy("/delay/0.8", n=80)
        ended = daemon.stop(number)
        records = daemon.records()
        self.check_end(ended, records, self.ids)
        done = [r for r in records if r["outcome"] == "done"]
        left = [r for r in records if r["outcome"] == "cancelled"]
        self.assertEqual(len(done) + len(left), 80)
        # Every request that was made was finished, and recorded as done.
        self.assertEqual(len(done), self.origin.requests("delay") - before)
        self.assertGreaterEqual(len(done), 4)
        self.assertEqual({r["reason"] for r in left}, {"shutdown"})
        self.assertEqual({r["started_at"] for r in left}, {None})
        self.assertIn("penstockd: stopping\n", ended.err)

    def test_term_finishes_what_runs_and_cancels_the_rest(self):
        self.check_clean_stop(signal.SIGTERM)

    def test_int_does_the_same(self):
        self.check_clean_stop(signal.SIGINT)

    def test_what_does_not_finish_in_time_is_cancelled(self):
        daemon = self.start_busy("/stall", 'stop_timeout = "300ms";', n=50)
        start = time.monotonic()
        ended = daemon.stop()
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        records = daemon.records()
        self.check_end(ended, records, self.ids)
        self.assertEqual({(r["outcome"], r["reason"]) for r in records},
                         {("cancelled", "shutdown")})
        self.await_in_flight(0)

    def test_a_second_term_stops_now(self):
        for second in signal.SIGTERM, signal.SIGINT:
            daemon = self.start_busy("/stall", 'stop_timeout = "1h";', n=50)
            daemon.signal(signal.SIGTERM)
            daemon.await_message("stopping")
            self.assertEqual(daemon.status()["state"], "stopping")
            self.assertEqual(daemon.get("/readyz").status, 503)
            self.assertEqual(self.in_flight(), 4)
            ended = daemon.stop(second)
            self.check_end(ended, daemon.records(), self.ids)
            self.await_in_flight(0)
            os.unlink(self.path("results.jsonl"))

    def test_a_stop_while_the_backlog_is_full_accounts_for_all_that_was_accepted(self):
        daemon = self.start_busy("/stall", 'stop_timeout = "0";', n=5000)  # of which 100 fit
        ended = daemon.stop()
        accepted = self.accepted(daemon)
        self.assertGreaterEqual(len(accepted), 100)
        self.assertLess(len(accepted), 5000)
        self.check_end(ended, daemon.records(), accepted)

    def test_a_stop_in_full_flow_accounts_for_all_that_was_accepted(self):
        for delay in 0.02, 0.1, 0.25:
            self.ids = [f"job{i}" for i in range(20000)]
            self.write("urls", self.jobs("/ok", self.ids))
            self.configure("queue: { capacity = 50; };", sources=(self.follow(),), workers=8)
            daemon = self.daemon()
            daemon.await_records(1)
            time.sleep(delay)  # somewhere in the middle
            ended = daemon.stop()
            self.check_end(ended, daemon.records(), self.accepted(daemon))
            os.unlink(self.path("results.jsonl"))

    def test_what_waits_for_a_retry_is_cancelled(self):
        self.write("urls", self.jobs("/status/503?retry_after=600", ["later"]))
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()
        daemon.await_status(lambda s: s["ledger"]["delayed"] == 1, "it waits")
        ended = daemon.stop()
        record, = daemon.records()
        self.check_end(ended, [record], ["later"])
        self.assertEqual((record["outcome"], record["reason"], record["attempts"]),
                         ("cancelled", "shutdown", 1))

    def test_a_reload_while_it_stops_changes_nothing(self):
        daemon = self.start_busy("/stall", 'stop_timeout = "1h";', n=20)
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        self.write("penstock.conf", "bogus = 1;")
        daemon.signal(signal.SIGHUP)
        ended = daemon.stop()
        self.assertNotIn("bogus", ended.err)
        self.check_end(ended, daemon.records(), self.ids)

    def test_a_signal_at_any_moment_of_the_start_ends_it(self):
        # By default before it is caught, cleanly after.
        self.configure(sources=(self.follow(),))
        for i in range(20):
            daemon = self.launch()
            time.sleep(i * 0.001)
            daemon.signal(signal.SIGTERM)
            ended = daemon.wait()
            self.assertIn(ended.code, (-signal.SIGTERM, harness.OK), ended.err)
            self.assertFalse(os.path.exists(daemon.socket))


class State(daemon_harness.Case):
    def test_usr2_logs_the_state(self):
        self.write("urls", self.jobs("/stall", map(str, range(30))))
        self.configure("queue: { capacity = 5; };", sources=(self.follow(),), workers=2)
        daemon = self.daemon()
        daemon.await_status(lambda s: s["ledger"]["accepted"] == 30 and
                            s["queue"]["jobs"] == s["ledger"]["queued"] == 5 and
                            s["ledger"]["running"] == 2,
                            "all is read, the workers are busy, the queue is full")
        daemon.signal(signal.SIGUSR2)
        daemon.await_message("accepted 30 = ")
        self.assertEqual(daemon_harness.last_ledger(daemon.err.text),
                         {"depth": 5, "capacity": 5, "accepted": 30, "waiting": 23, "queued": 5,
                          "running": 2, "done": 0, "dead": 0, "cancelled": 0})
        self.await_in_flight(2)  # and stops nothing


if __name__ == "__main__":
    harness.main()
