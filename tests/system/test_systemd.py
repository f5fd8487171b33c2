#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd as a service of a real systemd, with the units as they are shipped."""
import os
import re
import subprocess
import time

import harness
import systemd_harness
from harness import PATIENCE
from systemd_harness import (CONFIG, CONFIGURATION, ORIGIN_PORT, SOCKET, STATE, UNIT, Service,
                             eventually)


class Units(Service):
    units = [f"{os.path.dirname(UNIT)}/penstockd{at}.{kind}" for at in ("", "@")
             for kind in ("service", "socket")]

    def test_systemd_finds_nothing_wrong_with_the_units(self):
        self.assertEqual(self.machine.run("systemd-analyze", "verify", "--man=no", *self.units), "")

    def test_little_is_exposed(self):
        for unit in self.units[::2]:
            text = self.machine.run("systemd-analyze", "security", "--offline=true", "--no-pager",
                                    unit)
            exposure = float(re.search(r"Overall exposure level for .*: ([\d.]+)", text)[1])
            print(f"exposure of {os.path.basename(unit)}: {exposure}", flush=True)
            self.assertLessEqual(exposure, 1.2)

    def test_what_the_unit_promises_holds_in_the_process(self):
        self.start()
        pid = self.machine.show("MainPID")
        status = dict(line.split(":\t", 1) for line in
                      self.machine.run("cat", f"/proc/{pid}/status").splitlines()
                      if ":\t" in line)
        self.assertNotIn("0", status["Uid"].split())
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapBnd"], 16), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertRegex(self.machine.run("cat", f"/proc/{pid}/limits"),
                         r"Max core file size +0 +0 ")


class Readers(Service):
    NOBODY = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"

    def ask(self, *command):
        """What an ordinary user is told."""
        return self.machine.run(*self.NOBODY, *command, check=False)

    def test_every_user_may_look_where_the_drop_in_says_so(self):
        with open(os.path.join(os.environ.get("PENSTOCK_SRC", "."), "packaging", "systemd", "drop-ins",
                               "stats-socket.conf"),
                  encoding="utf-8") as file:
            self.configure_unit(*file.read().split("[Service]\n")[1].splitlines())
        self.machine.write(CONFIG, CONFIGURATION + 'control: { stats_socket = "stats.sock"; '
                           'stats_mode = "0666"; listen = "127.0.0.1:9147"; };\n')
        self.start()
        socket = "/run/penstock-stats/stats.sock"
        self.assertIn(": running,", self.ask("penstock", "status", "--socket", socket))
        self.assertIn("is answered by control.socket", self.ask(
            "curl", "-sS", "--unix-socket", socket, "-d", "{}",
            "http://localhost/v1/control/pause"))
        self.assertNotIn(": running,", self.ask("penstock", "status", "--socket", SOCKET))
        self.assertIn("\npenstock_ready 1\n",
                      self.ask("curl", "-sS", "http://127.0.0.1:9147/metrics"))


class Life(Service):
    def test_jobs_are_fetched(self):
        self.start()
        self.submit("/ok", "/status/404")
        self.submit("/ok", host="localhost")  # names work, too
        records = self.await_records(3)
        self.assertEqual(sorted((r["outcome"], r["response_code"]) for r in records),
                         [("dead", 404), ("done", 200), ("done", 200)])
        mode, owner = self.machine.run("stat", "-c", "%a %U",
                                       f"{STATE}/results.jsonl").split()
        self.assertEqual(mode, "600")
        self.assertEqual(owner, "penstock")
        text = self.machine.run("penstock", "status", "--socket", SOCKET)
        self.assertIn("3 accepted = 0 waiting", text)

    def test_start_waits_until_it_is_ready(self):
        # A FIFO that nobody reads yet holds up the start.
        self.machine.write(CONFIG, CONFIGURATION.replace("results.jsonl", "/run/out"))
        self.machine.run("mkfifo", "-m", "666", "/run/out")
        self.addCleanup(self.machine.run, "rm", "/run/out")
        self.configure_unit("ReadWritePaths=/run/out")
        self.machine.systemctl("start", "--no-block", "penstockd.service")
        eventually(lambda: self.machine.show("MainPID") != "0", "it is started")
        time.sleep(0.3)  # it has had time to be ready, if it were
        self.assertEqual(self.machine.show("ActiveState"), "activating")
        self.machine.systemctl("stop", "reader.service", check=False)
        self.machine.run("systemd-run", "--unit=reader", "cat", "/run/out")
        self.addCleanup(self.machine.systemctl, "stop", "reader.service", check=False)
        self.await_show("ActiveState", "active")
        self.assertEqual(self.get("/readyz"), "ready\n")

    def test_the_first_client_starts_it(self):
        self.assertEqual(self.machine.show("ActiveState"), "inactive")
        status = self.status()
        self.assertIn(status["state"], ("starting", "running"))  # it was here first
        self.assertEqual(self.machine.show("MainPID"), str(status["pid"]))

    def test_the_status_line_shows_the_queue(self):
        self.start()
        eventually(lambda: re.fullmatch(
            r"queue 0 of 1000, 0\.0 jobs/s, 0 settled", self.machine.show("StatusText")),
            "a status line")

    def test_a_reload_changes_what_runs(self):
        self.start()
        pid = self.machine.show("MainPID")
        self.machine.write(CONFIG, CONFIGURATION.replace("workers = 4", "workers = 6"))
        self.machine.systemctl("reload", "penstockd.service")
        self.assertEqual(self.await_journal("workers: 6, was 4")["PRIORITY"], "6")
        self.assertEqual(self.status()["workers"]["wanted"], 6)
        self.machine.write(CONFIG, "workrs = 9;\n")
        output = self.machine.systemctl("reload", "penstockd.service", check=False)
        self.assertIn("failed", output)
        self.await_journal("workrs: unknown key; did you mean workers?")
        self.await_show("ActiveState", "active")
        self.assertEqual(self.machine.show("MainPID"), pid)
        self.assertEqual(self.status()["workers"]["wanted"], 6)

    def test_the_journal_says_what_a_message_is_about(self):
        self.start()
        self.submit("/status/404", "/ok")
        self.machine.run("sh", "-c", f"echo 'no job' >>{STATE}/urls")
        dead = self.await_journal("is dead: http 404")
        self.assertEqual(dead["PENSTOCK_JOB"], "p-1")
        self.assertEqual(dead["PENSTOCK_ORIGIN"], f"http://127.0.0.1:{ORIGIN_PORT}")
        self.assertEqual(dead["PENSTOCK_SOURCE"], f"{STATE}/urls")
        self.assertEqual((dead["SYSLOG_IDENTIFIER"], dead["PRIORITY"]), ("penstockd", "6"))
        self.assertEqual(dead["_TRANSPORT"], "journal")
        skipped = self.await_journal("skipped")
        self.assertEqual((skipped["PENSTOCK_SOURCE"], skipped["PRIORITY"]), (f"{STATE}/urls", "4"))
        self.assertNotIn("PENSTOCK_JOB", skipped)
        by_job = self.machine.run("journalctl", "--no-pager", "-o", "cat", "PENSTOCK_JOB=p-1",
                                  f"_PID={self.machine.show('MainPID')}")
        self.assertTrue(by_job.startswith("job p-1 is dead: http 404 (http://"), by_job)
        # The catalogue has the message's id, and says what to do about it.
        with open(f"{systemd_harness.PACKAGING}/catalog/penstock.catalog", encoding="utf-8") as file:
            self.machine.write("/usr/lib/systemd/catalog/penstock.catalog", file.read())
        self.machine.run("journalctl", "--update-catalog")
        explained = self.machine.run("journalctl", "-x", "--no-pager",
                                     f"MESSAGE_ID={dead['MESSAGE_ID']}")
        self.assertIn("Subject: A job was given up for good", explained)
        self.assertIn("penstock requeue p-1", explained)

    def test_a_stop_leaves_the_rest_to_the_next_start_and_keeps_the_socket(self):
        self.machine.write(CONFIG, CONFIGURATION + 'stop_timeout = "200ms";\n')
        self.start()
        self.submit("/ok", *["/stall"] * 10)
        def run_and_done():
            ledger = self.ledger()
            return ledger["running"] == 4 and ledger["done"] == 1
        eventually(run_and_done, "one is done, four run")
        self.machine.systemctl("stop", "penstockd.service")
        self.assertEqual(self.machine.show("Result"), "success")
        self.assertEqual([r["outcome"] for r in self.records()], ["done"])
        self.assertEqual(self.machine.show("ActiveState", "penstockd.socket"), "active")
        self.machine.run("test", "-S", SOCKET)
        self.machine.systemctl("start", "penstockd.service")
        eventually(lambda: self.status()["ledger"]["running"] == 4, "they run again")
        self.assertEqual(self.status()["ledger"]["accepted"], 11)

    def test_nobody_sees_a_restart(self):
        self.start()
        before = self.status()["pid"]
        inode = self.machine.run("stat", "-c", "%i", SOCKET)
        script = rf"""
            for i in $(seq 60); do
                curl -sS --max-time {PATIENCE} --unix-socket {SOCKET} \
                    http://localhost/healthz || exit
            done"""
        clients = subprocess.Popen(self.machine.inside("sh", "-c", script),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3):
            self.machine.systemctl("restart", "penstockd.service")
        out = clients.communicate(timeout=PATIENCE)[0].decode()
        self.assertEqual((clients.returncode, out), (0, "ok\n" * 60))
        self.assertNotEqual(self.status()["pid"], before)
        self.assertEqual(self.machine.run("stat", "-c", "%i", SOCKET), inode)

    def test_start_and_stop_take_little_time(self):
        self.start()
        ready = self.milliseconds("ExecMainStartTimestamp", "ActiveEnterTimestamp")
        self.machine.systemctl("stop", "penstockd.service")
        stopped = self.milliseconds("ActiveExitTimestamp", "InactiveEnterTimestamp")
        print(f"start to READY: {ready:.1f} ms, stop when idle: {stopped:.1f} ms", flush=True)
        self.assertLess(ready, 2000 * harness.SLOWNESS)
        self.assertLess(stopped, 2000 * harness.SLOWNESS)


class Trouble(Service):
    def test_wrong_settings_do_not_become_a_restart_loop(self):
        self.machine.write(CONFIG, "bogus = 1;\n")
        self.configure_unit("RestartSec=50ms")
        output = self.machine.systemctl("start", "penstockd.service", check=False)
        self.assertIn("failed", output)
        time.sleep(0.5)  # ten restarts, if there were any
        self.assertEqual([self.machine.show(name) for name in
                          ("ActiveState", "Result", "ExecMainStatus", "NRestarts")],
                         ["failed", "exit-code", "78", "0"])
        # Once they are mended, a start is all it takes.
        self.machine.write(CONFIG, CONFIGURATION)
        self.start()

    def test_a_crash_is_followed_by_a_restart(self):
        self.configure_unit("RestartSec=50ms")
        self.start()
        self.machine.systemctl("kill", "-s", "KILL", "penstockd.service")
        self.await_show("NRestarts", "1")
        self.await_show("ActiveState", "active")
        self.submit("/ok")
        self.await_records(1)

    def test_the_watchdog_lets_a_busy_daemon_live(self):
        self.configure_unit("WatchdogSec=2")
        self.start()
        pid = self.machine.show("MainPID")
        self.submit(*["/stall"] * 10)
        seen = set()

        def pinged_often():
            seen.add(self.machine.show("WatchdogTimestampMonotonic"))
            return len(seen) >= 5  # more than the limit
        eventually(pinged_often, "the watchdog is answered")
        self.assertEqual((self.machine.show("MainPID"), self.machine.show("NRestarts")), (pid, "0"))

    def test_the_watchdog_ends_a_hung_one_and_its_clients_are_answered_by_the_next(self):
        # Not SIGABRT: it comes with a SIGCONT, after which the old one may still answer.
        self.configure_unit("WatchdogSec=1", "WatchdogSignal=SIGKILL", "RestartSec=50ms")
        self.start()
        pid = self.status()["pid"]
        self.machine.systemctl("kill", "-s", "STOP", "penstockd.service")
        eventually(lambda: re.search(r"^State:\sT", self.machine.run(
            "cat", f"/proc/{pid}/status", check=False), re.M) or
            self.machine.show("MainPID") != str(pid), "it hangs")
        self.assertNotEqual(self.status()["pid"], pid)  # who asks waits, and is answered
        self.assertEqual(self.machine.show("NRestarts"), "1")


if __name__ == "__main__":
    systemd_harness.main()
