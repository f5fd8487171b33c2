#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long penstockd needs from its start to READY=1 (sd_notify(3)), and when idle from TERM to its
end: with an empty backlog, and with very many jobs waiting.

PENSTOCKD names the built program; TMPDIR says where the databases are.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import report
from report import in_turn, median

import daemons  # noqa: F401  for the path to what the system tests share
import daemon_harness
import harness

BOUNDS = 'backlog: { max_jobs = 100000000; max_bytes = "64G"; };\n'


class Folder:
    """Where a penstockd is started again and again, always paused."""

    def __init__(self, path):
        self.path = path
        os.mkdir(path)
        with open(os.path.join(path, "penstock.conf"), "w", encoding="ascii") as conf:
            conf.write(BOUNDS)

    def start(self):
        """Returns the running daemon and the seconds until it was ready."""
        name = os.path.join(self.path, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(name)
            notify.settimeout(harness.PATIENCE)
            try:
                began = time.monotonic()
                with open(os.path.join(self.path, "log"), "wb") as log:
                    running = daemon_harness.Daemon(
                        self.path, stderr=log,
                        env=daemon_harness.environment(NOTIFY_SOCKET=name))
                try:
                    while b"READY=1" not in notify.recv(4096):
                        pass
                except BaseException:
                    running.kill()
                    raise
                return running, time.monotonic() - began
            finally:
                os.unlink(name)

    def fill(self, jobs):
        """Has so many jobs wait for good: it is paused, which outlives it."""
        running, _ = self.start()
        try:
            if daemon_harness.get(running.socket, "/v1/control/pause", "POST").status != 200:
                sys.exit("penstockd cannot be paused")
            lines = os.path.join(self.path, "jobs")
            with open(lines, "w", encoding="ascii") as file:
                file.writelines(f"http://h{i % 1000}.example.com/some/where/page-{i}.html\n"
                                for i in range(jobs))
            if jobs > 0:
                subprocess.run(["curl", "-sS", "--unix-socket", running.socket, "-T", lines, "-X",
                                "POST", "-H", "content-type: application/x-ndjson", "-o",
                                "/dev/null", "http://localhost/v1/jobs"], check=True)
            waiting = running.status()["ledger"]["waiting"]
            if waiting != jobs:
                sys.exit(f"{waiting} jobs wait, not {jobs}")
            running.stop()
        finally:
            running.kill()

    def once(self):
        """Milliseconds: until ready, and of processor time for that; of an idle stop."""
        running, ready = self.start()
        try:
            spent = processor_ms(running.pid)
            while not running.is_ready():  # and idle
                time.sleep(0.01)
            began = time.monotonic()
            running.signal(signal.SIGTERM)
            running.wait()
            return ready * 1e3, spent, (time.monotonic() - began) * 1e3
        finally:
            running.kill()


def processor_ms(pid):
    """What its threads have spent so far (proc(5), schedstat: nanoseconds first)."""
    spent = 0
    tasks = f"/proc/{pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
            spent += int(file.read().split()[0])
    return spent / 1e6


def first_start(top):
    """The same in a folder where there is no database yet."""
    with tempfile.TemporaryDirectory(dir=top) as folder:
        return Folder(os.path.join(folder, "new")).once()


def load_libraries():
    """What every program with these libraries pays before its main()."""
    began = time.monotonic()
    process = subprocess.Popen([harness.PENSTOCKD, "--version"], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return (time.monotonic() - began) * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, None


def measure(rep, quick, runs):
    report.need("curl")
    waiting = 100000 if quick else 1000000
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as top:
        empty = Folder(os.path.join(top, "empty"))
        full = Folder(os.path.join(top, "full"))
        empty.fill(0)
        full.fill(waiting)
        found = in_turn({
            "penstockd --version": load_libraries,
            "without a database yet": lambda: first_start(top),
            "an empty backlog": empty.once,
            f"{waiting:,} jobs waiting": full.once,
        }, runs)
    rep.table("Start and stop, 64 workers, milliseconds",
              ["", "start to READY=1", "processor time for it", "idle stop"],
              [[name] + [None if each[0][i] is None else median([one[i] for one in each])
                         for i in range(3)] for name, each in found.items()],
              ["penstockd --version only loads its libraries: to its end."])

    def of(name, i):
        return median([one[i] for one in found[name]])
    rep.targets([
        report.at_most("start to READY=1, an empty backlog, ms", 30, of("an empty backlog", 0)),
        report.at_most(f"start to READY=1, {waiting:,} jobs waiting, ms", 1000,
                       of(f"{waiting:,} jobs waiting", 0)),
        report.at_most("idle stop, ms", 50, of("an empty backlog", 2))])


if __name__ == "__main__":
    sys.exit(report.main("startup", "Start and stop", measure, runs=11, quick_runs=5))
