#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The control socket: what it says against counts from outside, clients that are slow, and
`penstock status`."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import daemon_harness
import harness
from harness import OK, UNAVAILABLE

TERMS = "waiting", "delayed", "queued", "running", "done", "dead", "cancelled"


class Figures(daemon_harness.Case):
    def check_balance(self, ledger):
        self.assertEqual(ledger["accepted"], sum(ledger[term] for term in TERMS), ledger)

    def test_the_depth_is_what_it_must_be(self):
        # One worker, which never gets its answer, and a queue of 5: of 100 jobs one runs,
        # 5 stand ready, and the rest wait, as many as the backlog holds.  A batch of the source,
        # which is up to a quarter of that, goes in whole or not at all: 4 of 12 into 50.
        self.write("urls", self.urls(*["/stall"] * 100))
        for max_jobs, accepted in (0, 48), (60, 60), (1000, 100):
            self.configure("queue: { capacity = 5; };", f"backlog: {{ max_jobs = {max_jobs}; }};",
                           sources=(self.follow(),), workers=1)
            daemon = self.daemon()
            self.await_in_flight(1)
            blocked = int(accepted < 100)
            # The place of the job that runs may stand empty until the pusher, who counts as
            # blocked until then, has woken up.
            status = daemon.await_status(lambda s: s["ledger"]["accepted"] == accepted and
                                         s["queue"]["producers_blocked"] == 1 and
                                         s["queue"]["jobs"] == s["ledger"]["queued"] == 5 and
                                         s["backlog"]["submitters_blocked"] == blocked,
                                         "all is full")
            queue, ledger, backlog = (status[k] for k in ("queue", "ledger", "backlog"))
            self.assertEqual((queue["jobs"], queue["capacity_jobs"], queue["high_water_jobs"],
                              queue["pushed"], queue["popped"]), (5, 5, 5, 6, 1))
            self.assertEqual({t: ledger[t] for t in TERMS},
                             {"waiting": accepted - 6, "delayed": 0, "queued": 5, "running": 1,
                              "done": 0, "dead": 0, "cancelled": 0})
            self.assertEqual(backlog["held_jobs"], accepted)
            self.assertEqual(queue["consumers_idle"], 0)
            daemon.kill()
            self.await_in_flight(0)

    def test_the_depth_falls_to_nothing_when_workers_are_faster(self):
        self.configure("queue: { capacity = 5; };", sources=(self.follow(),), workers=8)
        daemon = self.daemon()
        for n in range(1, 21):  # a slow producer
            self.append("urls", self.urls("/ok"))
            status = daemon.await_status(lambda s, n=n: s["ledger"]["done"] == n, f"{n} done")
            self.assertEqual(status["queue"]["jobs"], 0)
        self.assertLessEqual(status["queue"]["high_water_jobs"], 1)
        daemon.stop()

    def test_a_backlog_full_of_retries_is_explained(self):
        self.write("urls", self.urls(*["/status/503?retry_after=600"] * 30))
        self.configure("backlog: { max_jobs = 20; };", sources=(self.follow(),))
        daemon = self.daemon()
        status = daemon.await_status(  # those that were fetched for their retry, the others with them
            lambda s: sum(s["waiting_by_reason"].get(why, 0) for why in ("retry", "retry_after"))
            == 20, "20 wait")
        status = daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 1, "blocked")
        self.assertEqual(status["blocked"], "backlog full of jobs that may not run now")
        self.check_balance(status["ledger"])

    def test_under_load_every_figure_agrees_with_what_is_seen_outside(self):
        before = self.origin.counters()["by_route"]
        nobody = harness.closed_port()
        self.addCleanup(nobody.close)
        closed = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        ids = [str(i) for i in range(3000)]
        lines = []
        for i in ids:
            path = ("/ok", "/bytes/1000", "/status/404", "/delay/0-0.005")[int(i) % 4]
            lines.append(json.dumps({"url": self.origin.url(path), "id": i}))
        lines += [json.dumps({"url": closed, "id": f"closed-{i}"}) for i in range(20)]
        lines += ["not a job"] * 7
        quarters = [lines[n::4] for n in range(4)]
        text = "".join(line + "\n" for quarter in quarters for line in quarter)
        self.configure("queue: { capacity = 40; };",
                       'retry: { max_attempts = 2; base = "1ms"; };',
                       'origins: ( { match = "*"; breaker = 0; } );',
                       sources=(self.follow(),), workers=8)
        daemon = self.daemon()

        last = {}
        while quarters or last['penstock_jobs_settled_total{outcome="done"}'] < 2250 or \
                last['penstock_jobs_settled_total{outcome="dead"}'] < 770:
            if quarters:  # four polls at least see it work
                self.append("urls", "\n".join(quarters.pop()) + "\n")
            status, metrics = daemon.status(), daemon.metrics()
            self.check_balance(status["ledger"])
            self.assertEqual(metrics["penstock_jobs_accepted_total"],
                             sum(v for k, v in metrics.items() if k.startswith("penstock_jobs{") or
                                 k.startswith("penstock_jobs_settled_total{")))
            self.assertLessEqual(status["queue"]["jobs"], 40)
            self.assertLessEqual(metrics['penstock_jobs{state="running"}'], 8 + 512)
            for name, value in last.items():  # a counter never falls
                if "_total" in name:
                    self.assertGreaterEqual(metrics[name], value, name)
            last = metrics

        daemon.await_records(3020)
        records = daemon.records()
        self.check_records(records, ids + [f"closed-{i}" for i in range(20)])
        status = daemon.await_status(lambda s: s["results"]["recorded"] == 3020 and
                                     s["sources"][0]["jobs"] == 3020 and
                                     s["sources"][0]["bad_lines"] == 7, "all is booked")
        metrics = daemon.metrics()
        routes = {k: v - before.get(k, 0)
                  for k, v in self.origin.counters()["by_route"].items()}
        self.assertEqual([routes[r] for r in ("ok", "bytes", "status", "delay")], [750] * 4)
        self.assertEqual(metrics["penstock_fetch_attempts_total"], 3000 + 2 * 20)
        self.assertEqual(metrics["penstock_fetch_retries_total"], 20)
        failures = {k: v for k, v in metrics.items()
                    if v and k.startswith("penstock_fetch_failures_total")}
        self.assertEqual(failures, {'penstock_fetch_failures_total{reason="http_4xx"}': 750,
                                    'penstock_fetch_failures_total{reason="connect"}': 2 * 20})
        self.assertEqual(metrics['penstock_fetch_retried_total{reason="connect"}'], 20)
        self.assertEqual([metrics[f'penstock_fetch_responses_total{{class="{c}"}}'] for c in
                          ("2xx", "4xx", "5xx")], [2250, 750, 0])
        for histogram in "fetch_duration", "queue_wait":
            self.assertEqual(metrics[f"penstock_{histogram}_seconds_count"], 3040)
        self.assertEqual(metrics['penstock_fetch_phase_seconds_count{phase="transfer"}'], 3000)
        self.assertEqual(metrics["penstock_fetch_received_bytes_total"],
                         sum(r["size_download"] for r in records))
        self.assertEqual(status["results"]["recorded_bytes"],
                         os.path.getsize(self.path("results.jsonl")))
        source = 'source="urls"}'
        self.assertEqual(metrics["penstock_source_jobs_total{" + source], 3020)
        self.assertEqual(metrics["penstock_source_bad_lines_total{" + source], 7)
        self.assertEqual(metrics["penstock_source_read_bytes_total{" + source], len(text))
        self.assertEqual(metrics["penstock_queue_jobs"], 0)
        self.check_end(daemon.stop(), daemon.records(), [r["id"] for r in records])

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool_has_nothing_to_say(self):
        self.write("urls", self.urls("/ok", "/status/404"))
        self.configure(sources=(self.follow(), self.follow("more")))
        daemon = self.daemon()
        daemon.await_records(2)
        done = subprocess.run(["promtool", "check", "metrics"], capture_output=True,
                              input=daemon.get("/metrics").body.encode(), check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl_can_ask(self):
        self.configure()
        daemon = self.daemon()
        done = subprocess.run(
            ["curl", "-s", "--unix-socket", daemon.socket, "http://localhost/v1/status"],
            capture_output=True, check=True, timeout=harness.PATIENCE)
        self.assertEqual(json.loads(done.stdout)["pid"], daemon.pid)
        daemon.stop()


class SlowClients(daemon_harness.Case):
    """200 clients that send a byte now and then, or ask for much and read none of it."""

    JOBS = 10000

    @contextlib.contextmanager
    def crowd(self, daemon, n=200):
        clients = []
        for i in range(n):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(harness.PATIENCE)
            client.connect(daemon.socket)
            if i % 2:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:  # until nothing more fits: it answers into a full buffer
                        client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            clients.append(client)
        over = threading.Event()

        def drip():
            text = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 100000
            for at in range(len(text)):
                for client in clients[::2]:
                    with contextlib.suppress(OSError):
                        client.send(text[at:at + 1])
                if over.wait(0.1):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield clients
        finally:
            over.set()
            thread.join()
            for client in clients:
                client.close()

    @staticmethod
    def control_seconds(daemon):
        """The processor time of the thread that serves the socket."""
        tasks = f"/proc/{daemon.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/stat", encoding="ascii") as file:
                name, rest = file.read().split("(")[1].split(")")
            if name == "control":
                return sum(map(int, rest.split()[11:13])) / os.sysconf("SC_CLK_TCK")
        raise AssertionError("no thread is called control")

    def await_answered(self, daemon):
        """Until the answers that nobody reads fill what there is to be filled."""
        deadline, before = time.monotonic() + harness.PATIENCE, -1
        while (used := self.control_seconds(daemon)) > before + 0.05:
            self.assertLess(time.monotonic(), deadline)
            before = used
            time.sleep(0.25)

    def test_200_slow_clients_do_not_slow_the_fetching(self):
        self.configure(sources=(self.follow(),), workers=8)
        daemon = self.daemon()
        with self.crowd(daemon):
            self.await_answered(daemon)
            start, used = time.monotonic(), self.control_seconds(daemon)
            self.append("urls", self.jobs("/ok", [str(i) for i in range(self.JOBS)]))
            daemon.await_status(lambda s: s["ledger"]["done"] == self.JOBS, "all are done")
            for _ in range(10):  # others are answered meanwhile
                self.assertEqual(daemon.get("/healthz").status, 200)
            used = self.control_seconds(daemon) - used
            self.assertLess(used, (time.monotonic() - start) / 2)  # the workers have the rest
        ended = daemon.stop()
        self.check_ledger(ended.err, daemon.records())

    def test_slow_clients_do_not_hold_up_a_stop(self):
        self.configure(sources=(self.follow(),))
        daemon = self.daemon()
        with self.crowd(daemon):
            start = time.monotonic()
            daemon.stop()
            self.assertLess(time.monotonic() - start, 10 * harness.SLOWNESS)

    def test_large_records_are_read_by_a_few_at_a_time(self):
        size, clients = 2 << 20, 36
        self.durable = True
        self.configure('results: { bodies = "inline"; max_inline = "8M"; };')
        daemon = self.daemon()
        job = json.dumps({"url": self.origin.url(f"/bytes/{size}"), "id": "large"})
        with contextlib.closing(daemon_harness.UnixConnection(daemon.socket)) as connection:
            connection.request("POST", "/v1/jobs", job)
            self.assertEqual(connection.getresponse().status, 202)
        daemon.await_records(1)
        before = daemon.status_kib("VmRSS")
        readers = [daemon_harness.UnixConnection(daemon.socket) for _ in range(clients)]
        for reader in readers:
            reader.request("GET", "/v1/jobs/large")
        # Those whose turn it is do not read: the others wait, and are answered in the end.
        self.assertEqual(daemon.get("/v1/status").status, 200)
        for reader in readers:
            self.assertGreater(len(reader.getresponse().read()), size)
            reader.close()
        self.assertEqual(daemon.get("/v1/jobs/nobody").status, 404)
        if not harness.SANITIZED:  # each has a record and its copy for a moment
            self.assertLess(daemon.status_kib("VmHWM"), before + (2 * 8 + 4) * 2700 + 8 * 1024)
        daemon.stop()

    def test_the_ceiling_that_check_shows_holds_with_many_long_lines(self):
        self.configure('queue: { capacity = 10; max_bytes = "4M"; };',
                       'fetch: { idle_connections = 1; };',
                       'backlog: { max_jobs = 10; max_bytes = "4M"; };', workers=1)
        shown = subprocess.run([harness.PENSTOCKD, "-c", self.path("penstock.conf"), "--check"],
                               capture_output=True, check=True, text=True).stdout
        ceiling_mib = float(re.search(r"# memory: at most ([\d.]+) MiB", shown)[1])
        daemon = self.daemon()
        line = b"x" * 1040000
        for _ in range(16):  # as many as are allowed
            upload = daemon_harness.UnixConnection(daemon.socket)
            self.addCleanup(upload.close)
            upload.connect()
            upload.sock.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n"
                                b"Content-Type: application/x-ndjson\r\n"
                                b"Content-Length: 2000000\r\n\r\n" + line)
        if not harness.SANITIZED:
            self.assertLess(daemon.status_kib("VmHWM"), ceiling_mib * 1024)

    def test_too_many_clients_are_told_so(self):
        self.configure()
        daemon = self.daemon()
        with contextlib.ExitStack() as stack:
            for _ in range(256):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(daemon.socket)
            answer = daemon.get("/v1/status")
            self.assertEqual(answer.status, 503)
            self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
            self.assertIn("256 connections are open, which is the limit", answer.json["detail"])
        harness.eventually(lambda: daemon.get("/v1/status").status == 200, "there is room again")
        daemon.stop()


class Peers(daemon_harness.Case):
    """Who has changed something is in the log."""
    durable = True

    def test_each_change_names_who_has_asked_for_it(self):
        self.configure('origins = ( { match = "*"; concurrency = 1; } );', workers=1)
        daemon = self.daemon()
        origin = self.origin.url("/").rstrip("/")

        def ask(method, target, body=None):
            """Returns the answer's status, and what was logged of this process."""
            seen = len(daemon.err.text)
            connection = daemon_harness.UnixConnection(daemon.socket)
            connection.request(method, target, body)
            status = connection.getresponse().status
            connection.close()
            by = f" by uid {os.getuid()} (pid {os.getpid()})\n"
            if status in (200, 202) and target != "/v1/jobs":
                harness.eventually(lambda: by in daemon.err.text[seen:], "who has asked")
            return status, [line.removesuffix(by).removeprefix("penstockd: ")
                            for line in daemon.err.text[seen:].splitlines(True) if by in line]

        self.assertEqual(ask("POST", "/v1/control/pause", json.dumps({"origin": origin})),
                         (200, [f"{origin} is paused"]))
        self.assertEqual(ask("POST", "/v1/control/pause", '{"origin": 1}'), (400, []))
        for name, path in ("a", "/ok"), ("b", "/status/404"):
            job = json.dumps({"url": self.origin.url(path), "id": name})
            self.assertEqual(ask("POST", "/v1/jobs", job), (202, []))
        self.assertEqual(ask("DELETE", "/v1/jobs/a"), (202, ["job a is cancelled"]))
        self.assertEqual(ask("DELETE", "/v1/jobs/a"), (409, []))
        self.assertEqual(ask("POST", "/v1/control/resume"), (200, ["everything is resumed"]))
        self.assertEqual(ask("POST", "/v1/control/resume", json.dumps({"origin": origin})),
                         (200, [f"{origin} is resumed"]))
        daemon.await_records(2)
        self.assertEqual(ask("POST", "/v1/control/requeue", '{"id": "b"}'),
                         (200, ["job b is requeued as p-3"]))
        daemon.await_records(3)
        self.assertEqual(ask("POST", "/v1/control/requeue", '{"all": true}'),
                         (200, ["1 dead jobs are requeued"]))
        self.assertEqual(ask("POST", "/v1/control/reload"), (200, ["reload: asked for"]))
        self.assertEqual(ask("POST", "/v1/control/set", '{"workers": 2}'),
                         (200, ["set: asked for"]))
        self.assertEqual(ask("POST", "/v1/control/drain"), (200, ["a drain is begun"]))
        daemon.stop()


class Status(daemon_harness.Case):
    """`penstock status`."""

    def ask(self, daemon, *args, code=OK):
        ended = harness.run("status", "--socket", daemon.socket, *args)
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def start_full(self):
        """One job runs, five are queued, 94 wait."""
        self.write("urls", self.urls(*["/stall"] * 100))
        self.configure("queue: { capacity = 5; };", "backlog: { max_jobs = 1000; };",
                       sources=(self.follow(),), workers=1)
        daemon = self.daemon()
        daemon.await_status(lambda s: s["ledger"]["accepted"] == 100 and
                            s["queue"]["jobs"] == s["ledger"]["queued"] == 5 and
                            s["ledger"]["running"] == 1, "it is full")
        return daemon

    def test_it_says_where_every_job_is(self):
        daemon = self.start_full()
        text = self.ask(daemon).out
        self.assertRegex(text, rf"^penstockd \S+: running, up \S+, process {daemon.pid}\n")
        self.assertRegex(text, r"\nqueue +\[#{20}\]  5 of 5 jobs, ")
        self.assertIn("100 accepted = 94 waiting + 0 delayed + 5 queued + 1 running + 0 done + "
                      "0 dead + 0 cancelled\n", text)
        self.assertIn("\nworkers   1 busy, 0 idle\n", text)
        self.assertRegex(text, r"\nsources +urls: 100 jobs, ")
        self.assertNotIn("\033", text)

    def test_json_is_what_the_daemon_says(self):
        daemon = self.start_full()
        status = json.loads(self.ask(daemon, "--json").out)
        self.assertEqual(status["pid"], daemon.pid)
        self.assertEqual(status["ledger"], daemon.status()["ledger"])

    def test_the_environment_names_the_socket(self):
        self.configure()
        daemon = self.daemon()
        env = daemon_harness.environment(PENSTOCK_SOCKET=daemon.socket)
        ended = harness.run("status", "--json", env=env)
        self.assertEqual(json.loads(ended.out)["pid"], daemon.pid)
        env = daemon_harness.environment(RUNTIME_DIRECTORY=self.dir)
        self.assertEqual(harness.run("status", env=env).code, OK)
        daemon.stop()

    def test_it_watches_until_it_is_interrupted(self):
        daemon = self.start_full()
        watch = self.start("--socket", daemon.socket, "--watch=0.2", command="status")
        harness.eventually(lambda: len(watch.lines) >= 4, "four lines")
        watch.signal(signal.SIGINT)
        ended = watch.wait()
        self.assertEqual((ended.code, ended.err), (OK, ""))
        self.assertGreaterEqual(ended.seconds, 0.6)
        lines = ended.out.splitlines()
        for line in lines:
            self.assertRegex(line, r"^running  up \S+  queue 5/5  waiting 94  delayed 0  running 1"
                                   r"  done 0  dead 0")
        for line in lines[1:]:  # the rates need two answers
            self.assertRegex(line, r"  0\.0/s  0 B/s$")

    def test_a_watch_shows_how_fast_it_goes(self):
        self.configure(sources=(self.follow(),), workers=2)
        daemon = self.daemon()
        watch = self.start("--socket", daemon.socket, "--watch=0.1", command="status")
        harness.eventually(lambda: len(watch.lines) >= 1, "a line")
        self.append("urls", self.urls(*["/delay/0.01"] * 100))
        daemon.await_records(100)
        harness.eventually(lambda: "done 100 " in watch.out.text, "all are shown as done")
        watch.signal(signal.SIGINT)
        rates = [float(line.split("/s")[0].rsplit(" ", 1)[1])
                 for line in watch.wait().out.splitlines() if "/s" in line]
        self.assertGreater(max(rates), 0)
        daemon.stop()

    def test_a_watch_on_a_terminal_redraws_its_page(self):
        daemon = self.start_full()
        terminal = self.terminal()
        watch = self.start("--socket", daemon.socket, "--watch=0.1", command="status",
                           stdout=terminal.slave)
        harness.eventually(lambda: terminal.screen.text.count("100 accepted") >= 3, "three pages")
        watch.signal(signal.SIGINT)
        self.assertEqual(watch.wait().code, OK)
        self.assertIn("\033[H", terminal.hang_up())

    def test_a_watch_ends_with_the_daemon(self):
        self.configure()
        daemon = self.daemon()
        watch = self.start("--socket", daemon.socket, "--watch=0.1", command="status")
        harness.eventually(lambda: len(watch.lines) >= 1, "a line")
        daemon.stop()
        ended = watch.wait()
        self.assertEqual(ended.code, UNAVAILABLE)
        self.assertIn("control.sock: ", ended.err)

    def test_no_daemon_is_69(self):
        for path in "control.sock", "not/even/a/directory":
            ended = harness.run("status", "--socket", self.path(path))
            self.assertEqual((ended.code, ended.out), (UNAVAILABLE, ""))
            self.assertIn("no daemon answers; start penstockd, or say where its socket is",
                          ended.err)
        self.configure()
        daemon = self.daemon()
        daemon.kill()  # which leaves the socket's file
        self.assertIn("no daemon answers", self.ask(daemon, code=UNAVAILABLE).err)

    def test_one_that_does_not_answer_is_69(self):
        self.configure()
        daemon = self.daemon()
        daemon.freeze()
        self.addCleanup(daemon.signal, signal.SIGCONT)
        self.assertIn("does not answer within", self.ask(daemon, code=UNAVAILABLE).err)

    def test_one_that_may_not_be_asked_is_69(self):
        self.configure('control: { mode = "0600"; };')
        daemon = self.daemon()
        os.chmod(daemon.socket, 0)
        ended = harness.run("status", "--socket", daemon.socket,
                            preexec_fn=harness.obey_file_modes)
        self.assertEqual(ended.code, UNAVAILABLE, ended.err)
        self.assertIn("you may not talk to the daemon", ended.err)
        daemon.stop()

    def test_it_is_seen_stopping(self):
        self.write("urls", self.urls("/stall"))
        self.configure('stop_timeout = "1h";', sources=(self.follow(),))
        daemon = self.daemon()
        self.await_in_flight(1)
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        self.assertIn(": stopping, up ", self.ask(daemon).out)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
