#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Those who may look and not touch: control.stats_socket and control.listen."""
import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess

import daemon_harness
import harness
from harness import CANNOT_CREATE, CONFIG, NO_PERMISSION, OK

FIGURES = ("/metrics", "/healthz", "/readyz", "/v1/status", "/v1/lanes", "/v1/history", "/",
           "/page/page.js")


def ask_tcp(port, target, method="GET", host="127.0.0.1", body=None, **headers):
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=harness.PATIENCE)) as c:
        c.request(method, target, body=body, headers=headers)
        response = c.getresponse()
        return daemon_harness.Answer(response.status, response.headers, response.read().decode())


class Readers(daemon_harness.Case):
    durable = True  # where a job is, only a database can say

    def configure(self, control, *lines, **options):
        super().configure(f"control: {{ {control} }};", *lines, **options)

    def refuse(self, code, *args, **options):
        ended = self.launch(*args, **options).wait()
        self.assertEqual(ended.code, code, ended.err)
        return ended.err

    def check_problem(self, answer, status, text):
        self.assertEqual((answer.status, answer.headers["Content-Type"]),
                         (status, "application/problem+json"))
        self.assertIn(text, answer.json["detail"])

    def test_nobody_reads_unless_it_is_asked_for(self):
        self.configure("")
        daemon = self.daemon()
        self.assertFalse(os.path.exists(self.path("stats.sock")))
        self.assertNotIn("control.listen", daemon.stop().err)

    def test_tcp_shows_figures_and_nothing_else(self):
        self.write("urls", self.jobs("/ok", ["a"]))
        self.configure('listen = ( "127.0.0.1:0", "[::1]:0" );', sources=(self.follow(),))
        daemon = self.daemon()
        daemon.await_records(1)
        v4, v6 = daemon.tcp_ports(2)
        for target in FIGURES:
            for answer in ask_tcp(v4, target), ask_tcp(v6, target, host="::1"):
                self.assertEqual(answer.status, 200, target)
                self.assertEqual(answer.headers["Content-Type"],
                                 daemon.get(target).headers["Content-Type"])
        self.assertEqual(json.loads(ask_tcp(v4, "/v1/status").body)["pid"], daemon.pid)
        self.check_problem(ask_tcp(v4, "/v1/jobs/a"), 403,
                           "is answered by control.socket and control.stats_socket")
        self.assertEqual(daemon.get("/v1/jobs/a").status, 200)
        self.check_no_levers(lambda *a, **k: ask_tcp(v4, *a, **k))
        nowhere = ask_tcp(v4, "/nowhere")
        self.check_problem(nowhere, 404, "there is no /nowhere; there are /v1/status, /metrics, ")
        self.assertNotIn("control", nowhere.body)
        self.check_untouched(daemon)

    def test_the_stats_socket_shows_all_and_changes_nothing(self):
        self.write("urls", self.jobs("/ok", ["a"]))
        self.configure('stats_socket = "stats.sock"; stats_mode = "0606"; mode = "0600";',
                       sources=(self.follow(),))
        daemon = self.daemon()
        daemon.await_records(1)
        path = self.path("stats.sock")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o606)
        self.assertEqual(stat.S_IMODE(os.stat(daemon.socket).st_mode), 0o600)
        for target in (*FIGURES, "/v1/jobs/a"):
            self.assertEqual(daemon_harness.get(path, target).status, 200, target)
        self.assertEqual(harness.run("status", "--socket", path).code, OK)
        self.check_no_levers(lambda target, method="GET", body=None:
                             daemon_harness.get(path, target, method))
        pause = harness.run("pause", "--socket", path)
        self.assertNotEqual(pause.code, OK)
        self.assertIn("POST /v1/control/pause is answered by control.socket", pause.err)
        self.check_untouched(daemon)
        daemon.stop()
        self.assertFalse(os.path.exists(path))

    def test_readers_of_large_records_leave_some_turns_to_the_control_socket(self):
        size = 2 << 20
        self.configure('stats_socket = "stats.sock";',
                       'results: { bodies = "inline"; max_inline = "8M"; };')
        daemon = self.daemon()
        job = json.dumps({"url": self.origin.url(f"/bytes/{size}"), "id": "large"})
        with contextlib.closing(daemon_harness.UnixConnection(daemon.socket)) as connection:
            connection.request("POST", "/v1/jobs", job)
            self.assertEqual(connection.getresponse().status, 202)
        daemon.await_records(1)
        slow = [daemon_harness.UnixConnection(self.path("stats.sock")) for _ in range(9)]
        for reader in slow:
            reader.request("GET", "/v1/jobs/large")
        harness.eventually(  # these have their turns, and do not read
            lambda: len(select.select([r.sock for r in slow], [], [], 0)[0]) >= 4,
            "some are answered")
        for _ in range(6):
            self.assertEqual(daemon.get("/v1/jobs/large").status, 200)
        for reader in slow:
            reader.close()
        daemon.stop()

    def check_no_levers(self, ask):
        for name in "pause", "resume", "drain", "set", "reload", "requeue":
            self.check_problem(ask(f"/v1/control/{name}", "POST", body="{}"), 403,
                               f"POST /v1/control/{name} is answered by control.socket")
        self.check_problem(ask("/v1/jobs", "POST", body="http://127.0.0.1/"), 403, "POST /v1/jobs")
        self.check_problem(ask("/v1/jobs/a", "DELETE"), 403, "DELETE /v1/jobs/a")
        answer = ask("/v1/status", "POST", body="x")
        self.check_problem(answer, 405, "/v1/status takes GET, HEAD, not POST")
        self.assertEqual(answer.headers["Allow"], "GET, HEAD")

    def check_untouched(self, daemon):
        status = daemon.status()
        self.assertEqual((status["state"], status["paused"], status["ledger"]["accepted"]),
                         ("running", False, 1))

    def test_a_page_elsewhere_cannot_read_through_a_name_of_its_own(self):
        self.configure('listen = "127.0.0.1:0"; host_names = "metrics.example";')
        port, = self.daemon().tcp_ports()
        for host in f"127.0.0.1:{port}", "localhost", "[::1]:1", "Metrics.Example:1", \
                socket.gethostname():
            self.assertEqual(ask_tcp(port, "/readyz", Host=host).status, 200, host)
        for host in "evil.example", f"evil.example:{port}", "127.0.0.1.evil.example":
            answer = ask_tcp(port, "/metrics", Host=host)
            self.check_problem(answer, 421, f"the request is for the host {host}; if that is")
            self.assertNotIn("penstock_", answer.body)

    def test_each_listener_has_places_of_its_own(self):
        self.configure('listen = "127.0.0.1:0"; stats_socket = "stats.sock";')
        daemon = self.daemon()
        port, = daemon.tcp_ports()
        stats = self.path("stats.sock")
        asks = {"tcp": (lambda: ask_tcp(port, "/healthz"),
                        lambda: socket.create_connection(("127.0.0.1", port)), 32),
                "stats": (lambda: daemon_harness.get(stats, "/healthz"),
                          lambda: self.connect(stats), 32),
                "control": (lambda: daemon.get("/healthz"),
                            lambda: self.connect(daemon.socket), 256)}
        for full, (ask, connect, places) in asks.items():
            with contextlib.ExitStack() as stack:
                for _ in range(places):
                    stack.enter_context(connect())
                self.check_problem(ask(), 503, f"{places} connections are open")
                for name, (other, _, _) in asks.items():
                    if name != full:
                        self.assertEqual(other().status, 200, (full, name))
            harness.eventually(lambda ask=ask: ask().status == 200, "there is room again")

    def connect(self, path):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        return client

    def test_what_cannot_be_listened_on_is_said_and_ends_it(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.configure(f'listen = "127.0.0.1:{port}";')
            self.assertIn(f"127.0.0.1:{port}: control.listen: another process listens there",
                          self.refuse(CANNOT_CREATE))
        self.configure('listen = "192.0.2.1:9147";')
        self.assertIn("192.0.2.1:9147: control.listen: this machine has no such address",
                      self.refuse(CANNOT_CREATE))
        self.configure('stats_socket = "no/such/socket";')
        self.assertIn("no/such/socket: control.stats_socket: No such file",
                      self.refuse(CANNOT_CREATE))
        os.mkdir(self.path("closed"), 0o500)
        self.configure('stats_socket = "closed/socket";')
        self.assertIn("closed/socket: control.stats_socket: Permission denied",
                      self.refuse(NO_PERMISSION, preexec_fn=harness.obey_file_modes))

    def test_one_daemon_serves_a_stats_socket(self):
        self.configure('stats_socket = "stats.sock";')
        first = self.daemon()
        err = self.refuse(CANNOT_CREATE, "--set", "results.path=other.jsonl",
                          "--set", "control.socket=other.sock")
        self.assertIn("stats.sock: control.stats_socket: another process serves this socket", err)
        first.kill()
        self.daemon().stop()  # the file of one that is gone is replaced

    def test_wrong_settings_are_told(self):
        for control, text in (
                ('listen = "localhost:9147";', '"localhost:9147" is no address with a port'),
                ('listen = "9147";', '"9147" is no address with a port'),
                (f'listen = ( {", ".join([chr(34) + "127.0.0.1:0" + chr(34)] * 9)} );',
                 "control.listen: has 9 addresses; at most 8 are possible"),
                ('stats_mode = "888";', "control.stats_mode: must be octal, 0600 to 0777"),
                ('stats_socket = "control.sock";', "must be another file than control.socket")):
            self.configure(control)
            self.assertIn(text, self.refuse(CONFIG))

    def test_a_reload_says_that_they_need_a_restart(self):
        self.configure("")
        daemon = self.daemon()
        self.configure('listen = "127.0.0.1:0"; stats_socket = "stats.sock";')
        daemon.signal(signal.SIGHUP)
        for key in "listen", "stats_socket":
            harness.eventually(lambda key=key: re.search(
                rf"control\.{key}: .* needs a restart", daemon.err.text), f"{key} is named")
        self.assertNotIn("http://", daemon.stop().err)  # as it says where it listens

    def test_check_counts_what_they_need(self):
        def needs(*args):
            out = subprocess.run([harness.PENSTOCKD, "-c", "/dev/null", "--check", *args],
                                 capture_output=True, check=True, text=True).stdout
            return (int(re.search(r"# descriptors: at most (\d+)", out)[1]),
                    float(re.search(r"# memory: at most ([\d.]+) MiB", out)[1]))
        descriptors, memory = needs()
        more_descriptors, more_memory = needs(
            "--set", "control.listen=127.0.0.1:1,[::1]:1", "--set", "control.stats_socket=x")
        self.assertEqual(more_descriptors - descriptors, 3 * 44)
        self.assertGreater(more_memory, memory + 10)


if __name__ == "__main__":
    harness.main()
