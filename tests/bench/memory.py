#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a worker, a fetch, a job and a lane take, and whether memory depends on how many come.

PENSTOCK, PENSTOCKD and PENSTOCK_ORIGIN name the programs; rusage is beside them.  Peers that are
not installed are left out.  --runs has no effect: memory is much the same each time.
"""
import contextlib
import glob
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../system"), HERE]
import harness  # noqa: E402
import memory_harness  # noqa: E402
import nginx_harness  # noqa: E402
import report  # noqa: E402
from memory_harness import each, holder, urls  # noqa: E402

PEER = os.path.join(HERE, "../seed/peer.py")
RUSAGE = os.path.join(os.path.dirname(harness.PENSTOCK), "tests/bench/rusage")
PYTHON = "/usr/bin/python3"  # whose aiohttp is Debian's
DESCRIPTORS = 4  # of a worker, at most
ROUNDS = 1, 4, 15, 20  # of fetches by all workers, after which memory is looked at


def say(text):
    print(text, file=sys.stderr, flush=True)


def cores(pid, seconds):
    """How many processors all threads together use."""
    def used_ns():
        total = 0
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total

    before, began = used_ns(), time.monotonic()
    time.sleep(seconds)
    return (used_ns() - before) / 1e9 / (time.monotonic() - began)


def at_rest(pid):
    """Its memory in KiB once it does not change any more; a fetch's wait takes less after 1 s."""
    last = []
    while len(last) < 8 or max(last[-8:]) - min(last[-8:]) > 64:
        last.append(memory_harness.anonymous_kib(pid))
        time.sleep(0.2)
    return last[-1]


# --- workers ----------------------------------------------------------------------------


class Fetches:
    """What fetches take whose server does not answer, for a few numbers of workers; the cores in
    use with the last of them."""

    def __init__(self, server, sizes, seconds, in_flight, settings=()):
        self.server, self.in_flight, self.settings = server, in_flight, dict(settings)
        self.idle, self.running = [], []
        for n in sizes:
            self.look(n, seconds)

    def all_ask(self, n):
        harness.eventually(lambda: self.in_flight() == n, f"{n} requests under way", seconds=120,
                           pause=0.1)

    def look(self, n, seconds):
        with holder(workers=n, **self.settings) as running:
            self.idle.append((n, running.kib()))
            self.cores_idle = cores(running.pid, seconds)
            running.give(urls(self.server, n))
            self.all_ask(n)
            self.running.append((n, at_rest(running.pid)))
            self.cores_running = cores(running.pid, seconds)
        self.all_ask(0)


def peer(server, in_flight, command, sizes, *ca):
    """The same of a program `command N URL-FILE RESULTS [CA-FILE]`."""
    taken = []
    for n in sizes:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            path = os.path.join(folder, "urls")
            with open(path, "w", encoding="ascii") as file:
                file.writelines(urls(server, n))
            child = subprocess.Popen(
                [*command, str(n), path, os.path.join(folder, "results"), *ca],
                env=harness.environment())
            try:
                harness.eventually(lambda n=n: in_flight() == n,
                                   f"{n} requests of {command[-1]}", seconds=25, pause=0.1)
                taken.append((n, memory_harness.anonymous_kib(child.pid)))
            finally:
                child.kill()
                child.wait()
            harness.eventually(lambda: in_flight() == 0, "all have gone")
    return taken


@contextlib.contextmanager
def peers():
    """Names and commands of those that can be had."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        commands = {}
        source = os.path.join(HERE, "peers/fetch.go")
        binary = os.path.join(folder, "fetch")
        if os.path.exists(source) and shutil.which("go") and \
                subprocess.run(["go", "build", "-o", binary, source], check=False).returncode == 0:
            commands["Go net/http, a goroutine a fetch"] = [binary]
        script = os.path.join(HERE, "peers/aiohttp_fetch.py")
        if os.path.exists(script) and has_aiohttp():
            commands["aiohttp, a task a fetch"] = [PYTHON, script]
        yield commands


def has_aiohttp():
    return os.path.exists(PYTHON) and subprocess.run(
        [PYTHON, "-c", "import aiohttp"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def fetches(result, quick):
    most = min(6000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100) // DESCRIPTORS)
    sizes = (100, 600) if quick else (1000, most // 100 * 100)
    rows, seconds = [], 0.5 if quick else 5
    with contextlib.ExitStack() as stack:
        origin = harness.Origin()
        stack.callback(origin.stop)
        commands = stack.enter_context(peers())

        def in_flight():
            return origin.counters()["in_flight"]

        def add_peers(scheme, server, *ca):
            for name, command in commands.items():
                say(f"{name}, {scheme}")
                rows.append((f"{name}, {scheme}",
                             *in_row(peer(server, in_flight, command, sizes, *ca))))

        say("workers, http")
        http = Fetches(origin, sizes, seconds, in_flight)
        rows.append(("penstockd, an idle worker", *in_row(http.idle)))
        rows.append(("penstockd, a fetch, http", *in_row(http.running)))
        add_peers("http", origin)
        if not nginx_harness.missing():
            say("workers, https")
            front = memory_harness.TlsFront(origin)
            stack.callback(front.stop)
            https = Fetches(front, sizes, 0, in_flight, {"origin": front.trust})
            rows.append(("penstockd, a fetch, https", *in_row(https.running)))
            if not quick:
                add_peers("https", front, front.ca)
        with holder(workers=64) as running:
            idle_daemon = cores(running.pid, 2 if quick else 20)
    few, many = sizes
    result.table("One worker, one fetch", (
        "", f"KiB, from {few} to {many}", f"MiB with {few}", f"MiB with {many}"), rows,
        notes=["The server takes the request and does not answer. A fetch's worker, goroutine or "
               "task is included."])
    idle_share = http.cores_idle * 1000 / many
    result.table("Cores in use", ("", "cores"), [
        (f"penstockd, {many} workers idle, for each 1,000", idle_share),
        (f"penstockd, {many} fetches that wait, for each 1,000",
         http.cores_running * 1000 / many),
        ("penstockd with 64 idle workers", idle_daemon)])
    taken = dict((row[0], row[1]) for row in rows)
    return [report.at_most("a fetch, http, KiB", 40, taken["penstockd, a fetch, http"]),
            report.at_most("a fetch, https, KiB", 112, taken.get("penstockd, a fetch, https")),
            report.at_most("cores in use by 1,000 idle workers", 0.02, idle_share),
            report.at_most("cores in use by a daemon with 64 idle workers", 0.001, idle_daemon)]


def in_row(taken):
    return each(taken[0], taken[-1]), taken[0][1] / 1024, taken[-1][1] / 1024


# --- after load -------------------------------------------------------------------------


def after_load(result):
    """What stays once all is done."""
    n, rows = 1000, []
    origin = harness.Origin()
    with contextlib.ExitStack() as stack:
        stack.callback(origin.stop)
        for idle in 0, 256:
            say(f"after load, {idle} idle connections")
            with holder(workers=n, idle=idle, max_jobs=2 * n) as running:
                row, finished = [running.kib()], []
                for times in ROUNDS:
                    running.give(urls(origin, n * times, "/delay/0.2"))
                    finished.append(n * times)
                    harness.eventually(
                        lambda: running.status()["ledger"]["done"] == sum(finished),
                        "all is done", seconds=120, pause=0.05)
                    row.append(running.kib())
                rows.append((str(idle), *(kib / 1024 for kib in row)))
    result.table(f"Idle again, MiB: {n} workers", (
        "fetch.idle_connections", "at the start",
        *(f"after {n * sum(ROUNDS[:i + 1])} fetches" for i in range(len(ROUNDS)))), rows)


# --- jobs and lanes ---------------------------------------------------------------------


def held(account, lines, n, **settings):
    """KiB in memory, and on disk, of n jobs and of 2n, as pairs with the number."""
    memory, disk = [], []
    for size in n, 2 * n:
        with holder(**settings) as running:
            running.hold([next(lines[0])], running=1)
            if account == "waiting":
                running.hold([next(lines[0])], queued=1)
            running.hold(itertools.islice(lines[1](), size), **{account: size})
            memory.append((size, running.kib()))
            disk.append((size, running.stopped_database_kib()
                         if settings.get("backlog") == "sqlite" else 0))
    return each(*memory) * 1024, each(*disk) * 1024


def jobs(result, quick):
    n, rows = 5000 if quick else 100000, []
    origin = harness.Origin("127.0.0.0/8")
    origin.address = "127.0.0.1"
    with contextlib.ExitStack() as stack:
        stack.callback(origin.stop)
        first = itertools.cycle(urls(origin, 1))
        for name, account, settings in (
                ("in the queue", "queued", {"capacity": 2 * n + 200}),
                ("waiting, in memory", "waiting", {}),
                ("waiting, sqlite", "waiting", {"backlog": "sqlite"})):
            say(f"jobs {name}")
            job = held(account, (first, lambda: urls(origin, 2 * n)), n, **settings)
            lane = held(account, (first, lambda: memory_harness.origins_urls(origin.port, 2 * n)),
                        n, **settings)
            on_disk = (job[1], lane[1] - job[1]) if job[1] else (None, None)
            rows.append((name, job[0], lane[0] - job[0], *on_disk))
    result.table("One job, one lane", (
        "", "bytes a job", "bytes more with a lane of its own", "on disk: a job", "and its lane"),
        rows, notes=[f"From {n:,} to {2 * n:,}; the lines have "
                     f"{len(next(urls(origin, 1)))} bytes."])


# --- lists of any length ----------------------------------------------------------------


def peak_kib(command):
    """The peak of a program that is run to its end."""
    with tempfile.NamedTemporaryFile("r", encoding="ascii") as usage:
        subprocess.run([RUSAGE, usage.name, *command], env=harness.environment(), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ended = json.load(usage)
    if ended["exit_status"] != 0 or ended["signal"] != 0:
        sys.exit(f"{command[0]} has failed: {ended}")
    return ended["peak_kib"]


def write_list(path, origin, n):
    with open(path, "w", encoding="ascii") as file:
        file.writelines(urls(origin, n, "/bytes/128"))


def flat(result, quick):
    rows = []
    origin = harness.Origin()
    with contextlib.ExitStack() as stack:
        stack.callback(origin.stop)
        path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "urls")
        for n in (10000, 50000) if quick else (10000, 1000000, 5000000):
            say(f"a list of {n} URLs")
            write_list(path, origin, n)
            ours = peak_kib([harness.PENSTOCK, "fetch", "-s", "-w", "64", "-o", "/dev/null", path])
            theirs = peak_kib([PYTHON, PEER, "--consumers", "64", path, "64"]) \
                if has_aiohttp() else None
            rows.append((n, ours / 1024, theirs and theirs / 1024, theirs and theirs / ours))
    result.table("A list of URLs, 64 workers: peak of resident memory", (
        "URLs", "penstock fetch, MiB", "asyncio.Queue(), MiB", "ratio"), rows,
        notes=["The peer is tests/seed/peer.py: its producer puts the whole list into a queue "
               "without a bound before the first fetch begins, so its peak is there after 64 "
               "fetches, when it is ended. penstock fetches them all."])
    ours = [row[1] for row in rows]
    return [report.at_most("largest over smallest peak of penstock fetch", 1.1,
                           max(ours) / min(ours)),
            report.at_most("largest peak of penstock fetch, MiB", 40, max(ours)),
            report.at_least(f"the peer's peak over it, {rows[-1][0]:,} URLs", 15, rows[-1][3])]


def run(result, quick, _):
    targets = fetches(result, quick)
    jobs(result, quick)
    if not quick:
        after_load(result)
    result.targets(targets + flat(result, quick))


if __name__ == "__main__":
    sys.exit(report.main("memory", "Memory", run, runs=1, quick_runs=1))
