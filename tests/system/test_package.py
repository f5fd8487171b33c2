#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package in a booted machine: installed, configured, upgraded, downgraded, removed
and purged, by dpkg; and what it brings: instances, who may use the socket, rotation."""
import itertools
import json
import re
import subprocess
import sys
import unittest

import harness
import package_harness
import systemd_harness
from harness import PATIENCE
from systemd_harness import CONFIG, SOCKET, STATE, Daemon, Instance, eventually

SETTINGS = """
workers = 3;
stop_timeout = "500ms";
backlog: { min_free = "0"; };
retry: { max_attempts = 1; };
"""


def as_user(user, *groups):
    """The command line that runs a command with no rights but these."""
    return ["setpriv", f"--reuid={user}", "--regid=nogroup",
            f"--groups={','.join(groups)}" if groups else "--clear-groups"]


class Case(Daemon, unittest.TestCase):
    maxDiff = 2000
    package = None  # unpacked, to make others of
    others = itertools.count(1)

    def dpkg(self, action, what, *options, check=True):
        if isinstance(what, bytes):
            self.machine.write("/root/penstock.deb", what)
            what = "/root/penstock.deb"
        return self.machine.run("dpkg", "--no-triggers", *options, action, what, check=check)

    def newer(self):
        """A package with a higher version than any before."""
        self.package.set_version(f"{self.first_version()}+{next(self.others)}")
        return self.package.build()

    def older(self):
        self.package.set_version(f"{self.first_version()}~1")
        return self.package.build()

    def first_version(self):
        return re.split("[+~]", self.package.version)[0]

    def is_installed(self):
        return self.machine.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "penstock",
                                check=False) == f"install ok installed {self.package.version}"

    def files(self):
        """All that has the package's name, but for what the tests have brought."""
        text = self.machine.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name",
                                "*penstock*", "-not", "-path", "/usr/local/*", "-not", "-path",
                                f"{systemd_harness.DROP_INS}/penstock*")
        return sorted(text.splitlines())


class First(Case):
    """The first of all, on a machine that has never seen it."""

    def test_it_runs_once_it_is_installed(self):
        self.assertFalse(self.is_installed())
        self.dpkg("-i", self.package.build())
        self.assertEqual((self.show("ActiveState"), self.show("UnitFileState")),
                         ("active", "enabled"))
        self.assertEqual(self.get("/readyz"), "ready\n")
        shown = self.machine.run("penstock", "status", "--socket", SOCKET)
        self.assertIn("0 accepted", shown)
        self.assertTrue(self.is_installed())


class Installed(Case):
    """Each test finds some version installed, with SETTINGS, and nothing of the one before."""

    def setUp(self):
        if not self.is_installed():
            self.dpkg("-i", self.package.build(), "--force-confold")
        self.stop()
        self.machine.run("find", STATE, "-type", "f", "-delete", check=False)
        self.machine.write(CONFIG, SETTINGS)
        self.start()


class Life(Installed):
    def test_an_upgrade_keeps_settings_and_backlog(self):
        self.post(*["/stall"] * 10, *["/ok"] * 3)
        pid = self.show("MainPID")
        self.dpkg("-i", self.newer())
        self.assertNotEqual(self.show("MainPID"), pid)
        self.assertEqual(self.machine.run("cat", CONFIG), SETTINGS)
        self.assertEqual(self.status()["workers"]["wanted"], 3)
        self.assertEqual(self.ledger()["accepted"], 13)
        self.audit()

    def test_an_upgrade_with_other_defaults_asks_or_keeps_the_settings(self):
        self.package.append("etc/penstock/penstock.conf", "# new in this version\n")
        package = self.newer()
        # Nobody is there to be asked: dpkg stops, rather than to decide.
        self.assertIn("end of file on stdin at conffile prompt",
                      self.dpkg("-i", package, check=False))
        self.dpkg("-i", package, "--force-confdef", "--force-confold")
        self.assertEqual(self.machine.run("cat", CONFIG), SETTINGS)
        self.assertIn("# new in this", self.machine.run("cat", CONFIG + ".dpkg-dist"))
        self.assertEqual((self.show("ActiveState"), self.status()["workers"]["wanted"]),
                         ("active", 3))

    def test_a_downgrade_keeps_the_backlog(self):
        self.post(*["/stall"] * 10)
        said = self.dpkg("-i", self.older())
        self.assertIn("downgrading penstock", said)
        self.assertEqual((self.show("ActiveState"), self.ledger()["accepted"]), ("active", 10))

    def test_clients_that_connect_while_it_is_upgraded_are_answered(self):
        script = rf"""
            until [ -e /run/upgraded ]; do
                curl -sS --max-time {PATIENCE} --unix-socket {SOCKET} \
                    http://localhost/healthz || exit
            done
            echo over"""
        self.addCleanup(self.machine.run, "rm", "-f", "/run/upgraded")
        clients = [subprocess.Popen(self.machine.inside("sh", "-c", script),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                   for _ in range(2)]
        pid = self.show("MainPID")
        self.dpkg("-i", self.newer())
        self.assertNotEqual(self.show("MainPID"), pid)
        self.machine.write("/run/upgraded", "")
        for client in clients:
            lines = client.communicate(timeout=PATIENCE)[0].decode().splitlines()
            self.assertEqual((client.returncode, lines[-1]), (0, "over"))
            self.assertEqual(set(lines[:-1]), {"ok"})
            self.assertGreater(len(lines), 3)

    def test_what_is_removed_can_come_back_and_what_is_purged_has_left_nothing(self):
        self.post("/ok", "/ok")
        self.await_settled(2)
        self.dpkg("--remove", "penstock")
        self.assertEqual(self.show("LoadState"), "not-found")
        self.machine.run("test", "!", "-e", SOCKET)
        self.assertEqual(self.machine.run("cat", CONFIG), SETTINGS)
        self.dpkg("-i", self.package.build())
        self.assertEqual(self.ledger()["done"], 2)
        self.await_settled(2)
        self.dpkg("--purge", "penstock")
        self.assertEqual([path for path in self.files() if "/dpkg/" not in path], [])
        self.assertEqual(self.machine.run("getent", "passwd", "penstock", check=False), "")
        self.assertEqual(self.machine.run("getent", "group", "penstock", check=False), "")


class Use(Installed):
    def test_a_stranger_may_not_use_the_socket_but_a_member_of_the_group_may(self):
        ask = ["curl", "-sS", "--max-time", str(PATIENCE), "--unix-socket", SOCKET,
               "http://localhost/healthz"]
        refused = self.machine.run(*as_user("nobody"), *ask, check=False)
        self.assertIn("Couldn't connect", refused)
        self.assertEqual(self.machine.run(*as_user("nobody", "penstock"), *ask), "ok\n")
        for path in f"{STATE}/results.jsonl", f"{STATE}/backlog.db":  # who submits is not all
            self.machine.run(*as_user("nobody", "penstock"), "test", "!", "-r", path)

    def test_an_instance_runs_beside_it(self):
        other = Instance("other", SETTINGS.replace("3", "5"))
        self.addCleanup(other.remove)
        other.start()
        other.post("/ok?1", "/ok?2")
        self.post("/ok?3")
        other.await_settled(2)
        self.await_settled(1)
        self.assertEqual([d.status()["workers"]["wanted"] for d in (self, other)], [3, 5])
        self.assertEqual([r["url"][-1] for r in self.records()], ["3"])
        self.assertEqual(sorted(r["url"][-1] for r in other.records()), ["1", "2"])
        self.assertNotEqual(self.show("MainPID"), other.show("MainPID"))
        self.machine.systemctl("stop", self.unit)
        self.assertEqual(other.get("/readyz"), "ready\n")

    @unittest.skipUnless(systemd_harness.has_program("logrotate"), "no logrotate")
    def test_the_results_log_is_rotated_while_jobs_run(self):
        self.post(*[f"/delay/0-0.02?{i}" for i in range(300)])
        rotate = ("logrotate", "--force", "/etc/logrotate.d/penstock")
        for times, n in (1, 30), (2, 100):
            eventually(lambda n=n: self.ledger()["done"] > n, f"{n} are done")
            self.machine.run(*rotate)
            eventually(lambda times=times: times == sum("opened anew" in entry.get("MESSAGE", "")
                                                        for entry in self.journal()), "a new log")
        eventually(lambda: self.ledger()["done"] == 300, "all are done")
        logs = self.machine.run("sh", "-c", f"ls {STATE}/results.jsonl*").split()
        self.assertEqual(logs, [f"{STATE}/results.jsonl{end}" for end in ("", ".1", ".2.gz")])
        text = self.machine.run("sh", "-c", f"cd {STATE} && gzip -dc results.jsonl.2.gz && "
                                "cat results.jsonl.1 results.jsonl")
        records = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([r["seq"] for r in records], list(range(1, 301)))
        self.machine.run("gunzip", f"{STATE}/results.jsonl.2.gz")
        said = self.machine.run("penstock", "audit", "-c", CONFIG, "--database",
                                f"{STATE}/backlog.db", *[f"--results={STATE}/results.jsonl{end}"
                                                         for end in ("", ".1", ".2")])
        self.assertIn("balanced", said)

    def test_it_takes_little_memory_when_idle(self):
        eventually(lambda: self.status()["state"] == "running", "it runs")
        pid = self.show("MainPID")
        pss = int(re.search(r"^Pss:\s+(\d+)", self.machine.run(
            "cat", f"/proc/{pid}/smaps_rollup"), re.M)[1])
        print(f"idle: MemoryCurrent {self.show('MemoryCurrent')} bytes, PSS {pss} KiB, start to "
              f"READY {self.milliseconds('ExecMainStartTimestamp', 'ActiveEnterTimestamp'):.1f} ms",
              flush=True)
        if not harness.SANITIZED:
            self.assertLess(pss, 32 * 1024)


def main():
    try:
        Case.package = package_harness.Package()
    except package_harness.NoPackage as why:
        print(f"skipped: {why}")
        sys.exit(systemd_harness.SKIPPED)
    try:
        systemd_harness.main(lambda machine: None)
    finally:
        Case.package.remove()


if __name__ == "__main__":
    main()
