#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is left of very many origins that have come and gone: memory, lanes, rows.

Every job is of another origin: the addresses of 127.0.0.0/8, one server, one port.
PENSTOCKD and PENSTOCK_ORIGIN name the programs.
"""
import argparse
import contextlib
import os
import sqlite3
import time

import daemons
from daemons import say

SETTINGS = """
workers = {workers};
backlog: {{ type = "{backlog}"; max_bytes = "16G"; }};
fetch: {{ idle_connections = {idle}; }};
"""


def lines(n, port):
    """One line for each of n addresses, from 127.1.0.0 on."""
    for i in range(n):
        a, b, c = (i >> 16) + 1, i >> 8 & 255, i & 255
        yield f"http://127.{a}.{b}.{c}:{port}/bytes/100\n"


def lane_rows(folder):
    path = os.path.join(folder, "backlog.db")
    if not os.path.exists(path):
        return None
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM lane").fetchone()[0]


def mib(kib):
    return round(kib / 1024, 1)


class Watch:
    """Samples the daemon until all of its jobs are finished."""

    def __init__(self, running, n):
        self.running, self.n = running, n
        self.rss = []  # at every tenth of the jobs
        self.most_lanes = self.most_waiting = 0
        self.finished = 0

    def is_over(self):
        status = self.running.status()
        ledger, lanes = status["ledger"], status["lanes"]
        self.finished = ledger["done"] + ledger["dead"]
        self.most_lanes = max(self.most_lanes, lanes["active"] + lanes["idle"])
        self.most_waiting = max(self.most_waiting, ledger["waiting"])
        if self.finished >= self.n * (len(self.rss) + 1) // 10:
            self.rss.append(mib(self.running.status_kib("VmRSS")))
        return self.finished >= self.n


def after(running, options):
    """Once nothing is left to do."""
    time.sleep(options.rest)
    status = running.status()
    return {
        "rss_mib": mib(running.status_kib("VmRSS")),
        "lanes_in_status": status["lanes"],
        "lane_rows": lane_rows(running.directory),
        "done": status["ledger"]["done"],
        "dead": status["ledger"]["dead"],
        "cpu_seconds": round(running.cpu_seconds(), 1),
    }


def measure(backlog, options):
    settings = SETTINGS.format(workers=options.workers, backlog=backlog, idle=options.idle)
    with contextlib.ExitStack() as stack:
        server, = stack.enter_context(daemons.origins(["127.0.0.0/8"]))
        running = stack.enter_context(daemons.daemon(settings, follow=True))
        record = {"rss_mib_at_the_start": mib(running.status_kib("VmRSS"))}
        began = time.monotonic()
        with open(os.path.join(running.directory, "urls"), "a", encoding="ascii") as file:
            file.writelines(lines(options.n, server.port))
        watch = Watch(running, options.n)
        daemons.until(watch.is_over, running, options.patience, pause=0.1)
        seconds = time.monotonic() - began
        return {**record, "seconds": round(seconds, 1),
                "urls_per_second": round(options.n / seconds),
                "rss_mib_at_each_tenth": watch.rss,
                "peak_rss_mib": mib(running.status_kib("VmHWM")),
                "most_jobs_waiting": watch.most_waiting,
                "most_lanes_in_status": watch.most_lanes, "after": after(running, options)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("record", help="the JSON file that is written")
    parser.add_argument("--n", type=int, default=1000000, help="origins, one job each")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--idle", type=int, default=0, help="fetch.idle_connections")
    parser.add_argument("--rest", type=float, default=3, help="seconds until the last look")
    parser.add_argument("--patience", type=float, default=1800, help="seconds at most, each")
    parser.add_argument("--backlogs", default="sqlite,memory", help="which, with commas")
    options = parser.parse_args()
    record = {"conditions": daemons.conditions(), "origins": options.n,
              "workers": options.workers, "idle_connections": options.idle}
    for backlog in options.backlogs.split(","):
        say(f"{backlog}: {options.n} origins")
        record[backlog] = measure(backlog, options)
        daemons.write(options.record, record)
        say(record[backlog])


if __name__ == "__main__":
    main()
