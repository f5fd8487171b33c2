#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock submit` and `penstock requeue`: against a stub that breaks on demand, and against
penstockd."""
import grp
import json
import os
import re
import signal
import threading
import unittest

import daemon_harness
import harness
from harness import IO_ERROR, NO_INPUT, OK, SANITIZED, SOME_FAILED, UNAVAILABLE, UNFINISHED, USAGE
from stub_daemon import Fault, Store, StubDaemon


def urls(n, first=1):
    return "".join(f"http://h/{i}\n" for i in range(first, first + n))


class Stub(harness.Case):
    @classmethod
    def setUpClass(cls):
        pass  # nothing is fetched

    def stub(self, *faults, store=None):
        stub = StubDaemon(self.path("sock"), store, faults)
        self.addCleanup(stub.stop)
        return stub

    def submit(self, *args, code=OK, command="submit", **options):
        ended = harness.run(command, "--socket", self.path("sock"), *args,
                            env=daemon_harness.environment(), **options)
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def begin(self, *args, command="submit", text=None, **options):
        """Starts it; with a text, that is its input, from a file."""
        if text is not None:
            options["stdin"] = open(self.write("input", text), "rb")
            self.addCleanup(options["stdin"].close)
        return self.start("--socket", self.path("sock"), *args, command=command,
                          env=daemon_harness.environment(), **options)

    def check_ids(self, stub, n):
        """Every line is there once, in its order."""
        self.assertEqual(stub.store.accepted, [f"x-{i}" for i in range(1, n + 1)])


class Lines(Stub):
    def test_a_line_without_an_id_gets_one_from_its_number(self):
        stub = self.stub()
        lines = ["http://h/a", "", "# a comment", '  {"url": "http://h/b", "meta": 1.50}  ',
                 '{"id": "own", "url":"http://h/c"}', "http://h/ä\"\\", "\t"]
        ended = self.submit("--id-prefix", "x", "--ids", stdin="\n".join(lines))
        self.assertEqual(stub.store.bodies, [
            '{"id":"x-1","url":"http://h/a"}\n'
            '{"id":"x-4","url": "http://h/b", "meta": 1.50}\n'
            '{"id": "own", "url":"http://h/c"}\n'
            '{"id":"x-6","url":"http://h/ä\\"\\\\"}\n'.encode()])
        self.assertEqual(ended.out, "x-1\nx-4\nown\nx-6\n")
        self.assertRegex(ended.err, r"^penstock: 4 accepted, 0 known, 0 refused; in .*s\n$")

    def test_each_run_has_ids_of_its_own(self):
        stub = self.stub()
        for _ in range(2):
            self.submit(stdin=urls(2))
        found = [re.fullmatch(r"s-([0-9a-f]{16})-([12])", i) for i in stub.store.accepted]
        self.assertEqual([m[2] for m in found], ["1", "2", "1", "2"])
        self.assertEqual(len({m[1] for m in found}), 2)

    def test_lines_are_numbered_through_all_files(self):
        stub = self.stub()
        self.write("a", "http://h/1\nbad:\n")
        self.write("b", "http://h/3\nbad:")
        ended = self.submit("--id-prefix", "x", self.path("a"), "-", self.path("b"),
                            stdin="http://h/i\nbad:\n", code=SOME_FAILED)
        self.assertEqual(stub.store.accepted, ["x-1", "x-3", "x-5"])
        for name, number in (self.path("a"), 2), ("standard input", 2), (self.path("b"), 2):
            self.assertIn(f"{name}:{number}: neither http nor https: bad:\n", ended.err)
        self.assertIn("3 accepted, 0 known, 3 refused", ended.err)

    def test_refused_lines_are_named_up_to_a_number(self):
        self.stub()
        ended = self.submit(stdin="ftp://h/\n" * 1025, code=SOME_FAILED)
        self.assertEqual(ended.err.count("standard input:"), 20)
        self.assertIn("standard input:20: neither", ended.err)
        self.assertIn("1005 more lines were refused", ended.err)

    def test_what_cannot_be_sent_is_refused_here(self):
        stub = self.stub()
        self.write("long", "http://h/" + "x" * 1024 * 1024 + "\nhttp://h/2\n")
        with open(self.path("bytes"), "wb") as file:
            file.write(b"http://h/\xff\n{ not json\nhttp://h/3\n")
        ended = self.submit("--id-prefix", "x", self.path("long"), self.path("bytes"),
                            code=SOME_FAILED)
        self.assertEqual(stub.store.accepted, ["x-2", "x-5"])
        self.assertIn("long:1: longer than 1 MiB", ended.err)
        self.assertIn("bytes:1: the URL is not UTF-8", ended.err)
        self.assertIn("bytes:2: Expecting property name", ended.err)

    def test_known_jobs_are_no_failure(self):
        stub = self.stub()
        for status in "2 accepted, 0 known", "0 accepted, 2 known":
            ended = self.submit("--id-prefix", "x", "--ids", stdin=urls(2))
            self.assertIn(status, ended.err)
            self.assertEqual(ended.out, "x-1\nx-2\n")
        self.check_ids(stub, 2)

    def test_nothing_in_the_input_is_nothing_to_do(self):
        stub = self.stub()
        self.assertEqual(self.submit(stdin="\n# nothing\n").err, "")
        self.assertEqual(stub.store.bodies, [])

    def test_a_line_from_a_pipe_is_sent_though_the_pipe_stays_open(self):
        stub = self.stub()
        read_end, write_end = os.pipe()
        submit = self.begin("--id-prefix", "x", stdin=read_end)
        os.close(read_end)
        for i in 1, 2, 3:
            os.write(write_end, b"http://h/\n")
            harness.eventually(lambda i=i: len(stub.store.accepted) == i, f"line {i} is accepted")
        os.close(write_end)
        self.assertEqual(submit.wait().code, OK)
        self.check_ids(stub, 3)

    def test_wrong_usage(self):
        stub = self.stub()
        for args in ["--nonsense"], ["--id-prefix", ""], ["--id-prefix", "p-1"], \
                ["--id-prefix", "a b"], ["--id-prefix", "x" * 201], ["--timeout", "1"]:
            self.submit(*args, code=USAGE, stdin=urls(1))
        self.assertEqual(stub.store.bodies, [])

    def test_a_terminal_is_not_taken_for_a_list_of_jobs(self):
        terminal = self.terminal()
        submit = self.begin(stdin=terminal.slave)
        ended = submit.wait()
        terminal.hang_up()
        self.assertEqual(ended.code, USAGE)
        self.assertIn("no jobs: name a FILE", ended.err)

    def test_nothing_is_sent_if_one_file_cannot_be_read(self):
        stub = self.stub()
        self.write("good", urls(3))
        for bad in self.path("missing"), self.dir:
            ended = self.submit(self.path("good"), bad, code=NO_INPUT)
            self.assertIn(f"{bad}: cannot be read: ", ended.err)
        self.assertEqual(stub.store.bodies, [])

    def test_ids_that_cannot_be_written_end_the_run(self):
        self.stub()
        with open("/dev/full", "w", encoding="ascii") as full:
            submit = self.begin("--ids", "-", text=urls(3),
                                stdout=full)
            ended = submit.wait()
        self.assertEqual(ended.code, IO_ERROR)
        self.assertIn("standard output cannot be written: No space left", ended.err)

    @unittest.skipIf(SANITIZED, "a sanitizer's memory is not the program's")
    def test_memory_is_small_whatever_the_input(self):
        n = 100000  # 51 MiB of lines
        stub = self.stub()
        stub.store.states["x-1"] = ["running"]
        with open(self.path("many"), "w", encoding="ascii") as file:
            for _ in range(n):
                file.write('{"url":"http://h/","meta":"' + "x" * 500 + '"}\n')
        submit = self.begin("--id-prefix", "x", "--wait", self.path("many"))
        harness.eventually(lambda: stub.store.asked, "everything is submitted")
        self.assertEqual(len(stub.store.accepted), n)
        self.assertLess(submit.status_kib("VmHWM"), 32 * 1024)


class Trouble(Stub):
    N = 3000  # several requests

    def broken(self, *faults, n=N, args=()):
        stub = self.stub(*faults)
        ended = self.submit("--id-prefix", "x", "--ids", *args, stdin=urls(n))
        self.check_ids(stub, n)
        self.assertEqual(sorted(ended.out.split()), sorted(f"x-{i}" for i in range(1, n + 1)))
        self.assertIn(f"{n} accepted, 0 known, 0 refused", ended.err)
        return stub, ended

    def test_a_broken_connection_loses_and_doubles_nothing(self):
        # Broken before, within and after the lines, and within and after the receipts.
        stub, ended = self.broken(
            Fault(take=0), Fault(take=1), Fault(take=100), Fault(take=499), Fault(),
            Fault(receipts=0), Fault(receipts=10), Fault(receipts=1000), Fault(receipts=39999))
        self.assertEqual(stub.faults, [])
        self.assertIn("the daemon has gone; trying again", ended.err)
        self.assertIn("the daemon answers again", ended.err)

    def test_a_connection_that_was_kept_and_breaks_is_counted_too(self):
        # Everything is taken, and not a byte of an answer comes.
        self.broken(Fault(), Fault(take=self.N), Fault(), Fault(take=self.N))

    def test_only_lines_without_a_receipt_are_sent_again(self):
        store = Store()
        receipts = "".join(json.dumps({"line": i, "id": f"x-{i}", "status": "accepted"}) + "\n"
                           for i in range(1, 5))
        stub = self.stub(Fault(receipts=len(receipts) - 1), store=store)
        self.submit("--id-prefix", "x", stdin=urls(6))
        self.assertEqual([body.count(b"\n") for body in store.bodies], [6, 3])
        self.check_ids(stub, 6)

    def test_a_full_daemon_is_waited_for(self):
        for code in 429, 503, 507:
            with self.subTest(code=code):
                stub, ended = self.broken(Fault(take=100, code=code), Fault(take=0, code=code),
                                          Fault(status=code), n=1000)
                self.assertIn(f"takes no more now: planned {code}; waiting", ended.err)
                self.assertEqual(stub.faults, [])
                stub.stop()

    def test_retry_after_is_obeyed(self):
        _, ended = self.broken(Fault(status=429, headers=[("Retry-After", "1")]), n=10)
        self.assertGreaterEqual(ended.seconds, 1)

    def test_a_daemon_that_is_started_again_goes_on_where_it_was(self):
        hold = threading.Event()
        store = Store()
        stub = self.stub(Fault(), Fault(hold=hold), store=store)
        submit = self.begin("--id-prefix", "x", text=urls(self.N))
        self.assertTrue(stub.held.wait(harness.PATIENCE))
        stub.stop()
        submit.await_message("the daemon has gone; trying again")
        hold.set()
        self.stub(store=store)
        self.assertEqual(submit.wait().code, OK)
        self.assertEqual(sorted(store.accepted), sorted(f"x-{i}" for i in range(1, self.N + 1)))
        self.assertEqual(submit.err.text.count("the daemon has gone"), 1)

    def test_no_daemon_at_all_is_said_at_once(self):
        ended = self.submit(code=UNAVAILABLE, stdin=urls(1))
        self.assertIn("no daemon answers; start penstockd", ended.err)
        self.assertNotIn("accepted", ended.err)

    def test_a_daemon_that_stays_away_ends_the_run_which_can_be_repeated(self):
        stub = self.stub(Fault(), Fault(take=2))
        faults = [Fault(take=0)] * 1000
        stub.faults += faults
        # From a file: what comes through a pipe may come, and go on, in smaller parts.
        ended = self.submit("--timeout", "300ms", "--id-prefix", "x",
                            self.write("input", urls(self.N)), code=UNAVAILABLE)
        self.assertIn("stopped: 500 lines have a receipt; the first that has none is "
                      f"{self.path('input')}:501", ended.err)
        self.assertIn("with --id-prefix x\n", ended.err)
        self.assertEqual(len(stub.store.accepted), 502)
        stub.faults.clear()
        ended = self.submit("--id-prefix", "x", stdin=urls(self.N))
        self.assertIn(f"{self.N - 502} accepted, 502 known", ended.err)
        self.check_ids(stub, self.N)

    def test_an_answer_without_all_receipts_ends_the_run(self):
        stub = self.stub(Fault(take=3, receipts=10**6))
        ended = self.submit("--id-prefix", "x", stdin=urls(5), code=UNAVAILABLE)
        self.assertIn("the answer is no list of receipts", ended.err)
        self.assertIn("stopped: 3 lines have a receipt; the first that has none is "
                      "standard input:4", ended.err)
        self.assertEqual(len(stub.store.bodies), 1)

    def test_what_is_no_daemon_is_not_asked_again(self):
        for status in 404, 405, 501:
            stub = self.stub(Fault(status=status))
            ended = self.submit(code=UNAVAILABLE, stdin=urls(1))
            self.assertIn(f"planned {status}", ended.err)
            self.assertEqual(len(stub.store.bodies), 1)
            stub.stop()


class Interrupts(Stub):
    def check_stopped(self, submit, number, receipts, first):
        submit.signal(number)
        ended = submit.wait()
        self.assertEqual(ended.code, UNFINISHED)
        self.assertIn(f"stopped: {receipts} lines have a receipt{first}\n", ended.err)
        return ended

    def test_a_signal_stops_it_while_the_daemon_is_full(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            hold = threading.Event()
            stub = self.stub(Fault(), Fault(hold=hold))
            submit = self.begin("--id-prefix", "x",
                                text=urls(1000))
            self.assertTrue(stub.held.wait(harness.PATIENCE))
            self.check_stopped(submit, number, 500,
                               "; the first that has none is standard input:501")
            hold.set()
            stub.stop()

    def test_a_signal_stops_it_while_it_waits_for_input(self):
        self.stub()
        read_end, write_end = os.pipe()
        submit = self.begin("--id-prefix", "x", "--ids", stdin=read_end)
        os.close(read_end)
        os.write(write_end, urls(2).encode())
        harness.eventually(lambda: submit.lines == ["x-1", "x-2"], "two lines have a receipt")
        self.check_stopped(submit, signal.SIGINT, 2, "")
        os.close(write_end)

    def test_a_signal_stops_it_while_it_waits_to_try_again(self):
        self.stub(*[Fault(status=429, headers=[("Retry-After", "30")])] * 3)
        submit = self.begin("--id-prefix", "x", text=urls(1))
        submit.await_message("takes no more now")
        self.check_stopped(submit, signal.SIGINT, 0,
                           "; the first that has none is standard input:1")

    def test_a_signal_stops_waiting_for_jobs(self):
        stub = self.stub()
        stub.store.states["x-2"] = ["running"]
        submit = self.begin("--id-prefix", "x", "--wait",
                            text=urls(3))
        harness.eventually(lambda: "x-2" in stub.store.asked, "it asks for x-2")
        submit.signal()
        ended = submit.wait()
        self.assertEqual(ended.code, UNFINISHED)
        self.check_can_go_on(ended)

    def check_can_go_on(self, ended):
        self.assertIn("stopped: at least 1 of 3 jobs are settled; all are the daemon's", ended.err)
        self.assertIn("to go on waiting, and do nothing twice, give the same lines again with "
                      "--wait --id-prefix x\n", ended.err)

    def test_a_daemon_that_stays_away_stops_waiting_for_jobs(self):
        stub = self.stub()
        stub.store.states["x-2"] = ["break"]
        self.check_can_go_on(self.submit("--id-prefix", "x", "--wait", "--timeout", "300ms",
                                         stdin=urls(3), code=UNAVAILABLE))


class Wait(Stub):
    def test_it_ends_when_all_jobs_are_settled(self):
        stub = self.stub()
        stub.store.states["x-2"] = ["waiting", "delayed", "queued", "running", "done"]
        ended = self.submit("--id-prefix", "x", "--wait", stdin=urls(50))
        self.assertEqual(stub.store.asked,
                         ["x-1"] + ["x-2"] * 5 + [f"x-{i}" for i in range(3, 51)])
        self.assertIn("50 accepted, 0 known, 0 refused; 50 done, 0 dead, 0 cancelled", ended.err)
        self.assertLessEqual(stub.store.connections, 2)
        self.assertGreaterEqual(ended.seconds, 0.02 + 0.03 + 0.045 + 0.06)

    def test_known_jobs_are_waited_for_too(self):
        stub = self.stub()
        line = '{"id": "a/b?c d", "url": "http://h/"}\n'
        for _ in range(2):
            self.submit("--wait", stdin=line)
        self.assertEqual(stub.store.asked, ["a/b?c d"] * 2)

    def test_what_is_not_done_is_named(self):
        for state, message in ("dead", "x-3: dead"), ("cancelled", "x-3: cancelled"), \
                (404, "x-3: settled, and forgotten since"):
            stub = self.stub()
            stub.store.states["x-3"] = [state]
            ended = self.submit("--id-prefix", "x", "--wait", self.write("a", "http://h/1\n"), "-",
                                stdin="#\n" + urls(2), code=SOME_FAILED)
            self.assertIn(f"warning: standard input:2: {message}\n", ended.err)
            self.assertIn("; 2 done, ", ended.err)
            stub.stop()

    def test_a_broken_connection_is_made_again(self):
        stub = self.stub()
        stub.store.states["x-2"] = ["running", "break", "break", 503, "done"]
        ended = self.submit("--id-prefix", "x", "--wait", stdin=urls(3))
        self.assertIn("3 done", ended.err)

    def test_a_daemon_that_cannot_tell_is_an_error(self):
        stub = self.stub()
        stub.store.states["x-1"] = [501]
        ended = self.submit("--id-prefix", "x", "--wait", stdin=urls(3), code=UNAVAILABLE)
        self.assertIn("cannot be waited for: planned 501", ended.err)

    def test_refused_lines_make_the_exit_code(self):
        self.stub()
        self.submit("--wait", stdin="http://h/\nbad:\n", code=SOME_FAILED)


class Screen(Stub):
    def on_terminal(self, *args, n=1000, states=()):
        hold = threading.Event()
        stub = self.stub(Fault(), Fault(hold=hold))
        stub.store.states.update(states)
        terminal = self.terminal()
        submit = self.begin("--id-prefix", "x", *args,
                            text=urls(n), stderr=terminal.slave)
        self.assertTrue(stub.held.wait(harness.PATIENCE))
        return stub, submit, terminal, hold

    def test_the_line_shows_how_far_it_has_come(self):
        stub, submit, terminal, hold = self.on_terminal("--wait", states={"x-7": ["running"]})
        harness.eventually(lambda: "500 accepted  0 known  0 refused" in terminal.screen.text,
                           "a progress line")
        hold.set()
        harness.eventually(lambda: "6/1000 settled  6 done  0 dead" in terminal.screen.text,
                           "a progress line of waiting")
        stub.store.states["x-7"] = ["done"]
        self.assertEqual(submit.wait().code, OK)
        shown = terminal.hang_up().split("\r\x1b[K")
        self.assertRegex(shown[1], r"accepted  0 known  0 refused  \d+/s  \d+%$")
        self.assertRegex(shown[-1], r"^penstock: 1000 accepted, .* 1000 done, .*\r\n$")

    def test_quiet_shows_nothing(self):
        _, submit, terminal, hold = self.on_terminal("--quiet")
        hold.set()
        self.assertEqual(submit.wait().code, OK)
        self.assertEqual(terminal.hang_up(), "")


class Requeue(Stub):
    def requeue(self, *args, **options):
        return self.submit(*args, command="requeue", **options)

    def test_new_ids_are_written_and_reasons_for_the_others(self):
        stub = self.stub()
        stub.store.requeued = {
            "a": (200, {"requeued": 1, "id": "p-10"}), "b": (409, "b is done, not dead"),
            'c"ä': (200, {"requeued": 1, "id": "p-11"}), "--all": (200, {"requeued": 7})}
        ended = self.requeue("a", "b", 'c"ä', "d", code=SOME_FAILED)
        self.assertEqual(ended.out, "a requeued as p-10\nc\"ä requeued as p-11\n")
        self.assertIn("b: b is done, not dead", ended.err)
        self.assertIn("d: there is no such job", ended.err)
        self.assertEqual(self.requeue("a").out, "a requeued as p-10\n")
        self.assertEqual(self.requeue("--all").out, "7 requeued\n")

    def test_a_backlog_that_cannot_is_an_error(self):
        self.stub().store.requeued = {"a": (501, "the backlog is in memory")}
        self.assertIn("a: the backlog is in memory", self.requeue("a", code=UNAVAILABLE).err)

    def test_a_socket_that_may_not_be_used_is_no_missing_daemon(self):
        self.stub()
        os.chmod(self.path("sock"), 0o060)
        os.chown(self.path("sock"), -1, os.getgid())
        group = grp.getgrgid(os.getgid()).gr_name
        for command, args in ("status", []), ("submit", []), ("requeue", ["a"]):
            ended = self.submit(*args, command=command, stdin=urls(1), code=UNAVAILABLE,
                                preexec_fn=harness.obey_file_modes)
            self.assertIn("sock: permission denied: you may not talk to the daemon; join the "
                          f"socket's group, {group}, or ask as root\n", ended.err)
            self.assertNotIn("no daemon answers", ended.err)

    def test_wrong_usage_and_no_daemon(self):
        for args in [], ["--all", "a"], ["--nonsense"]:
            self.requeue(*args, code=USAGE)
        self.requeue("a", code=UNAVAILABLE)


class Daemon(daemon_harness.Case):
    """The same with penstockd."""

    durable = True

    def call(self, command, *args, code=OK, stdin=""):
        ended = harness.run(command, "--socket", self.path("control.sock"), *args, stdin=stdin,
                            env=daemon_harness.environment())
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def test_every_line_is_fetched_once(self):
        self.configure(workers=8)
        daemon = self.daemon()
        text = self.urls(*["/ok"] * 1200) + self.jobs("/ok", ["own"]) + "bad:\n"
        ended = self.call("submit", "--wait", "--ids", stdin=text, code=SOME_FAILED)
        self.assertIn("standard input:1202: ", ended.err)
        self.assertIn("1201 accepted, 0 known, 1 refused; 1201 done", ended.err)
        self.check_records(daemon.await_records(1201), ended.out.split())
        daemon.stop()

    def test_given_again_everything_is_known(self):
        self.configure()
        daemon = self.daemon()
        text = self.urls(*["/ok"] * 600) + self.jobs("/ok", ["own"])
        for counts in "601 accepted, 0 known", "0 accepted, 601 known":
            ended = self.call("submit", "--wait", "--id-prefix", "mine", stdin=text)
            self.assertIn(counts, ended.err)
        self.assertEqual(len(daemon.await_records(601)), 601)
        ended = self.call("submit", "--id-prefix", "mine", stdin=self.urls("/ok", "/other"),
                          code=SOME_FAILED)
        self.assertIn("1 known, 1 refused", ended.err)

    def test_a_full_backlog_is_waited_for(self):
        self.configure("backlog: { max_jobs = 20; };", workers=4)
        daemon = self.daemon()
        ended = self.call("submit", "--wait", "--id-prefix", "x",
                          stdin=self.urls(*["/delay/0.01"] * 300))
        self.assertIn("300 accepted, 0 known, 0 refused; 300 done", ended.err)
        self.check_records(daemon.await_records(300), [f"x-{i}" for i in range(1, 301)])

    def test_dead_jobs_are_requeued(self):
        self.configure("retry: { max_attempts = 1; };")
        daemon = self.daemon()
        dead = [f"dead-{i}" for i in range(4)]
        ended = self.call("submit", "--wait", stdin=self.jobs("/status/404", dead),
                          code=SOME_FAILED)
        origin = self.origin.url("/").rstrip("/")
        self.assertIn(f"warning: standard input:2: {dead[1]}: dead: http 404 ({origin})\n",
                      ended.err)
        self.call("submit", "--wait", stdin=self.jobs("/ok", ["good"]))
        ended = self.call("requeue", dead[0], "good", "nobody", dead[0], code=SOME_FAILED)
        self.assertRegex(ended.out, rf"^{dead[0]} requeued as p-\d+\n$")
        for name, times in (dead[0], 1), ("good", 1), ("nobody", 1):
            self.assertEqual(ended.err.count(f"penstock: error: {name}: "), times, ended.err)
        daemon.await_records(6)  # the new job is dead as well
        self.assertEqual(self.call("requeue", "--all").out, "4 requeued\n")
        records = daemon.await_records(10)
        self.assertEqual(sorted(r["requeued_from"] for r in records if "requeued_from" in r),
                         sorted(dead + [ended.out.split()[3]]))


if __name__ == "__main__":
    harness.main()
