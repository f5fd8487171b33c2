#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstock fetch beside its peers: the same list of URLs, one program after another, in turn.

PENSTOCK and PENSTOCK_ORIGIN name the built programs; rusage is beside them.  For each program:
URLs a second, that over penstock's of the same round, processor seconds, peak of memory, context
switches, connections made; medians of all rounds.
"""
import json
import sys
import tempfile

import peers
import report
import scenarios
import targets
from servers import running

COLUMNS = ("program", "connections", "URL/s", "of penstock's", "cpu s per 10,000", "peak MiB",
           "switches per URL", "connects", "remarks")
ONE_ORIGIN = "penstock, one of the origins"


class Progress:
    """Says on a terminal what runs now, on one line."""

    def __init__(self):
        self.shown = sys.stderr.isatty()

    def say(self, text):
        if self.shown:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


class Part:
    """The runs of all programs over all scenarios, and the tables of them."""

    def __init__(self, directory, rounds, is_quick):
        self.dir, self.rounds, self.is_quick = directory, rounds, is_quick
        self.versions = {peer.name: peer.version() for peer in peers.ALL}
        self.progress = Progress()
        self.results = {}  # (key of the scenario, connections) -> name -> runs
        self.pairs = None
        for peer in self.installed():
            peer.prepare(directory)

    def installed(self):
        return [peer for peer in peers.ALL if self.versions[peer.name]]

    def _command(self, scenario, peer, work, server, name):
        def run():
            self.progress.say(f"fetching: {scenario.title}, {work.connections}: {name}")
            return peers.run(peer, work, server)
        return run

    def _work(self, scenario, server, connections, n, origins):
        folder = tempfile.mkdtemp(dir=self.dir)
        return peers.Work(folder, scenarios.urls(scenario, origins, n), connections, server.ca,
                          scenario.wrk_seconds)

    def measure(self, scenario, server, connections, n):
        """Rows of a table: all programs with so many connections."""
        work = self._work(scenario, server, connections, n, server.origins)
        part = self._work(scenario, server, connections, n // scenario.of_slow, server.origins)
        remarks = {peer.name: peer.cannot(work) for peer in self.installed()}
        commands = {peer.name: self._command(scenario, peer, part if peer.is_slow else work,
                                             server, peer.name)
                    for peer in self.installed() if not remarks[peer.name]}
        if len(server.origins) > 1:
            one = self._work(scenario, server, connections, n, server.origins[:1])
            commands[ONE_ORIGIN] = self._command(scenario, peers.ALL[0], one, server, ONE_ORIGIN)
        runs = self._warm_up(commands)
        runs.update(report.in_turn({name: commands[name] for name in commands if name not in runs},
                                   scenario.runs or self.rounds))
        self.results[scenario.key, connections] = runs
        if len(server.origins) > 1:
            self._note_pairs(commands, work)
        return [self._row(name, connections, runs, remarks.get(name))
                for name in [*(peer.name for peer in peers.ALL), ONE_ORIGIN]
                if name != ONE_ORIGIN or name in commands]

    def _warm_up(self, commands):
        """A round that does not count; what fails in it is not run again, and returned."""
        warm = {name: command() for name, command in commands.items()
                if name == peers.PENSTOCK or not self.is_quick}
        return {name: [run] for name, run in warm.items() if run.failure}

    def _note_pairs(self, commands, work):
        """Of one more run: how many workers were at an origin at once, at most, summed."""
        if not commands[peers.PENSTOCK]().failure:
            with open(work.out, encoding="utf-8") as lines:
                self.pairs = targets.pairs_at_once(map(json.loads, lines))

    def _row(self, name, connections, runs_of, remark):
        if name not in runs_of:
            installed = name == ONE_ORIGIN or self.versions[name]
            return [name, connections, *[None] * 6, remark or
                    ("" if installed else "not installed")]
        runs = runs_of[name]
        good = [run for run in runs if not run.failure]
        failures = [run.failure for run in runs if run.failure]
        remark = ""
        if failures:
            remark = f"failed {len(failures)} of {len(runs)} times: {failures[0]}"
        if not good:
            return [name, connections, *[None] * 6, remark]

        def median(what):
            return report.median(getattr(run, what) for run in good)
        return [name, connections, round(median("rate")),
                targets.ratio(runs_of, name, peers.PENSTOCK), median("cpu"), median("peak_mib"),
                median("switches"), round(median("connects")), remark]

    def run(self, out):
        for scenario in scenarios.quick() if self.is_quick else scenarios.full():
            rows = []
            with running(scenario.server, **scenario.options) as server:
                for connections, n in scenario.urls.items():
                    rows += self.measure(scenario, server, connections, n)
            counts = " and ".join(f"{n:,}" for n in sorted(set(scenario.urls.values())))
            note = f"{counts} URLs a run; medians of {scenario.runs or self.rounds}."
            if scenario.of_slow > 1:
                note += f" aria2c and aiohttp fetch 1/{scenario.of_slow} of that."
            out.table(scenario.title, COLUMNS, rows, [note])
        self.progress.say("")


def run(out, is_quick, rounds):
    with tempfile.TemporaryDirectory(prefix="penstock-fetching-",
                                     dir=scenarios.scratch(),
                                     ignore_cleanup_errors=True) as directory:
        part = Part(directory, rounds, is_quick)
        part.run(out)
        targets.table(out, part.results, part.pairs, ONE_ORIGIN)
        versions = {**part.versions, "nginx, which answers": peers.version_of("nginx", "-v")}
        out.table("The programs", ("program", "version"),
                  [[name, version or "not installed"] for name, version in versions.items()],
                  peers.notes())


if __name__ == "__main__":
    sys.exit(report.main("fetching", "penstock fetch beside its peers", run))
