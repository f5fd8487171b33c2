#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The seed experiments: run.py DATA-FOLDER; see README.md.

PENSTOCKD and PENSTOCK_ORIGIN name the programs; the peer needs Debian's python3-aiohttp.
"""
import concurrent.futures
import contextlib
import datetime
import fcntl
import http.client
import itertools
import json
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PENSTOCKD = os.environ.get("PENSTOCKD", "./penstockd")
ORIGIN = os.environ.get("PENSTOCK_ORIGIN", "./penstock-origin")
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
SKIPPED = 77

FETCH_SECONDS = 2
PITFALL_ITEMS = 10
ITEMS = 20  # of "bounded" and "balanced"
CAPACITY = 3
PAUSE = (1, 3)  # seconds
SEED = 7
SAMPLE_SECONDS = 0.05

SIZES = (1_000_000, 5_000_000)  # URLs
CONSUMERS = 64
FETCHES = 2000
MAXSIZE = 1000  # of the peer with a bound, and penstock's default
RUNS = 3
PATIENCE = 300  # seconds until what does not happen is a failure


class Failure(Exception):
    """An experiment that did not go as it must."""


def find_peer_python():
    """The first Python that has aiohttp: this one, or Debian's; None if neither does."""
    for python in sys.executable, "/usr/bin/python3":
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", "import aiohttp"], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0:
                return python
    return None


# --- the programs -----------------------------------------------------------------------


@contextlib.contextmanager
def running_origin():
    """Gives the base of its URLs."""
    with subprocess.Popen([ORIGIN, "--exit-with-stdin"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as origin:
        yield f"http://127.0.0.1:{int(origin.stdout.readline())}"
        origin.stdin.close()


def run_peer(python, urls, fetches, *options):
    """Runs peer.py; gives its report and when it was started."""
    started = time.time()
    done = subprocess.run([python, PEER, *map(str, options), urls, str(fetches)],
                          stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    return json.loads(done.stdout), started


class ControlSocket(http.client.HTTPConnection):
    """HTTP on a UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """A running penstockd that reads 'urls', with its files in 'folder'."""

    def __init__(self, folder, urls, settings="", results="results.jsonl"):
        self.results = os.path.join(folder, results)
        config = os.path.join(folder, "penstock.conf")
        control = os.path.join(folder, "control.sock")
        with open(config, "w", encoding="ascii") as file:
            file.write(f'sources = ( {{ type = "file"; path = "{urls}"; }} );\n'
                       f'results: {{ path = "{self.results}"; }};\n'
                       f'control: {{ socket = "{control}"; }};\n{settings}\n')
        self.started = time.time()
        self.process = subprocess.Popen([PENSTOCKD, "-c", config])
        self.control = ControlSocket(control)

    def wait_ready(self):
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                self.control.connect()
                return
            time.sleep(0.01)
        raise Failure("penstockd does not start")

    def status(self):
        self.control.request("GET", "/v1/status")
        return json.loads(self.control.getresponse().read())

    def sample_until(self, n_done, interval):
        """Yields (time, status) until that many jobs are done."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            status = self.status()
            yield time.time(), status
            if status["ledger"]["dead"] > 0:
                raise Failure(f"a fetch failed; see {self.results}")
            if status["ledger"]["done"] >= n_done:
                return
            time.sleep(interval)
        raise Failure(f"{n_done} jobs are not done after {PATIENCE} s")

    def peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024

    def stop(self):
        self.control.close()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()

    def read_results(self):
        with open(self.results, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


@contextlib.contextmanager
def running_daemon(*args, **options):
    with tempfile.TemporaryDirectory(prefix="penstock-seed-") as folder:
        daemon = Daemon(folder, *args, **options)
        try:
            daemon.wait_ready()
            yield daemon
        finally:
            daemon.stop()


def seconds_of(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


# --- depth over time --------------------------------------------------------------------


def since(start, times):
    return [round(t - start, 3) for t in times]


def pitfall(python, base):
    """The peer without maxsize."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as urls:
        urls.writelines(f"{base}/delay/{FETCH_SECONDS}?n={i}\n" for i in range(PITFALL_ITEMS))
        urls.flush()
        report, _ = run_peer(python, urls.name, PITFALL_ITEMS, "--trace")
    start = report["puts"][0]
    return {
        "seconds_and_depth": [[0, 0]] + [since(start, [t]) + [n] for t, n in report["depths"]],
        "puts": since(start, report["puts"]),
        "fetches": [since(start, times) for times in report["fetches"]],
        "put_before_first_fetch": report["put_before_first_fetch"],
        "max_depth": report["max_depth"],
    }


def put_into(fifo, lines, pauses, ret_puts):
    """The producer.  A pipe of one page and lines of that length: it is at most one
    line ahead of who reads, and waits like a put() into a full queue."""
    page = os.sysconf("SC_PAGE_SIZE")
    with open(fifo, "wb", buffering=0) as pipe:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, page)
        for line, pause in zip(lines, pauses):
            pipe.write(line.encode("ascii").ljust(page - 1) + b"\n")
            ret_puts.append(time.time())
            time.sleep(pause)


def depth_of_penstock(base, pauses):
    """ITEMS URLs through penstock with a queue of CAPACITY and one worker.

    A job has its place in the backlog until it is recorded; with one place more than
    queue and worker fill, it is the queue's own depth that blocks the feeder."""
    settings = (f"workers = 1;\nqueue: {{ capacity = {CAPACITY}; }};\n"
                f"backlog: {{ max_jobs = {CAPACITY + 2}; }};")
    lines = [f"{base}/delay/{FETCH_SECONDS}?n={i}" for i in range(ITEMS)]
    puts = []
    with tempfile.TemporaryDirectory(prefix="penstock-seed-") as folder:
        fifo = os.path.join(folder, "urls")
        os.mkfifo(fifo)
        with running_daemon(fifo, settings) as daemon:
            start = time.time()
            producer = threading.Thread(target=put_into, args=(fifo, lines, pauses, puts),
                                        daemon=True)
            producer.start()
            samples = list(daemon.sample_until(ITEMS, SAMPLE_SECONDS))
            producer.join()
            results = daemon.read_results()
    end = samples[-1][1]
    if len(results) != ITEMS or end["queue"]["high_water_jobs"] > CAPACITY:
        raise Failure(f"{len(results)} results, high water {end['queue']['high_water_jobs']}")
    return {
        "seconds_and_depth": [since(start, [t]) + [s["queue"]["jobs"]] for t, s in samples],
        "puts": since(start, puts),
        "fetches": [since(start, [seconds_of(r["started_at"]), seconds_of(r["finished_at"])])
                    for r in results],
        "max_depth": end["queue"]["high_water_jobs"],
        "source_blocked_seconds": round(end["sources"][0]["blocked_seconds"], 3),
        "consumers_idle_seconds": round(end["queue"]["consumers_idle_seconds"], 3),
    }


def bounded(base):
    return depth_of_penstock(base, itertools.repeat(0))


def balanced(base):
    dice = random.Random(SEED)
    return depth_of_penstock(base, [dice.uniform(*PAUSE) for _ in range(ITEMS)])


# --- memory -----------------------------------------------------------------------------


def peer_memory(python, urls, *options):
    report, started = run_peer(python, urls, FETCHES, "--consumers", CONSUMERS, *options)
    return {
        **{key: report[key] for key in ("peak_bytes", "max_depth", "most_held_jobs",
                                        "put_before_first_fetch")},
        "seconds_to_first_fetch": round(report["first_fetch_at"] - started, 3),
    }


def penstock_memory(urls, fetches, results="results.jsonl"):
    most_held = 0
    with running_daemon(urls, f"workers = {CONSUMERS};", results=results) as daemon:
        for _, status in daemon.sample_until(fetches, SAMPLE_SECONDS):
            most_held = max(most_held, status["backlog"]["held_jobs"])
        run = {
            "peak_bytes": daemon.peak_bytes(),
            "max_depth": status["queue"]["high_water_jobs"],
            "most_held_jobs": most_held,
            "done": status["ledger"]["done"],
        }
        if results != os.devnull:
            first = min(seconds_of(r["started_at"]) for r in daemon.read_results())
            run["seconds_to_first_fetch"] = round(first - daemon.started, 3)
    return run


def summary(runs):
    """The median of each figure, but the most of what says "at most"; and all peaks."""
    record = {key: max(run[key] for run in runs) if key.startswith(("max_", "most_")) else
              statistics.median(run[key] for run in runs) for key in runs[0]}
    return {**record, "peak_bytes_of_runs": [run["peak_bytes"] for run in runs]}


def repeat(measure, *args):
    return summary([measure(*args) for _ in range(RUNS)])


def memory(python, base):
    record = {}
    with tempfile.TemporaryDirectory(prefix="penstock-seed-") as folder:
        urls = os.path.join(folder, "urls.txt")
        for size in SIZES:
            with open(urls, "w", encoding="ascii") as file:
                file.writelines(f"{base}/ok?n={i}\n" for i in range(size))
            say(f"memory: {size} URLs")
            record[size] = {
                "asyncio": repeat(peer_memory, python, urls),
                "asyncio_maxsize": repeat(peer_memory, python, urls, "--maxsize", MAXSIZE),
                "penstock": repeat(penstock_memory, urls, FETCHES),
            }
            if size == SIZES[0]:
                record[size]["penstock_all"] = summary([penstock_memory(urls, size, os.devnull)])
    return record


# --- all of it --------------------------------------------------------------------------


def say(text):
    print(f"seed: {text}", file=sys.stderr, flush=True)


def conditions(python):
    peer = subprocess.run([python, "-c", "import aiohttp, platform as p;"
                           "print(p.python_version(), aiohttp.__version__)"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    penstock = subprocess.run([PENSTOCKD, "--version"],
                              stdout=subprocess.PIPE, text=True, check=True)
    return {
        "date": datetime.date.today().isoformat(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "processors": os.cpu_count(),
        "penstock": penstock.stdout.split()[1],
        "python": peer[0],
        "aiohttp": peer[1],
        "items": {"pitfall": PITFALL_ITEMS, "penstock": ITEMS},
        "capacity": CAPACITY,
        "fetch_seconds": FETCH_SECONDS,
        "pause_seconds": PAUSE,
        "seed": SEED,
        "sample_seconds": SAMPLE_SECONDS,
        "consumers": CONSUMERS,
        "fetches": FETCHES,
        "maxsize": MAXSIZE,
    }


def write(folder, name, record):
    """JSON with a list of plain values on one line."""
    text = re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()),
                  json.dumps(record, indent=1))
    with open(os.path.join(folder, name + ".json"), "w", encoding="ascii") as file:
        file.write(text + "\n")


def perform(python, folder):
    write(folder, "conditions", conditions(python))
    with running_origin() as base:
        say("depth: the three cases at the same time")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            cases = {"pitfall": pool.submit(pitfall, python, base),
                     "bounded": pool.submit(bounded, base),
                     "balanced": pool.submit(balanced, base)}
        for name, case in cases.items():
            write(folder, name, case.result())
        write(folder, "memory", memory(python, base))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: run.py DATA-FOLDER")
    python = find_peer_python()
    if python is None:
        say("aiohttp is missing: apt install python3-aiohttp")
        sys.exit(SKIPPED)
    os.makedirs(sys.argv[1], exist_ok=True)
    try:
        perform(python, sys.argv[1])
    except (Failure, OSError, subprocess.SubprocessError) as problem:
        say(problem)
        sys.exit(1)


if __name__ == "__main__":
    main()
