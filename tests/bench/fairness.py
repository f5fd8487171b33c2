#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long jobs of fast servers wait behind very many of a slow one.

Twice the same work: with a lane for each origin, and with one for all, which is what a single
first-in-first-out queue does.  There the same paths are asked of one origin without a limit.
PENSTOCKD and PENSTOCK_ORIGIN name the programs.
"""
import argparse
import contextlib
import json

import daemons
from daemons import say, seconds_of

SETTINGS = """
workers = {workers};
backlog: {{ type = "{backlog}"; max_jobs = 10000000; max_bytes = "16G"; }};
origins: ( {{ match = "*"; concurrency = {concurrency}; }} );
"""
FAST = b"/bytes/100"


def lines(options, servers):
    """All jobs: the slow ones, then those of the fast servers in turn."""
    slow, *fast = servers
    for _ in range(options.slow):
        yield slow.url(f"/delay/{options.delay}") + "\n"
    for _ in range(options.fast):
        for server in fast or [slow] * options.origins:
            yield server.url(FAST.decode()) + "\n"


class Watch:
    """Sees the results come: keeps the fast ones, counts the others."""

    def __init__(self, running, n_fast):
        self.tail = daemons.Tail(running)
        self.n_fast = n_fast
        self.fast = []
        self.slow = 0

    def is_over(self):
        for line in self.tail.lines():
            if FAST in line:
                self.fast.append(json.loads(line))
            else:
                self.slow += 1
        return len(self.fast) >= self.n_fast


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def figures(watch):
    fast = watch.fast
    if any(record["outcome"] != "done" for record in fast):
        raise SystemExit("a fetch failed")
    times = [[seconds_of(r[key]) for key in ("accepted_at", "started_at", "finished_at")]
             for r in fast]
    waits = sorted(started - accepted for accepted, started, _ in times)
    first, last = min(t[0] for t in times), max(t[2] for t in times)
    return {
        "fast_jobs": len(fast),
        "wait_seconds": {"p50": round(percentile(waits, 0.5), 4),
                         "p99": round(percentile(waits, 0.99), 4), "max": round(waits[-1], 4)},
        "seconds_until_fast_done": round(last - first, 3),
        "slow_jobs_until_then": watch.slow,
        "wait_percentiles": [round(percentile(waits, i / 100), 4) for i in range(101)],
    }


def measure(options, addresses, concurrency):
    settings = SETTINGS.format(workers=options.workers, backlog=options.backlog,
                               concurrency=concurrency)
    patience = 60 + options.slow * options.delay / options.workers * 3
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(daemons.origins(addresses))
        running = stack.enter_context(daemons.daemon(settings, lines(options, servers)))
        watch = Watch(running, options.fast * options.origins)
        daemons.until(watch.is_over, running, patience)
        status = running.status()
        record = figures(watch)
    seconds = status["uptime_seconds"]
    record["seconds_in_all"] = round(seconds, 3)
    record["records_per_second"] = round((watch.slow + len(watch.fast)) / seconds, 1)
    return record


def experiment(options):
    addresses = [f"127.0.0.{2 + i}" for i in range(1 + options.origins)]
    record = {"conditions": daemons.conditions(),
              "options": {k: v for k, v in vars(options).items() if k not in ("quick", "record")}}
    say(f"lanes on: {1 + options.origins} origins, {options.concurrency} fetches each")
    record["lanes_on"] = measure(options, addresses, options.concurrency)
    daemons.write(options.record, record)  # the other half takes its time
    say(f"lanes off: one origin, {options.workers} fetches; about "
        f"{options.slow * options.delay / options.workers:.0f} s")
    record["lanes_off"] = measure(options, addresses[:1], 0)
    return record


def table(record):
    yield "| | p50 (s) | p99 (s) | max (s) | until all fast jobs are done (s) | records/s |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for key, name in ("lanes_on", "a lane for each origin"), ("lanes_off", "one lane for all"):
        run = record[key]
        wait = run["wait_seconds"]
        yield (f"| {name} | {wait['p50']:.3f} | {wait['p99']:.3f} | {wait['max']:.3f} | "
               f"{run['seconds_until_fast_done']:.3f} | {run['records_per_second']:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("record", help="the JSON file that is written")
    parser.add_argument("--slow", type=int, default=100000, help="jobs of the slow origin")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds it takes for each")
    parser.add_argument("--origins", type=int, default=20, help="fast origins")
    parser.add_argument("--fast", type=int, default=100, help="jobs of each of them")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=8, help="fetches of an origin")
    parser.add_argument("--backlog", default="sqlite", choices=("sqlite", "memory"))
    parser.add_argument("--quick", action="store_true", help="with 5,000 slow jobs: 20 s")
    options = parser.parse_args()
    if options.quick:
        options.slow = min(options.slow, 5000)
    record = experiment(options)
    daemons.write(options.record, record)
    print(*table(record), sep="\n")


if __name__ == "__main__":
    main()
