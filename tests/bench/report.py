# SPDX-License-Identifier: Apache-2.0
"""What every part of the benchmark has in common: its arguments, its tables, its medians.

A part is a program `PART.py [--quick] [--runs N] [--json FILE]`: it prints its tables, and writes
them to FILE for bench.py, which puts the parts together."""
import argparse
import json
import os
import shutil
import signal
import statistics
import sys


class Report:
    """The tables of one part."""

    def __init__(self, name, title):
        self.name, self.title, self.tables = name, title, []

    def table(self, title, columns, rows, notes=()):
        """Adds a table; the first column names the row, numbers stand to the right."""
        self.tables.append({"title": title, "columns": list(columns),
                            "rows": [list(row) for row in rows], "notes": list(notes)})

    def targets(self, rows, notes=()):
        """Adds what is to be reached, of at_least() and at_most(), and whether it is."""
        self.table("Targets", ["what", "at least or most", "measured", ""], rows, notes)

    def as_json(self):
        return {"name": self.name, "title": self.title, "tables": self.tables}


def show(value):
    """A figure as people read it: 1,234,567; 12.3; 0.123; – for none."""
    if value is None:
        return "–"
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(table):
    """A table of as_json() as Markdown."""
    def line(cells):
        return "| " + " | ".join(cells) + " |\n"

    numeric = [all(isinstance(row[i], (int, float, type(None))) for row in table["rows"])
               for i in range(len(table["columns"]))]
    text = f"### {table['title']}\n\n" if table["title"] else ""
    text += line(table["columns"])
    text += line("---:" if right else "---" for right in numeric)
    text += "".join(line(show(cell) for cell in row) for row in table["rows"])
    return text + "".join(f"\n{note}\n" for note in table["notes"])


def in_turn(commands, runs):
    """Runs the callables of a dict in turn, `runs` rounds, so that what else the machine does
    hits all alike; returns for each name the list of what it returned."""
    results = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            results[name].append(command())
    return results


def median(values):
    return statistics.median(values)


def _target(what, bound, measured, is_met):
    return [what, bound, measured,
            "not measured" if measured is None else "met" if is_met else "not met"]


def at_least(what, bound, measured):
    return _target(what, bound, measured, measured is not None and measured >= bound)


def at_most(what, bound, measured):
    return _target(what, bound, measured, measured is not None and measured <= bound)


class Skipped(Exception):
    """Why a part cannot be measured here."""


def need(*programs):
    """Ends the part if one of them is not installed."""
    lacking = [name for name in programs
               if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if lacking:
        raise Skipped(f"not installed: {', '.join(lacking)}")


def _write(path, report):
    if path:
        with open(path, "w", encoding="utf-8") as out:
            json.dump(report, out, indent=1, ensure_ascii=False)


def main(name, title, run, runs=5, quick_runs=2):
    """The main program of a part: run(report, quick, runs) fills the report."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="the shape in little time")
    parser.add_argument("--runs", type=int, help="rounds, of which the median counts")
    parser.add_argument("--json", metavar="FILE", help="write the tables there, too")
    args = parser.parse_args()
    report = Report(name, title)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up, too
    try:
        run(report, args.quick, args.runs or (quick_runs if args.quick else runs))
    except KeyboardInterrupt:
        return 130
    except Skipped as why:
        print(f"skipped: {why}", file=sys.stderr)
        _write(args.json, report.as_json() | {"failure": f"skipped: {why}"})
        return 77
    for table in report.tables:
        print(markdown(table), flush=True)
    _write(args.json, report.as_json())
    return 0


if __name__ == "__main__":
    sys.exit("report.py is used by the parts of the benchmark")
