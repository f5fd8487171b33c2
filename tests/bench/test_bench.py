#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark is not taken in: programs that fail, or do less than they say, are found out."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench  # noqa: E402
import peers  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402
import targets  # noqa: E402
from servers import harness  # noqa: E402

URLS = 20


class Shell(peers.Peer):
    """A peer that is a line of shell; OUT is where its outcomes go."""

    name, success = "shell", b"ok"

    def __init__(self, script):
        self.script = script

    def command(self, work):
        return ["sh", "-c", self.script.replace("OUT", work.out)]


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = servers.Origin()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="penstock-test-")
        self.addCleanup(folder.cleanup)
        urls = [f"{self.server.origins[0]}/ok?{i}" for i in range(URLS)]
        self.work = peers.Work(folder.name, urls, connections=2)

    def run_shell(self, script):
        return peers.run(Shell(script), self.work, self.server)

    def test_penstock_is_measured_whole(self):
        run = peers.run(peers.Penstock(), self.work, self.server)
        self.assertIsNone(run.failure)
        self.assertEqual(run.fetched, URLS)
        self.assertIn(run.connects, (1, 2))
        self.assertGreater(run.rate, 0)
        self.assertGreater(run.cpu, 0)
        self.assertGreater(run.peak_mib, 1)

    def test_the_exit_status_and_the_last_words_of_a_failure_are_kept(self):
        run = self.run_shell("echo first >&2; echo no thanks >&2; exit 3")
        self.assertEqual(run.failure, "exit status 3: no thanks")
        self.assertIsNone(run.rate)
        self.assertEqual(self.run_shell("kill -9 $$").failure, "killed by signal 9")

    def test_who_fetches_less_than_the_list_has_failed(self):
        run = self.run_shell("printf 'ok\\n' > OUT")
        self.assertEqual(run.failure, f"1 of {URLS} fetched, 0 requests")

    def test_who_claims_more_than_the_server_has_seen_has_failed(self):
        run = self.run_shell(f"yes ok | head -n {URLS} > OUT")
        self.assertEqual(run.failure, f"{URLS} of {URLS} fetched, 0 requests")

    def test_an_earlier_outcome_is_not_counted_again(self):
        self.run_shell(f"yes ok | head -n {URLS} > OUT")
        self.assertEqual(self.run_shell("true").fetched, 0)

    def test_the_peak_is_not_that_of_who_started_it(self):
        ballast = bytearray(64 << 20)
        ballast[::4096] = b"x" * len(ballast[::4096])
        path = self.work.path("usage")
        subprocess.run([peers.RUSAGE, path, "true"], check=True)
        with open(path, encoding="ascii") as file:
            self.assertLess(peers.json.load(file)["peak_kib"], 32 << 10)


def runs(*rates):
    return [peers.Run(rate, 1, 1, 1, 1, 1, None) if rate else
            peers.Run(*[None] * 6, "exit status 1") for rate in rates]


class Figures(unittest.TestCase):
    def test_a_ratio_is_taken_round_by_round(self):
        runs_of = {"a": runs(10, 20, 90), "b": runs(10, 10, 10), "c": runs(None, 40, None)}
        self.assertEqual(targets.ratio(runs_of, "a", "b"), 2)
        self.assertEqual(targets.ratio(runs_of, "a", "c"), 0.5)
        self.assertIsNone(targets.ratio(runs_of, "a", "d"))

    def test_targets_are_met_or_not_or_not_measured(self):
        of_64 = {"penstock": runs(100), "wget2": runs(100), "Go net/http": runs(101),
                 "curl --parallel": runs(None)}
        found = {row[0].split("over ")[1]: row[-1]
                 for row in targets.rows({("http", 64): of_64}, None, "one")}
        self.assertEqual(found["wget2"], "met")
        self.assertEqual(found["Go net/http"], "not met")
        self.assertEqual(found["curl --parallel"], "not measured")

    def test_pairs_are_what_was_at_work_at_once(self):
        def record(origin, start, end):
            return {"url": f"http://{origin}/", "started_at": start, "finished_at": end}
        self.assertEqual(targets.pairs_at_once([]), 0)
        self.assertEqual(targets.pairs_at_once([
            record("a", "1", "3"), record("a", "2", "5"), record("a", "5", "6"),
            record("b", "1", "9")]), 3)


class Pages(unittest.TestCase):
    def record(self):
        rows = [[name, 64, rate, rate and rate / 100, 1, 1, 1, 1, "" if rate else "failed & <out>"]
                for name, rate in zip(plot.COLOURS, (100, 300, 90, 80, 70, None, 10))]
        columns = ["program", "connections", "URL/s", "of penstock's", "cpu s per 10,000",
                   "peak MiB", "switches per URL", "connects", "remarks"]
        out = report.Report("fetching", "penstock fetch beside its peers")
        out.table(plot.Rates.TITLES[0], columns, rows)
        return {"quick": False, "conditions": {},
                "parts": [out.as_json() | {"measured": "then"},
                          {"name": "queue", "title": "queue", "tables": [], "measured": "then",
                           "failure": "FAILED with exit status 1"}]}

    def test_the_plots_have_all_programs_and_those_that_failed_by_name(self):
        with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
            names = plot.draw(self.record(), folder)
            self.assertEqual(names, ["ratios.svg", "rate.svg"])
            for name in names:
                tree = xml.etree.ElementTree.parse(os.path.join(folder, name))
                texts = [element.text for element in tree.iter() if element.tag.endswith("text")]
                for program in set(plot.COLOURS) - {"penstock"}:
                    self.assertIn(program, texts)
                if name == "ratios.svg":
                    self.assertIn("aria2c: failed & <out>", texts)
                    self.assertIn("0.90", texts)

    def test_a_part_that_failed_is_on_the_page(self):
        self.assertIn("FAILED with exit status 1", bench.markdown(self.record(), ["rate.svg"]))

    def test_what_is_not_run_again_stays_as_it_was_recorded(self):
        with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
            options = argparse.Namespace(directory=folder, quick=False)
            self.assertEqual(bench.recorded_parts(options), {})
            bench.write(os.path.join(folder, "results.json"), json.dumps(self.record()))
            self.assertEqual(list(bench.recorded_parts(options)), ["fetching", "queue"])
            options.quick = True  # another kind of figures
            self.assertEqual(bench.recorded_parts(options), {})

    def test_without_fetching_there_is_no_plot(self):
        self.assertEqual(plot.draw({"parts": []}, "/nonexistent"), [])


if __name__ == "__main__":
    harness.main()
