#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd: where its jobs come from, what it leaves, and what it refuses to start with."""
import os
import resource
import signal
import stat
import time

import daemon_harness
import harness
from harness import CANNOT_CREATE, CONFIG, IO_ERROR, NO_INPUT, NO_PERMISSION, OK, USAGE


class Sources(daemon_harness.Case):
    def test_a_file_becomes_results(self):
        ids = [f"job-{i}" for i in range(300)]
        self.write("urls", self.jobs("/ok", ids))
        self.configure(sources=('{ type = "file"; path = "urls"; }',), workers=8)
        daemon = self.daemon()
        records = daemon.await_records(300)
        self.assertEqual({(r["outcome"], r["response_code"]) for r in records}, {("done", 200)})
        self.assertEqual({r["source"] for r in records}, {"urls"})

        # The source has ended, and the daemon has not.
        daemon.await_status(lambda s: s["ledger"]["done"] == 300 and
                            [source["ended"] for source in s["sources"]] == [True],
                            "all are booked, and the source has ended")
        self.assertEqual(daemon.get("/readyz").status, 200)
        self.check_end(daemon.stop(), daemon.records(), ids)

    def test_every_outcome_is_recorded(self):
        self.write("urls", self.urls("/ok", "/status/404", "/status/503") + "not a URL\n")
        self.configure("retry: { max_attempts = 1; };", sources=(self.follow(),))
        daemon = self.daemon()
        records = daemon.await_records(3)
        self.assertEqual(sorted((r["outcome"], r["response_code"]) for r in records),
                         [("dead", 404), ("dead", 503), ("done", 200)])
        daemon.await_message("job p-2 is dead: http 404")
        daemon.await_message("urls:4: skipped: ")
        ended = daemon.stop()
        self.check_ledger(ended.err, records)

    def test_a_followed_file_is_read_on(self):
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()  # the file comes later
        ids = []
        for n in range(5):
            ids.append(f"n{n}")
            self.append("urls", self.jobs("/ok", ids[-1:]))
            self.assertEqual([r["id"] for r in daemon.await_records(n + 1)], ids)
        os.rename(self.path("urls"), self.path("urls.1"))
        self.write("urls", self.jobs("/ok", ["rotated"]))
        daemon.await_records(6)
        self.check_end(daemon.stop(), daemon.records(), ids + ["rotated"])

    def test_a_fifo_is_read_as_it_is_written(self):
        os.mkfifo(self.path("fifo"))
        self.configure(sources=('{ type = "file"; path = "fifo"; follow = true; }',))
        daemon = self.daemon()  # which does not wait for a writer
        for n in range(3):  # writers come and go
            with open(self.path("fifo"), "w", encoding="utf-8") as fifo:
                fifo.write(self.jobs("/ok", [f"w{n}"]))
            self.assertEqual(len(daemon.await_records(n + 1)), n + 1)
        self.check_end(daemon.stop(), daemon.records(), ["w0", "w1", "w2"])

    def test_a_schedule_comes_round_after_round(self):
        url = self.origin.url("/seen/round")
        self.configure(
            sources=(f'{{ type = "schedule"; every = "100ms"; urls = ( "{url}" ); }}',))
        start = time.monotonic()
        daemon = self.daemon()
        records = daemon.await_records(5)
        self.assertGreaterEqual(time.monotonic() - start, 0.4)  # the first comes at once
        self.assertEqual({r["source"] for r in records}, {"schedule"})
        ended = daemon.stop()
        records = daemon.records()
        self.check_numbering(records)
        self.check_ledger(ended.err, records)
        self.assertEqual(len(self.origin.arrivals("/seen/round")),
                         sum(r["outcome"] == "done" for r in records))

    def test_sources_are_read_at_the_same_time(self):
        self.write("a", self.jobs("/ok", ["a1", "a2"]))
        os.mkfifo(self.path("fifo"))
        self.configure(sources=('{ type = "file"; path = "fifo"; follow = true; }',
                                '{ type = "file"; path = "a"; }', self.follow()))
        daemon = self.daemon()
        daemon.await_records(2)  # although nobody writes to the FIFO
        self.append("urls", self.jobs("/ok", ["b1"]))
        daemon.await_records(3)
        self.check_end(daemon.stop(), daemon.records(), ["a1", "a2", "b1"])

    def test_a_daemon_with_nothing_to_do_rests(self):
        self.write("urls", self.urls(*["/ok"] * 20))
        self.configure(sources=('{ type = "file"; path = "urls"; }',), workers=16)
        daemon = self.daemon()
        daemon.await_status(lambda s: s["ledger"]["done"] == 20, "all are done")
        before = daemon.cpu_seconds()
        time.sleep(0.5)  # what it needs in this time is what is measured
        self.assertLess(daemon.cpu_seconds() - before, 0.1)
        daemon.stop()


class Refusals(daemon_harness.Case):
    def refuse(self, code, *args, **options):
        """Runs a daemon that must end by itself with this code; returns what it said."""
        daemon = self.launch(*args, **options)
        ended = daemon.wait()
        self.assertEqual(ended.code, code, ended.err)
        return ended.err

    def test_wrong_usage_is_64(self):
        self.configure()
        self.assertIn("unrecognized option '--bogus'", self.refuse(USAGE, "--bogus"))
        self.assertIn("urls: penstockd takes no arguments", self.refuse(USAGE, "urls"))

    def test_a_source_that_is_not_there_is_66(self):
        self.configure(sources=('{ type = "file"; path = "none"; }',
                                '{ type = "file"; path = "nor-this"; }'))
        err = self.refuse(NO_INPUT)
        self.assertIn("none: cannot be read: No such file or directory", err)
        self.assertIn("nor-this: cannot be read: No such file or directory", err)
        self.assertFalse(os.path.exists(self.path("control.sock")))

    def test_a_source_that_may_not_be_read_is_66(self):
        os.chmod(self.write("secret", ""), 0o000)
        self.configure(sources=('{ type = "file"; path = "secret"; }',))
        err = self.refuse(NO_INPUT, preexec_fn=harness.obey_file_modes)
        self.assertIn("secret: cannot be read: Permission denied", err)

    def test_what_cannot_be_created_is_73(self):
        self.configure('results: { path = "no/such/directory"; };')
        self.assertIn("no/such/directory: No such file", self.refuse(CANNOT_CREATE))
        self.configure('control: { socket = "no/such/socket"; };')
        self.assertIn("no/such/socket: No such file", self.refuse(CANNOT_CREATE))
        self.configure(f'control: {{ socket = "{"s" * 200}"; }};')
        self.assertIn("File name too long", self.refuse(CANNOT_CREATE))

    def test_a_file_in_the_place_of_the_socket_is_left_alone(self):
        self.configure()
        self.write("control.sock", "precious")
        self.assertIn("control.sock: ", self.refuse(CANNOT_CREATE))
        self.assertEqual(self.read("control.sock"), "precious")

    def test_a_second_daemon_is_refused(self):
        self.configure(sources=(self.follow(),))
        first = self.daemon()
        self.assertIn("results.jsonl: another process appends to it", self.refuse(CANNOT_CREATE))
        self.assertIn("control.sock: another penstockd serves this socket",
                      self.refuse(CANNOT_CREATE, "--set", "results.path=other.jsonl"))
        # The first has not noticed.
        self.append("urls", self.jobs("/ok", ["after"]))
        first.await_records(1)
        self.check_end(first.stop(), first.records(), ["after"])

    def test_the_socket_of_one_that_was_killed_is_replaced(self):
        self.configure(sources=(self.follow(),))
        first = self.daemon()
        first.kill()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path("control.sock")).st_mode))
        second = self.daemon()
        self.assertEqual(second.status()["pid"], second.pid)
        second.stop()
        self.assertFalse(os.path.exists(self.path("control.sock")))

    def test_what_may_not_be_used_is_77(self):
        os.mkdir(self.path("closed"), 0o500)
        self.configure('results: { path = "closed/results.jsonl"; };')
        err = self.refuse(NO_PERMISSION, preexec_fn=harness.obey_file_modes)
        self.assertIn("closed/results.jsonl: Permission denied", err)
        self.configure('control: { socket = "closed/control.sock"; };')
        err = self.refuse(NO_PERMISSION, preexec_fn=harness.obey_file_modes)
        self.assertIn("closed/control.sock: Permission denied", err)

    def test_an_error_in_the_settings_is_78(self):
        for line, message in (
                ("workrs = 4;", "penstock.conf:2: workrs: unknown key; did you mean workers?"),
                ("queue: { capacity = 0; };", "penstock.conf:2: queue.capacity: "),
                ("queue: {", "penstock.conf:"),
                ('control: { mode = "rw"; };', "penstock.conf:2: control.mode: must be octal"),
                ('retry: { base = "2h"; max = "1h"; };', "penstock.conf:2: retry.base: ")):
            self.configure(line)
            self.assertIn(message, self.refuse(CONFIG))
        self.configure()
        self.assertIn("--set workers=many: ", self.refuse(CONFIG, "--set", "workers=many"))
        os.unlink(self.path("penstock.conf"))
        self.assertIn("penstock.conf: ", self.refuse(CONFIG))
        self.assertEqual(os.listdir(self.dir), [])

    def test_too_few_descriptors_are_78(self):
        self.configure(workers=1000)
        err = self.refuse(CONFIG, preexec_fn=harness.limit(resource.RLIMIT_NOFILE, 256))
        self.assertRegex(err, r"need up to \d+ descriptors, the limit is 256")

    def test_a_check_prints_the_settings_and_touches_nothing(self):
        self.configure("retry: { max_attempts = 3; };", sources=(self.follow(),))
        daemon = self.launch("--check", "--set", "queue.capacity=7")
        ended = daemon.wait()
        self.assertEqual((ended.code, ended.err), (OK, ""))
        self.assertRegex(ended.out, r"max_attempts = 3; +# penstock.conf:2")
        self.assertRegex(ended.out, r"capacity = 7; +# --set")
        self.assertRegex(ended.out, r"# descriptors: at most \d+")
        self.assertEqual(os.listdir(self.dir), ["penstock.conf"])

    def test_help_and_version_need_no_settings(self):
        for option, text in ("--help", "Usage: penstockd"), ("--version", "penstockd "):
            ended = self.launch(option).wait()
            self.assertEqual((ended.code, ended.err), (OK, ""))
            self.assertTrue(ended.out.startswith(text), ended.out)


class Surroundings(daemon_harness.Case):
    def test_without_settings_it_says_how_to_name_some(self):
        env = daemon_harness.environment(CONFIGURATION_DIRECTORY=self.dir)
        ended = harness.Child([harness.PENSTOCKD], cwd=self.dir, env=env).wait()
        self.assertEqual(ended.code, CONFIG)
        self.assertIn(self.path("penstock.conf") + ": there are no settings; name a file of them: "
                      "-c FILE", ended.err)

    def test_its_directories_are_those_that_the_environment_names(self):
        for name in "state", "run", "conf":
            os.mkdir(self.path(name))
        self.configure(sources=(self.follow(),))
        os.rename(self.path("penstock.conf"), self.path("conf/penstock.conf"))
        env = daemon_harness.environment(STATE_DIRECTORY=self.path("state"),
                                         RUNTIME_DIRECTORY=self.path("run"),
                                         CONFIGURATION_DIRECTORY=self.path("conf"))
        child = harness.Child([harness.PENSTOCKD], cwd=self.dir, env=env)
        self.addCleanup(child.kill)
        child.await_message("ready: workers 4")
        status = daemon_harness.get(self.path("run/control.sock"), "/v1/status").json
        self.assertEqual(status["results"]["path"], self.path("state/results.jsonl"))
        self.assertTrue(os.path.exists(self.path("state/results.jsonl")))
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait().code, OK)

    def test_the_socket_has_the_mode_that_is_set(self):
        for mode in 0o600, 0o660, 0o666:
            self.configure(f'control: {{ mode = "{mode:04o}"; }};')
            daemon = self.daemon(preexec_fn=lambda: os.umask(0o027))
            self.assertEqual(stat.S_IMODE(os.stat(daemon.socket).st_mode), mode)
            daemon.stop()

    def test_nobody_need_read_its_messages(self):
        read_end, write_end = os.pipe()
        self.configure(sources=(self.follow(),))
        daemon = self.launch(stderr=write_end)
        os.close(write_end)
        daemon.await_ready()
        os.close(read_end)
        self.append("urls", self.jobs("/status/404", [f"d{i}" for i in range(20)]))
        daemon.await_records(20)  # each with a message that nobody reads
        daemon.signal(signal.SIGUSR2)
        daemon.stop()
        self.check_records(daemon.records(), [f"d{i}" for i in range(20)])

    def test_results_whose_reader_leaves_end_it_with_74(self):
        os.mkfifo(self.path("results.fifo"))
        self.configure('results: { path = "results.fifo"; };', sources=(self.follow(),))
        daemon = self.launch()  # which waits for a reader
        with open(self.path("results.fifo"), encoding="utf-8") as reader:
            daemon.await_ready()
            self.append("urls", self.jobs("/ok", ["read"]))
            self.assertIn('"id":"read"', reader.readline())
        self.append("urls", self.jobs("/ok", ["unread"]))
        ended = daemon.wait()
        self.assertEqual(ended.code, IO_ERROR, ended.err)
        self.assertIn("results cannot be written: Broken pipe", ended.err)
        ledger = daemon_harness.last_ledger(ended.err)
        self.assertEqual((ledger["accepted"], ledger["done"], ledger["waiting"]), (2, 1, 1))


if __name__ == "__main__":
    harness.main()
