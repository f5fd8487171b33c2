#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The durable backlog beside what the disk can do: alone, over the socket, and as a pipeline.

PENSTOCK and PENSTOCKD name the built programs; TMPDIR says where the databases are.
"""
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import report
from report import in_turn, median

import daemons
import daemon_harness
import harness
import servers

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(harness.PENSTOCK)),
                       "tests/bench/bench_durable")
BATCHES = (1, 10, 100, 1000)
ONE, MANY = "one client, one job a request", "64 clients, one job a request"
UPLOAD = "one upload"
BOUNDS = 'max_jobs = 100000000; max_bytes = "64G";'
TELLS = re.compile(r"finished in [^,]*, ([\d.]+) req/s.*?status codes: (\d+) 2xx", re.S)


def run(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True, **options).stdout


def rates(kind, lanes, batch, jobs):
    """What bench_durable says: {"fdatasync": a second, "accept": jobs a second, …}."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        text = run(PROGRAM, folder, kind, str(lanes), str(batch), str(jobs))
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


# --- the backlog alone ------------------------------------------------------------------


def alone(table, title, kind, lanes, batches, runs, jobs, notes=()):
    """A row for each size of batch."""
    found = in_turn({batch: lambda batch=batch: rates(kind, lanes, batch, jobs(batch))
                     for batch in batches}, runs)
    rows = []
    for batch, each in found.items():
        def of(name, each=each):
            return median([one[name] for one in each])
        rows.append([str(batch), of("fdatasync"), of("accept"),
                     median([one["accept"] / batch / one["fdatasync"] for one in each]),
                     of("take"), of("settle")])
    table(title, ["batch", "fdatasync/s", "accept, jobs/s", "commits to fdatasync",
                  "take, jobs/s", "settle, jobs/s"], rows, notes)


# --- over the socket --------------------------------------------------------------------


class Submitters:
    """A daemon that accepts and does not fetch, and those who submit to it."""

    def __init__(self, stack, quick):
        self.folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="penstock-bench-"))
        self.jobs = 20000 if quick else 200000
        with open(self.path("penstock.conf"), "w", encoding="ascii") as conf:
            conf.write(f"backlog: {{ {BOUNDS} }};\n")
        with open(self.path("job"), "w", encoding="ascii") as file:
            file.write("http://h0.example.com/some/where/page.html")
        with open(self.path("jobs"), "w", encoding="ascii") as file:
            file.writelines(f"http://h{i % 1000}.example.com/some/where/page-{i}.html\n"
                            for i in range(self.jobs))
        with open(self.path("log"), "wb") as log:
            self.daemon = daemon_harness.Daemon(self.folder, stderr=log)
        stack.callback(self.daemon.kill)
        self.daemon.await_ready()
        if daemon_harness.get(self.daemon.socket, "/v1/control/pause", "POST").status != 200:
            sys.exit("penstockd cannot be paused")
        self.many()  # the log is as long as it gets, and is written over from now on

    def path(self, name):
        return os.path.join(self.folder, name)

    def one_by_one(self, clients, jobs):
        """Accepted a second, each in a request of its own."""
        text = run("h2load", "--h1", "-B", f"unix:{self.daemon.socket}", "-c", str(clients), "-t",
                   "1", "-n", str(jobs), "-d", self.path("job"), "-H", "content-type: text/plain",
                   "http://localhost/v1/jobs")
        rate, accepted = TELLS.search(text).groups()
        if int(accepted) != jobs:
            sys.exit(f"penstockd has accepted {accepted} of {jobs} jobs:\n{text}")
        return float(rate)

    def many(self):
        """Accepted a second, in one upload."""
        began = time.monotonic()
        text = run("curl", "-sS", "--unix-socket", self.daemon.socket, "-T", self.path("jobs"),
                   "-X", "POST", "-H", "content-type: application/x-ndjson", "http://localhost/v1/jobs")
        seconds = time.monotonic() - began
        if text.count('"accepted"') != self.jobs:
            sys.exit(f"penstockd has not accepted {self.jobs} jobs: {text[-200:]}")
        return self.jobs / seconds

    def disk(self):
        return float(run(PROGRAM, self.folder).split()[1])


def over_the_socket(table, quick, runs):
    with contextlib.ExitStack() as stack:
        s = Submitters(stack, quick)
        few, lots = (1000, 20000) if quick else (5000, 100000)
        found = in_turn({
            "fdatasync": s.disk,
            ONE: lambda: s.one_by_one(1, few),
            MANY: lambda: s.one_by_one(64, lots),
            UPLOAD: s.many,
        }, runs)
    disk = found.pop("fdatasync")
    rows = {name: (median(each), median([a / b for a, b in zip(each, disk)]))
            for name, each in found.items()}
    table("Accepted over the socket, ids made by penstock",
          ["", "jobs/s", "of fdatasync/s"],
          [["fdatasync(2), 8 KiB", median(disk), 1.0]] +
          [[name, *figures] for name, figures in rows.items()],
          [f"h2load with HTTP/1.1 for single jobs, curl -T for the upload of {s.jobs:,} lines, "
           "which are of 1,000 origins."])
    return rows


# --- the whole pipeline -----------------------------------------------------------------


class Pipeline:
    """The same list by `penstock fetch` and by penstockd with its database."""

    def __init__(self, origin, jobs, workers):
        self.origin, self.jobs, self.workers = origin, jobs, workers

    @contextlib.contextmanager
    def folder(self):
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            with open(os.path.join(folder, "urls"), "w", encoding="ascii") as file:
                file.writelines(f"{self.origin}/some/where/page-{i}\n" for i in range(self.jobs))
            yield folder

    def figures(self, seconds, process):
        """Jobs a second, and microseconds of processor time for each."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{process.args[0]} has ended with {process.returncode}")
        return self.jobs / seconds, (usage.ru_utime + usage.ru_stime) * 1e6 / self.jobs

    def fetch(self):
        with self.folder() as folder:
            began = time.monotonic()
            process = subprocess.Popen(
                [harness.PENSTOCK, "fetch", "--quiet", "-w", str(self.workers), "--per-origin", "0",
                 "-o", "results.jsonl", "urls"], cwd=folder, env=harness.environment())
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            return self.figures(time.monotonic() - began, process)

    def daemon(self):
        with self.folder() as folder:
            with open(os.path.join(folder, "penstock.conf"), "w", encoding="ascii") as conf:
                conf.write(f'workers = {self.workers}; backlog: {{ {BOUNDS} }};\n'
                           'sources = ( { type = "file"; path = "urls"; } );\n' +
                           daemon_harness.UNLIMITED)
            began = time.monotonic()
            with open(os.path.join(folder, "log"), "wb") as log:
                running = daemon_harness.Daemon(folder, stderr=log)
            try:
                tail, lines = daemons.Tail(running), 0
                while lines < self.jobs and running.process.poll() is None:
                    time.sleep(0.005)
                    lines += len(tail.lines())
                seconds = time.monotonic() - began
                running.signal(signal.SIGTERM)
                return self.figures(seconds, running.process)
            finally:
                running.kill()


def pipeline(table, quick, runs):
    jobs = 20000 if quick else 100000
    rows, ratios = [], {}
    with servers.running(servers.Nginx) as nginx:
        for workers in (64,) if quick else (16, 64):
            p = Pipeline(nginx.origins[0], jobs, workers)
            found = in_turn({"fetch": p.fetch, "daemon": p.daemon}, runs)
            fetch, daemon = found["fetch"], found["daemon"]
            ratios[workers] = median([d[0] / f[0] for f, d in zip(fetch, daemon)])
            rows.append([str(workers), median([f[0] for f in fetch]),
                         median([d[0] for d in daemon]), ratios[workers],
                         median([f[1] for f in fetch]), median([d[1] for d in daemon])])
    table(f"Accept, fetch, record and settle {jobs:,} URLs of one origin",
          ["workers", "penstock fetch, URL/s", "penstockd, URL/s", "ratio",
           "fetch: µs of processor a job", "penstockd: the same"], rows,
          ["From the start of the program to its last record; nginx answers 128 B."])
    return ratios


# --- all of it ----------------------------------------------------------------------------


def where():
    folder = tempfile.gettempdir()
    return [folder, run("stat", "-f", "-c", "%T", folder).strip()]


def measure(rep, quick, runs):
    report.need("h2load", "curl", "nginx")
    rep.table("", ["databases in", "file system"], [where()])
    syncs = 200 if quick else 2000

    def jobs(batch):
        return min(syncs * batch, 20000 if quick else 100000)
    alone(rep.table, "The backlog alone: 1,000 origins, ids made by penstock", "numbers", 1000,
          (1, 100) if quick else BATCHES, 1 if quick else runs, jobs,
          ["A thread submits, or takes and settles with records of 600 B, in batches; "
           "fdatasync(2) overwrites 8 KiB in the same directory, in turn with it."])
    accepted = over_the_socket(rep.table, quick, runs)
    ratios = pipeline(rep.table, quick, runs)
    rep.targets(
        [report.at_least(f"over the socket, {name}: of fdatasync/s", bound, accepted[name][1])
         for name, bound in ((ONE, 0.8), (MANY, 20))] +
        [report.at_least("one upload, jobs/s", 150000, accepted[UPLOAD][0])] +
        [report.at_least(f"penstockd over penstock fetch, {workers} workers", 0.7, ratio)
         for workers, ratio in ratios.items()])
    batches = (100,) if quick else (1, 100)
    lanes = 50000 if quick else 1000000
    alone(rep.table, "Apart: ids made by the client", "ids", 1000, batches, 1, jobs)
    alone(rep.table, f"Apart: {lanes:,} origins with jobs", "numbers", lanes, batches, 1, jobs)


if __name__ == "__main__":
    sys.exit(report.main("backlog", "The durable backlog", measure))
