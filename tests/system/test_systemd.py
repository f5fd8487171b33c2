#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd as a service of a real systemd, with the units as they are shipped.

The machine's own systemd is booted in namespaces of its own, see systemd-lab/boot.sh.  The
programs are copied into it, and the unit is made from its template for the prefix /usr, so
that a build with any prefix can be tested, without another build.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import harness
from harness import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")
UNIT = "/etc/systemd/system/penstockd.service"
SOCKET = "/run/penstock/control.sock"
CONFIG = "/etc/penstock/penstock.conf"
STATE = "/var/lib/penstock"
ORIGIN_PORT = 8080
SKIPPED = 77

CONFIGURATION = """
workers = 4;
sources = ( { type = "file"; path = "/var/lib/penstock/urls"; follow = true; } );
results: { path = "results.jsonl"; };
retry: { max_attempts = 1; };
"""


class CannotBoot(Exception):
    """What this machine lacks."""


class Machine:
    """A booted systemd."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-lab-")
        self.pidfile, self.log = (os.path.join(self.dir, name) for name in ("pid", "log"))
        self.boot = subprocess.Popen([os.path.join(HERE, "systemd-lab", "boot.sh"), self.pidfile,
                                      self.log], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            harness.eventually(lambda: self.boot.poll() is not None or self._is_up(), "it boots")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; {self._read_log()}") from None
        if self.boot.poll() is not None:
            why = self.boot.stdout.read().decode().strip()
            log = self._read_log()
            self.stop()
            raise CannotBoot(why or log or "it does not boot")

    def _read_log(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-1000:]

    def _is_up(self):
        if not os.path.exists(self.pidfile):
            return False
        state = self.run("systemctl", "is-system-running", check=False)
        return state.strip() in ("running", "degraded")

    @property
    def pid(self):
        """Of its process 1, as seen from here."""
        with open(self.pidfile, encoding="ascii") as file:
            return int(file.read())

    def inside(self, *command):
        """The command line that runs a command inside."""
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w",
                "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0", *command]

    def run(self, *command, stdin="", check=True):
        """Runs a command inside; returns its output."""
        done = subprocess.run(self.inside(*command), input=stdin.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        output = done.stdout.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}: {output}")
        return output

    def write(self, path, data, mode="0644"):
        """Makes a file inside, with its directory."""
        name = f"/proc/{self.pid}/root{path}"
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(name, int(mode, 8))

    def systemctl(self, *args, **options):
        return self.run("systemctl", *args, **options)

    def show(self, name, unit="penstockd.service"):
        return self.systemctl("show", "-P", name, unit).strip()

    def stop(self):
        if self.boot.poll() is None and os.path.exists(self.pidfile):
            os.kill(self.pid, signal.SIGKILL)
        elif self.boot.poll() is None:
            self.boot.kill()
        self.boot.wait(timeout=PATIENCE)
        self.boot.stdout.close()
        shutil.rmtree(self.dir)


def install(machine):
    """What `make install` with --prefix=/usr --sysconfdir=/etc does, as far as it matters."""
    for program, where in ((harness.PENSTOCKD, "/usr/sbin/penstockd"),
                           (harness.PENSTOCK, "/usr/bin/penstock"),
                           (harness.ORIGIN, "/usr/local/bin/penstock-origin")):
        with open(program, "rb") as file:
            machine.write(where, file.read(), "0755")
    places = {"bindir": "/usr/bin", "sbindir": "/usr/sbin", "sysconfdir": "/etc"}
    for at, values in (("", {"instance": "", "of": "", "name": "penstock", "below": ""}),
                       ("@", {"instance": "@%i", "of": ": %i", "name": "%i", "below": "/%i"})):
        for kind in "service", "socket":
            with open(f"{PACKAGING}/systemd/penstockd.{kind}.in", encoding="utf-8") as file:
                text = re.sub("@([a-z]+)@", lambda m, v=values: (places | v)[m[1]], file.read())
            machine.write(f"{os.path.dirname(UNIT)}/penstockd{at}.{kind}", text)
    with open(f"{PACKAGING}/sysusers.conf", encoding="utf-8") as file:
        machine.write("/usr/lib/sysusers.d/penstock.conf", file.read())
    machine.run("systemd-sysusers", "penstock.conf")
    if harness.SANITIZED:
        # LeakSanitizer would trace its own process, which no service may.
        machine.write(f"{UNIT}.d/sanitizer.conf",
                      "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")
    machine.write(CONFIG, CONFIGURATION)


class Service(unittest.TestCase):
    maxDiff = 2000
    machine = None  # one for all of the tests; see main()

    def setUp(self):
        self.reset()
        self.machine.systemctl("start", "penstockd.socket")
        self.addCleanup(self.reset)

    def reset(self):
        """Nothing runs, nothing is left, the settings are those of before."""
        m = self.machine
        m.systemctl("stop", "penstockd.socket", "penstockd.service")
        m.systemctl("reset-failed", check=False)
        m.run("rm", "-rf", STATE, f"{UNIT}.d/test.conf")
        m.write(CONFIG, CONFIGURATION)
        m.systemctl("daemon-reload")

    def configure_unit(self, *lines):
        self.machine.write(f"{UNIT}.d/test.conf", "\n".join(("[Service]",) + lines) + "\n")
        self.machine.systemctl("daemon-reload")

    def start(self):
        self.machine.systemctl("start", "penstockd.service")
        self.assertEqual(self.machine.show("ActiveState"), "active")

    def get(self, target):
        """Asks over the socket; starts the service if it does not run."""
        return self.machine.run("curl", "-sS", "--max-time", str(PATIENCE), "--unix-socket",
                                SOCKET, f"http://localhost{target}")

    def status(self):
        return json.loads(self.get("/v1/status"))

    def submit(self, *paths, host="127.0.0.1"):
        lines = "".join(f"http://{host}:{ORIGIN_PORT}{path}\n" for path in paths)
        self.machine.run("sh", "-c", f"cat >>{STATE}/urls", stdin=lines)

    def records(self):
        text = self.machine.run("cat", f"{STATE}/results.jsonl", check=False)
        return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]

    def await_records(self, n):
        harness.eventually(lambda: len(self.records()) >= n, f"{n} records")
        return self.records()

    def await_show(self, name, value):
        harness.eventually(lambda: self.machine.show(name) == value,
                           f"{name}={value}, not {self.machine.show(name)}")

    def journal(self):
        """What the service has logged since it was started last."""
        invocation = self.machine.show("InvocationID")
        self.machine.run("journalctl", "--sync")
        text = self.machine.run("journalctl", "-o", "json", "--no-pager",
                                f"_SYSTEMD_INVOCATION_ID={invocation}")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def await_journal(self, text):
        return harness.eventually(
            lambda: [e for e in self.journal() if text in e.get("MESSAGE", "")], f"log: {text}")[0]

    def milliseconds(self, since, until):
        return (int(self.machine.show(until + "Monotonic")) -
                int(self.machine.show(since + "Monotonic"))) / 1000


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
        harness.eventually(lambda: self.machine.show("MainPID") != "0", "it is started")
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
        harness.eventually(lambda: re.fullmatch(
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

    def test_a_stop_leaves_the_rest_to_the_next_start_and_keeps_the_socket(self):
        self.machine.write(CONFIG, CONFIGURATION + 'stop_timeout = "200ms";\n')
        self.start()
        self.submit("/ok", *["/stall"] * 10)
        harness.eventually(lambda: self.status()["ledger"]["running"] == 4, "four fetches run")
        self.machine.systemctl("stop", "penstockd.service")
        self.assertEqual(self.machine.show("Result"), "success")
        self.assertEqual([r["outcome"] for r in self.records()], ["done"])
        self.assertEqual(self.machine.show("ActiveState", "penstockd.socket"), "active")
        self.machine.run("test", "-S", SOCKET)
        self.machine.systemctl("start", "penstockd.service")
        harness.eventually(lambda: self.status()["ledger"]["running"] == 4, "they run again")
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
        self.configure_unit("WatchdogSec=1")
        self.start()
        pid = self.machine.show("MainPID")
        self.submit(*["/stall"] * 10)
        seen = set()

        def pinged_often():
            seen.add(self.machine.show("WatchdogTimestampMonotonic"))
            return len(seen) >= 6  # nearly twice the limit
        harness.eventually(pinged_often, "the watchdog is answered")
        self.assertEqual((self.machine.show("MainPID"), self.machine.show("NRestarts")), (pid, "0"))

    def test_the_watchdog_ends_a_hung_one_and_its_clients_are_answered_by_the_next(self):
        # Not SIGABRT: it comes with a SIGCONT, after which the old one may still answer.
        self.configure_unit("WatchdogSec=1", "WatchdogSignal=SIGKILL", "RestartSec=50ms")
        self.start()
        pid = self.status()["pid"]
        self.machine.systemctl("kill", "-s", "STOP", "penstockd.service")
        self.assertNotEqual(self.status()["pid"], pid)  # who asks waits, and is answered
        self.assertEqual(self.machine.show("NRestarts"), "1")


def main():
    try:
        machine = Service.machine = Machine()
    except CannotBoot as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)
    try:
        install(machine)
        machine.systemctl("daemon-reload")
        machine.run("systemd-run", "--unit=origin", "--property=LimitNOFILE=10000",
                    "penstock-origin", "--port", str(ORIGIN_PORT))
        program = unittest.main(module="__main__", exit=False)
    finally:
        machine.stop()
    sys.exit(not program.result.wasSuccessful())


if __name__ == "__main__":
    main()
