#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The queue alone, beside what other languages hand jobs over with.

PENSTOCK names the built program; bench_queue is looked for below its directory."""
import os
import re
import subprocess
import sys
import tempfile

import report

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH_QUEUE = os.path.join(os.path.dirname(os.environ.get("PENSTOCK", "./penstock")),
                           "tests/bench/bench_queue")
PYTHON_PEER = os.path.join(HERE, "peers/queues.py")
CAPACITY = 1024
SETUPS = {(1, 1): 0.7, (2, 2): 1.0, (4, 64): 1.0}  # what the Go channel is to be beaten by
MOST_SWITCHES = 10
QUEUE, CHANNEL = "penstock, pushes of 64", "Go channel"
MOST_COUNTED = 100000  # lanes
PATIENCE = 300  # seconds of one run


def output_of(*argv):
    done = subprocess.run([str(arg) for arg in argv], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
    return done.stdout


def bench_queue(setup, batch, items):
    """Jobs a second and context switches per 1,000 jobs, the median of its own runs."""
    row = output_of(BENCH_QUEUE, *setup, CAPACITY, batch, items).strip().split("\n")[-1].split()
    return float(row[5]) * 1e6, float(row[7])


def peer(argv, setup, items):
    rate, switches = output_of(*argv, *setup, CAPACITY, items).split()
    return float(rate), float(switches)


def build_channel(directory):
    """The Go program; None where there is no Go."""
    built = os.path.join(directory, "channel")
    env = dict(os.environ, GOCACHE=os.path.join(directory, "cache"), GOFLAGS="",
               GO111MODULE="off", GOTOOLCHAIN="local")
    try:
        subprocess.run(["go", "build", "-o", built, os.path.join(HERE, "peers/channel.go")],
                       check=True, env=env, cwd=directory)
    except FileNotFoundError:
        return None
    return built


def commands(setup, channel, items):
    """All programs for these threads, each with a number of jobs that takes it about a second."""
    found = {QUEUE: lambda: bench_queue(setup, 64, items),
             "penstock, pushes of 1": lambda: bench_queue(setup, 1, items // 4)}
    if channel:
        found[CHANNEL] = lambda: peer([channel], setup, items * 5)
    for name, kind in ("asyncio.Queue", "asyncio"), ("queue.Queue", "threads"):
        found[name] = lambda kind=kind: peer([sys.executable, PYTHON_PEER, kind], setup,
                                             items // 4)
    return found


def ratio(results, name, other):
    """The median of the rounds' ratios."""
    pairs = zip(results[name], results.get(other, ()))
    ratios = [mine[0] / its[0] for mine, its in pairs]
    return report.median(ratios) if ratios else None


def hand_over(out, channel, runs, items):
    rows, targets = [], []
    for setup, bound in SETUPS.items():
        threads = "{}p/{}c".format(*setup)
        results = report.in_turn(commands(setup, channel, items), runs)
        for name, measured in results.items():
            rows.append([name, threads, report.median(rate for rate, _ in measured) / 1e6,
                         ratio(results, name, CHANNEL),
                         report.median(switches for _, switches in measured)])
        if not channel:
            rows.append([CHANNEL + ": go is not installed", threads, None, None, None])
        of_go = ratio(results, QUEUE, CHANNEL)
        switches = report.median(switches for _, switches in results[QUEUE])
        targets += [report.at_least(f"{threads}: over a Go channel", bound, of_go),
                    report.at_most(f"{threads}: context switches per 1,000 jobs", MOST_SWITCHES,
                                   switches)]
    out.table("Jobs handed over",
              ["queue", "threads", "million jobs/s", "of a Go channel", "switches/1,000"], rows,
              [f"Room for {CAPACITY} jobs, all of one origin; the consumers do nothing with them. "
               "penstock's feeder pushes up to 64 jobs at a time, its workers pop one and leave "
               "its lane. A channel hands over one item at a time to whoever is next; it has no "
               "lanes, counts no bytes, and knows neither who is at work nor for what. Context "
               "switches are the voluntary ones of threads: those of goroutines and of tasks "
               "need none."])
    out.targets(targets)


def instructions(kind, lanes, pops):
    """Of a pop, as callgrind counts them; None where there is no valgrind, or it takes too long."""
    if lanes > MOST_COUNTED:
        return None
    with tempfile.TemporaryDirectory(prefix="penstock-queues-") as directory:
        try:
            done = subprocess.run(
                ["valgrind", "--tool=callgrind", "--toggle-collect=queue_leave_and_pop",
                 "--callgrind-out-file=" + os.path.join(directory, "out"),
                 BENCH_QUEUE, "steps", kind, str(lanes), str(pops)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, check=True, timeout=PATIENCE)
        except FileNotFoundError:
            return None
    counted = re.search(r"Collected : (\d+)", done.stderr)
    return round(int(counted[1]) / pops)


def many_lanes(out, sizes, pops):
    rows = []
    for lanes in sizes:
        times = output_of(BENCH_QUEUE, "lanes", lanes).strip().split("\n")[-1].split()[1:]
        rows.append([lanes, *(float(ns) for ns in times),
                     *(instructions(kind, lanes, pops) for kind in ("stay", "have limits"))])
    out.table("One thread, many lanes with jobs",
              ["lanes", "stay (ns)", "come and go (ns)", "have limits (ns)",
               "a pop, stay (instructions)", "a pop, have limits (instructions)"], rows,
              ["Nanoseconds of a push, a pop and a leave together, of lanes that stay, of lanes "
               "that are freed with their one job and made again, and of lanes with a "
               "concurrency and a rate. Instructions are callgrind's, of a pop alone: where they "
               "stay the same and the time grows, it is spent waiting for memory that no cache "
               "holds."])


def run(out, quick, runs):
    if not os.path.exists(BENCH_QUEUE):
        sys.exit(f"queues.py: there is no {BENCH_QUEUE}: make check TESTS= builds it")
    with tempfile.TemporaryDirectory(prefix="penstock-queues-") as directory:
        hand_over(out, build_channel(directory), runs, 100000 if quick else 1000000)
    many_lanes(out, (1, 10000) if quick else (1, 100, 100000, 1000000), 20000)


if __name__ == "__main__":
    sys.exit(report.main("queues", "The queue alone", run))
