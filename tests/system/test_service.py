#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What penstockd tells a service manager, and what it takes from one: the protocols of
sd_notify(3) and sd_listen_fds(3), with the test in the manager's place."""
import http.client
import os
import shutil
import signal
import socket
import threading
import time
import unittest

import daemon_harness
import harness

# That a thread which is stuck withholds the watchdog is tested with a real systemd, in
# test_systemd_trouble.py.


class NotifySocket:
    """Takes the datagrams of sd_notify(3), each as a dictionary with the moment it came."""

    def __init__(self, path, on_ready=None):
        self.path = path
        self.messages = []
        self.on_ready = on_ready  # called at once when READY=1 has come; its value is kept
        self.at_ready = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.thread = threading.Thread(target=self._receive)
        self.thread.start()

    def _receive(self):
        while data := self.socket.recv(4096):
            message = dict(line.split("=", 1) for line in data.decode().splitlines())
            message["at"] = time.monotonic()
            if "READY" in message and self.on_ready:
                self.at_ready.append(self.on_ready())
            self.messages.append(message)

    def named(self, key):
        return [m for m in list(self.messages) if key in m]

    def await_named(self, key, n=1):
        harness.eventually(lambda: len(self.named(key)) >= n, f"{n} messages {key}=")
        return self.named(key)

    def stop(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.path)
        self.thread.join()
        self.socket.close()


class Notifications(daemon_harness.Case):
    def notified(self, before=(), on_ready=None, **variables):
        """A daemon with somebody who listens."""
        path = self.path(f"notify{len(os.listdir(self.dir))}")
        self.notify = self.server(NotifySocket, path, on_ready)
        env = daemon_harness.environment(NOTIFY_SOCKET=self.notify.path, **variables)
        return self.launch(before=before, env=env)

    def ask_when_ready(self):
        return daemon_harness.get(self.path("control.sock"), "/readyz").status

    def test_ready_comes_when_it_serves_and_not_before(self):
        self.write("urls", self.urls("/ok"))
        self.configure(sources=(self.follow(),), workers=64)
        for _ in range(5):
            daemon = self.notified(on_ready=self.ask_when_ready)
            self.notify.await_named("READY")
            self.assertEqual(self.notify.at_ready, [200])
            self.assertIn("READY", self.notify.messages[0])  # nothing was told before
            daemon.stop()

    def test_one_that_cannot_start_is_never_ready(self):
        self.configure(sources=('{ type = "file"; path = "none"; }',))
        daemon = self.notified()
        self.assertEqual(daemon.wait().code, harness.NO_INPUT)
        self.assertEqual(self.notify.named("READY"), [])

    def test_the_status_tells_the_depth(self):
        self.write("urls", self.urls(*["/stall"] * 50))
        self.configure("queue: { capacity = 7; };", sources=(self.follow(),), workers=2)
        # With a watchdog it is told as often as that is answered.
        self.notified(("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"), WATCHDOG_USEC="300000")
        self.assertRegex(self.notify.await_named("STATUS")[0]["STATUS"],
                         r"^queue \d+ of 7, \d+\.\d jobs/s, \d+ settled$")
        harness.eventually(lambda: self.notify.named("STATUS")[-1]["STATUS"] ==
                           "queue 7 of 7, 0.0 jobs/s, 0 settled", "a full queue is told")

    def test_a_reload_is_told(self):
        self.configure()
        daemon = self.notified()
        self.notify.await_named("READY")
        for n, text in (2, "workers = 9;\n"), (3, "bogus = 1;\n"):
            self.write("penstock.conf", text)
            before = time.monotonic_ns() // 1000
            daemon.signal(signal.SIGHUP)
            self.notify.await_named("READY", n)
            told = [m for m in self.notify.messages if "RELOADING" in m or "READY" in m]
            self.assertEqual([("RELOADING" in m, "READY" in m) for m in told[-2:]],
                             [(True, False), (False, True)])
            stamp = int(told[-2]["MONOTONIC_USEC"])
            self.assertLessEqual(before, stamp)
            self.assertLessEqual(stamp, time.monotonic_ns() // 1000)
        daemon.await_message("reload: nothing has changed")  # an end of the reload, too
        daemon.stop()

    def test_stopping_is_told_before_it_stops(self):
        self.write("urls", self.urls("/stall"))
        self.configure('stop_timeout = "1h";', sources=(self.follow(),), workers=1)
        daemon = self.notified()
        self.await_in_flight(1)
        daemon.signal(signal.SIGTERM)
        told = self.notify.await_named("STOPPING")[0]
        self.assertIsNone(daemon.process.poll())
        self.assertGreater(int(told["EXTEND_TIMEOUT_USEC"]), 3600e6)  # what runs has the time
        daemon.stop()
        self.assertEqual(len(self.notify.named("STOPPING")), 1)

    def test_a_stop_that_makes_progress_has_more_time(self):
        gate = self.server(harness.Gate)
        self.write("urls", gate.url("/\n") + self.urls("/stall"))
        self.configure('stop_timeout = "1h";', sources=(self.follow(),), workers=2)
        daemon = self.notified(("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"),
                               WATCHDOG_USEC="300000")  # a third of it is between two looks
        gate.await_waiting(1)
        self.await_in_flight(1)
        daemon.signal(signal.SIGTERM)
        self.notify.await_named("STOPPING")
        gate.open()
        # The first fetch ends: one more.  Nothing moves after that: no more of them.
        self.notify.await_named("EXTEND_TIMEOUT_USEC", 2)
        self.assertEqual(len(daemon.await_records(1)), 1)
        self.notify.await_named("WATCHDOG", len(self.notify.named("WATCHDOG")) + 5)
        before = len(self.notify.named("EXTEND_TIMEOUT_USEC"))
        self.notify.await_named("WATCHDOG", len(self.notify.named("WATCHDOG")) + 5)
        self.assertEqual(len(self.notify.named("EXTEND_TIMEOUT_USEC")), before)
        daemon.stop()

    def test_the_watchdog_is_answered_in_time(self):
        interval = 2  # of which a busy machine may take a part
        self.write("urls", self.urls(*["/delay/0-0.01"] * 2000))
        self.configure(sources=(self.follow(),), workers=16)
        daemon = self.notified(("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"),
                               WATCHDOG_USEC=str(int(interval * 1e6)))
        answers = [m["at"] for m in self.notify.await_named("WATCHDOG", 4)]
        gaps = [b - a for a, b in zip(answers, answers[1:])]
        self.assertLess(max(gaps), interval)  # else a service manager would have killed it
        # And it is no flood.  We may be late to see one, but then not all of the others.
        self.assertGreaterEqual(sum(gaps), interval / 10 * len(gaps))
        # It goes on while the daemon stops.
        self.append("urls", self.urls("/stall"))
        daemon.await_status(lambda s: s["ledger"]["running"] == 1 and
                            s["ledger"]["done"] == 2000, "one stays")
        daemon.signal(signal.SIGTERM)
        self.notify.await_named("STOPPING")
        self.notify.await_named("WATCHDOG", len(self.notify.named("WATCHDOG")) + 2)
        daemon.stop()

    def test_a_watchdog_for_another_process_is_not_answered(self):
        self.configure()
        daemon = self.notified(WATCHDOG_USEC="30000", WATCHDOG_PID=str(os.getpid()))
        self.notify.await_named("STATUS")
        time.sleep(0.2)  # there is nothing to wait for
        self.assertEqual(self.notify.named("WATCHDOG"), [])
        daemon.stop()

    def test_nobody_who_listens_is_no_obstacle(self):
        self.configure()
        env = daemon_harness.environment(NOTIFY_SOCKET=self.path("nobody"),
                                         WATCHDOG_USEC="30000")
        daemon = self.daemon(env=env)
        daemon.stop()


class Activation(daemon_harness.Case):
    """A socket that somebody else listens on: it is there before the daemon, and after."""

    def listen(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path("control.sock"))
        listener.listen(64)
        return listener

    @staticmethod
    def is_listened_on(path):
        """Whether somebody accepts connections there (__SO_ACCEPTCON, of proc(5))."""
        with open("/proc/net/unix", encoding="utf-8") as sockets:
            return any(line.split()[3] == "00010000" for line in sockets
                       if line.endswith(f" {path}\n"))

    def activated(self, listener):
        """A daemon that is handed the socket as descriptor 3."""
        return self.launch(
            before=("sh", "-c", f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ exec "$@"', "sh"),
            env=daemon_harness.environment(LISTEN_FDS="1"), pass_fds=(listener.fileno(),))

    def queue_clients(self, n):
        """Clients that have connected and asked; nobody has answered them yet."""
        clients = []
        for _ in range(n):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.settimeout(harness.PATIENCE)
            client.connect(self.path("control.sock"))
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            clients.append(client)
        return clients

    def check_answered(self, clients):
        for client in clients:
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)

    def test_clients_that_came_before_it_are_answered(self):
        self.configure(sources=(self.follow(),))
        listener = self.listen()
        for _ in range(3):  # again after each stop: no client sees that there was one
            clients = self.queue_clients(20)
            daemon = self.activated(listener)
            self.check_answered(clients)
            daemon.await_ready()
            daemon.stop()
            self.assertTrue(os.path.exists(self.path("control.sock")))
        clients = self.queue_clients(5)
        daemon = self.activated(listener)
        self.check_answered(clients)
        daemon.kill()
        clients = self.queue_clients(5)
        self.activated(listener)
        self.check_answered(clients)

    def test_no_client_sees_a_restart(self):
        self.configure()
        listener = self.listen()
        answered, trouble, over = [], [], threading.Event()

        def ask():
            while not over.is_set():
                try:
                    answered.append(daemon_harness.get(self.path("control.sock"), "/healthz"))
                except (OSError, http.client.HTTPException) as error:
                    trouble.append(error)

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        for _ in range(30):
            daemon = self.activated(listener)
            daemon.await_message("ready")
            daemon.stop()
        last = self.activated(listener)  # which answers those who are left
        over.set()
        for client in clients:
            client.join()
        last.await_ready()
        last.stop()
        self.assertEqual(trouble, [])
        self.assertEqual({answer.status for answer in answered}, {200})

    def test_it_needs_no_socket_of_its_own(self):
        self.configure('control: { socket = "other.sock"; };')
        daemon = self.activated(self.listen())
        daemon.await_ready()
        self.assertEqual(sorted(os.listdir(self.dir)),
                         ["control.sock", "penstock.conf", "results.jsonl"])
        daemon.stop()

    def test_one_without_activation_leaves_that_socket_alone(self):
        self.configure()
        self.listen()
        daemon = self.launch()
        ended = daemon.wait()
        self.assertEqual(ended.code, harness.CANNOT_CREATE)
        self.assertIn("another penstockd serves this socket", ended.err)
        self.assertTrue(os.path.exists(self.path("control.sock")))

    @unittest.skipUnless(shutil.which("systemd-socket-activate"),
                         "systemd-socket-activate is not installed")
    def test_systemd_socket_activate_starts_it_for_the_first_client(self):
        self.configure(sources=(self.follow(),))
        daemon = self.launch(before=("systemd-socket-activate", "-l", self.path("control.sock")))
        harness.eventually(lambda: self.is_listened_on(daemon.socket), "somebody listens")
        self.assertNotIn("ready", daemon.err.text)
        clients = self.queue_clients(10)
        self.check_answered(clients)
        self.append("urls", self.jobs("/ok", ["a"]))
        self.check_records(daemon.await_records(1), ["a"])
        daemon.stop()
        self.assertTrue(os.path.exists(self.path("control.sock")))


if __name__ == "__main__":
    harness.main()
