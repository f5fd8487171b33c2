#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of the installed service, and of its jobs, when something goes badly wrong."""
import json
import os
import subprocess
import unittest

import harness
import systemd_harness
from systemd_harness import CONFIG, STATE, Instance, Service, eventually

HOLD = "/usr/local/bin/hold"
BUILT_HOLD = os.path.join(os.path.dirname(os.path.abspath(harness.PENSTOCK)), "tests", "system",
                          "hold")

# The files are small: the disk of the machine is memory.
SETTINGS = """
workers = 4;
backlog: { min_free = "0"; };
retry: { max_attempts = 1; };
"""


class Crash(Service):
    def test_a_crash_in_the_middle_of_load_loses_nothing(self):
        # One job does not end before the crash, however late that comes; then it has 2 s.
        self.machine.write(CONFIG, SETTINGS + 'fetch: { timeout = "10m"; };\n')
        self.configure_unit("RestartSec=50ms")
        self.start()
        self.post("/stall", *[f"/delay/0-0.02?{i}" for i in range(499)])
        eventually(lambda: self.ledger()["done"] > 20, "some are done")
        self.machine.write(CONFIG, SETTINGS + 'fetch: { timeout = "2s"; };\n')
        self.machine.systemctl("kill", "--kill-whom=main", "-s", "SEGV", self.unit)
        self.await_show("NRestarts", "1")
        self.await_settled(500)
        unlike = [(r["url"].rsplit("/", 1)[1], r["reason"]) for r in self.records()
                  if r["outcome"] != "done"]
        self.assertEqual([url for url, _ in unlike], ["stall"], unlike)


class Disk(unittest.TestCase):
    """The state directory is a disk of its own, with 4 MB."""

    def setUp(self):
        self.daemon = Instance("disk", SETTINGS)
        self.addCleanup(self.let_go)
        self.run_inside = self.daemon.machine.run
        self.run_inside("mkdir", "-p", self.daemon.state)
        self.run_inside("mount", "-t", "tmpfs", "-o", "size=4m,mode=750", "tmpfs",
                        self.daemon.state)

    def let_go(self):
        self.daemon.stop()
        self.run_inside("umount", self.daemon.state)
        self.daemon.remove()

    def fill(self):
        self.run_inside("dd", "if=/dev/zero", f"of={self.daemon.state}/filler", "bs=4k",
                        "oflag=append", "conv=notrunc", check=False)

    def test_a_full_disk_is_waited_out_and_does_not_become_a_restart_loop(self):
        d = self.daemon
        d.configure_unit("WatchdogSec=2", "RestartSec=50ms")
        d.start()
        pid = d.show("MainPID")
        d.post(*[f"/delay/0.1?{i}" for i in range(100)])
        eventually(lambda: d.ledger()["done"] > 3, "some are done")
        self.fill()
        d.await_journal("the backlog cannot be written: database or disk is full")
        seen = set()

        def is_answered():
            self.fill()  # what the database gives back
            seen.add(d.show("WatchdogTimestampMonotonic"))
            return len(seen) >= 5  # more than the limit
        eventually(is_answered, "the watchdog is answered")
        self.assertEqual(d.get("/healthz"), "ok\n")
        self.assertLess(d.ledger()["done"], 100)
        self.run_inside("rm", f"{d.state}/filler")
        d.await_settled(100)
        self.assertEqual((d.show("MainPID"), d.show("NRestarts")), (pid, "0"))


class Memory(Service):
    HOSTILE = SETTINGS.replace("= 4", "= 40") + """
results: { bodies = "inline"; max_inline = "8M"; inline_memory = "8G"; };
"""

    def test_settings_that_reach_the_limit_of_memory_lose_nothing_once_they_are_mended(self):
        if not os.path.exists("/sys/fs/cgroup/memory") and not os.path.exists(
                "/sys/fs/cgroup/cgroup.controllers"):
            self.skipTest("no control group of memory")
        self.machine.write(CONFIG, self.HOSTILE)
        self.configure_unit(f"MemoryMax={600 if harness.SANITIZED else 150}M", "MemorySwapMax=0",
                            "RestartSec=200ms")
        self.start()
        self.post(*[f"/bytes/8000000?{i}" for i in range(40)])
        eventually(lambda: int(self.show("NRestarts")) >= 1, "the kernel ends it")
        self.machine.write(CONFIG, SETTINGS)
        self.machine.systemctl("restart", self.unit)
        self.await_settled(40)
        self.assertEqual([r["outcome"] for r in self.records()], ["done"] * 40)


class Stop(Service):
    def test_a_stop_finishes_what_runs_however_little_time_the_unit_gives(self):
        self.machine.write(CONFIG, SETTINGS + 'stop_timeout = "10m";\n')
        self.configure_unit("TimeoutStopSec=1")
        self.start()
        self.post("/delay/3")
        eventually(lambda: self.ledger()["running"] == 1, "it runs")
        self.machine.systemctl("stop", self.unit)
        self.assertEqual(self.show("Result"), "success")
        self.assertEqual([r["outcome"] for r in self.records()], ["done"])

    def test_what_does_not_end_waits_for_the_next_start(self):
        self.machine.write(CONFIG, SETTINGS + 'stop_timeout = "500ms";\n')
        self.start()
        self.post("/stall")
        eventually(lambda: self.ledger()["running"] == 1, "it runs")
        self.machine.systemctl("stop", self.unit)
        self.assertEqual((self.show("Result"), self.records()), ("success", []))
        self.assertIn("+ 1 waiting\n", self.audit())


class Watchdog(unittest.TestCase):
    """Threads that hang.  Until that is noticed takes half a minute: hang_some() has begun it
    before the first test, and this class is the last."""

    recorder = worker = None
    holders = []

    @classmethod
    def hang_some(cls):
        cls.recorder = Instance("recorder", SETTINGS)
        cls.worker = Instance("worker", SETTINGS.replace("= 4", "= 1") +
                              'fetch: { timeout = "20s"; };\n')
        for daemon, thread in (cls.recorder, "recorder"), (cls.worker, "worker"):
            daemon.configure_unit("WatchdogSec=2", "RestartSec=50ms")
            daemon.start()
            if thread == "worker":
                daemon.post("/stall", "/ok?1", "/ok?2")
                eventually(lambda d=daemon: d.ledger()["running"] == 1, "it fetches")
            cls.holders.append(cls.hold(daemon.show("MainPID"), thread))
        cls.recorder.post(*[f"/ok?{i}" for i in range(10)])
        cls.worker.machine.write(cls.worker.config, SETTINGS)  # the next one has more workers

    @classmethod
    def hold(cls, pid, thread):
        holder = subprocess.Popen(cls.recorder.machine.inside(HOLD, pid, thread),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = holder.stdout.readline()
        if said != b"held\n":
            raise AssertionError(said)
        return holder

    @classmethod
    def tearDownClass(cls):
        for holder in cls.holders:
            holder.wait(timeout=harness.PATIENCE)
            holder.stdout.close()
        cls.recorder.remove()
        cls.worker.remove()

    def check_restarted(self, daemon, why):
        daemon.await_show("NRestarts", "1")
        daemon.await_show("ActiveState", "active")
        eventually(lambda: f"the watchdog is not answered: {why}" in daemon.machine.run(
            "journalctl", "-u", daemon.unit, "-o", "cat", "--no-pager"), why)

    def test_a_recorder_that_hangs_is_noticed_and_no_job_is_lost(self):
        self.check_restarted(self.recorder, "the recorder is stuck, taking records")
        self.recorder.await_settled(10)
        self.assertEqual({r["outcome"] for r in self.recorder.records()}, {"done"})

    def test_a_worker_that_hangs_is_noticed_and_its_job_is_blamed(self):
        self.check_restarted(self.worker, "1 workers are stuck, fetching past their bound")
        d = self.worker
        eventually(lambda: d.ledger()["done"] == 2, "the others are fetched")
        rows = d.machine.run("python3", "-c", f"""if True:
            import json, sqlite3
            db = sqlite3.connect("file:{d.state}/backlog.db?mode=ro", uri=True)
            print(json.dumps(db.execute("SELECT number, crashes FROM job").fetchall()))""")
        self.assertEqual(json.loads(rows), [[1, 1]])
        self.assertEqual(d.ledger()["accepted"], 3)
        d.audit()


def prepare(machine):
    systemd_harness.install(machine)
    systemd_harness.copy_program(machine, BUILT_HOLD, HOLD)
    Watchdog.hang_some()


if __name__ == "__main__":
    systemd_harness.main(prepare)
