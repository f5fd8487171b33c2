#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the recorded data and prints its figures: plot.py DATA-FOLDER SVG [README]

With README, the figures in it are replaced, too.  The colours are mid-tones, legible on light
and on dark.
"""
import json
import os
import re
import sys

WIDTH = 880
LEFT, RIGHT = 84, 20
ITEM = 20  # pixels of one queued URL, the same in all panels
LANE = 18  # pixels of a row of events
GAP = 6  # pixels between depth 0 and the rows
AT_ONCE = 0.1  # seconds in which puts share a mark
TITLE, AXIS = 40, 54  # pixels above and below a panel

STYLE = """
  text { font: 13px sans-serif; fill: #737a84; }
  .title { font-weight: bold; font-size: 14px; }
  .axis { stroke: #737a84; fill: none; }
  .grid { stroke: #737a84; stroke-opacity: 0.25; }
  .bound { stroke: #cf5c36; stroke-dasharray: 6 4; }
  .depth { stroke: #2f7fe0; stroke-width: 2; fill: none; }
  .area { fill: #2f7fe0; fill-opacity: 0.15; }
  .put { fill: #cf5c36; }
  .fetch { fill: #3a9d5d; }
"""

PANELS = [
    ("pitfall", "1. asyncio.Queue() without maxsize: {pitfall} URLs, "
                "a producer that does not pause"),
    ("bounded", "2. penstock, capacity {capacity}: {penstock} URLs, "
                "a producer that does not pause"),
    ("balanced", "3. penstock, capacity {capacity}: {penstock} URLs, "
                 "a producer that pauses {pause[0]}–{pause[1]} s after each"),
]


def load(folder, name):
    with open(os.path.join(folder, name + ".json"), encoding="ascii") as file:
        return json.load(file)


# --- the plot ---------------------------------------------------------------------------


def text(x, y, content, **attributes):
    more = "".join(f' {key.rstrip("_").replace("_", "-")}="{value}"'
                   for key, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{content}</text>'


def line(kind, x1, y1, x2, y2):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def rect(kind, x, y, width, height):
    return (f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}"/>')


class Panel:
    """Depth over time, and below it when a URL was put and when one was fetched."""

    def __init__(self, case, top, seconds, bound):
        self.case = case
        self.items = case["max_depth"] + 1
        self.zero = top + TITLE + self.items * ITEM  # the height of depth 0
        self.seconds = seconds
        self.bound = bound
        self.floor = self.zero + GAP + 2 * LANE
        self.bottom = self.floor + AXIS

    def x(self, seconds):
        return LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)

    def y(self, depth):
        return self.zero - depth * ITEM

    def axes(self):
        step = 5 if self.items > 5 else 1
        for depth in range(0, self.items, step):
            yield line("grid", LEFT, self.y(depth), WIDTH - RIGHT, self.y(depth))
            yield text(LEFT - 8, self.y(depth) + 4, depth, text_anchor="end")
        for second in range(0, int(self.seconds) + 1, 5):
            yield line("axis", self.x(second), self.floor, self.x(second), self.floor + 5)
            yield text(self.x(second), self.floor + 20, second, text_anchor="middle")
        yield line("axis", LEFT, self.floor, WIDTH - RIGHT, self.floor)
        yield line("axis", LEFT, self.y(self.items), LEFT, self.floor)
        middle = self.y(self.items / 2)
        yield text(20, middle - 8, "queue depth", text_anchor="middle",
                   transform=f"rotate(-90 20 {middle:.1f})")
        yield text(20, middle + 8, "(URLs)", text_anchor="middle",
                   transform=f"rotate(-90 20 {middle:.1f})")
        yield text(WIDTH - RIGHT, self.floor + 38, "time (s)", text_anchor="end")

    def steps(self):
        """The path of the depth; a sample holds until the next one."""
        samples = self.case["seconds_and_depth"]
        path = f"M{self.x(samples[0][0]):.1f} {self.y(samples[0][1]):.1f}"
        for (_, before), (seconds, depth) in zip(samples, samples[1:]):
            if depth != before:
                path += f"H{self.x(seconds):.1f}V{self.y(depth):.1f}"
        end = self.x(samples[-1][0])
        first = self.x(samples[0][0])
        yield f'<path class="area" d="{path}H{end:.1f}V{self.zero:.1f}H{first:.1f}Z"/>'
        yield f'<path class="depth" d="{path}H{end:.1f}"/>'

    def marks(self):
        """[seconds, puts at that time]"""
        marks = []
        for seconds in self.case["puts"]:
            if marks and seconds - marks[-1][0] < AT_ONCE:
                marks[-1][1] += 1
            else:
                marks.append([seconds, 1])
        return marks

    def lanes(self):
        top = self.zero + GAP
        for row, name in enumerate(("put", "fetched")):
            yield text(LEFT - 8, top + row * LANE + 14, name, text_anchor="end")
        for seconds, n in self.marks():
            yield rect("put", self.x(seconds) - 1, top + 3, 2, 12)
            if n > 1:
                yield text(self.x(seconds) + 5, top + 14, f"×{n}")
        for begin, end in self.case["fetches"]:
            width = self.x(end) - self.x(begin) - 2
            yield rect("fetch", self.x(begin) + 1, top + LANE + 5, width, 9)

    def draw(self, title):
        yield text(LEFT, self.y(self.items) - 14, title, class_="title")
        yield from self.axes()
        if self.bound:
            yield line("bound", LEFT, self.y(self.bound), WIDTH - RIGHT, self.y(self.bound))
            yield text(WIDTH - RIGHT, self.y(self.bound) - 5, "capacity", text_anchor="end")
        yield from self.steps()
        yield from self.lanes()


def draw(folder, conditions, path):
    cases = {name: load(folder, name) for name, _ in PANELS}
    seconds = max(case["fetches"][-1][1] for case in cases.values()) + 1
    words = {**conditions["items"], "capacity": conditions["capacity"],
             "pause": conditions["pause_seconds"]}
    parts = []
    top = 0
    for name, title in PANELS:
        bound = conditions["capacity"] if name != "pitfall" else None
        panel = Panel(cases[name], top, seconds, bound)
        parts += panel.draw(title.format(**words))
        top = panel.bottom
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
                   f'viewBox="0 0 {WIDTH} {top}" role="img">\n'
                   "<title>Queue depth over time in the three seed experiments</title>\n"
                   f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")


# --- the figures ------------------------------------------------------------------------

PROGRAMS = {
    "asyncio": "`asyncio.Queue()`",
    "asyncio_maxsize": "`asyncio.Queue({maxsize})`",
    "penstock": "penstockd",
    "penstock_all": "penstockd, all of them fetched",
}


def number(value):
    return f"{value:,.0f}".replace(",", " ")


def mib(size):
    return f"{size / 2**20:.0f}"


def memory_row(name, size, run):
    peaks = run["peak_bytes_of_runs"]
    peak = mib(run["peak_bytes"])
    if len(peaks) > 1:
        peak += f" ({mib(min(peaks))}–{mib(max(peaks))})"
    first = run.get("seconds_to_first_fetch")
    return " | ".join(["| " + name, number(int(size)), number(run["max_depth"]),
                       number(run["most_held_jobs"]),
                       f"{first:.2f}" if first is not None else "–", peak + " |"])


def memory_table(record, conditions):
    yield ("| program | URLs in the file | queue depth, at most | URLs held, at most "
           "| first fetch after (s) | peak memory (MiB) |")
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for size, programs in record.items():
        for key, name in PROGRAMS.items():
            if key in programs:
                yield memory_row(name.format(**conditions), size, programs[key])


def pitfall_line(case, conditions):
    return (f"1. *Pitfall*: {case['put_before_first_fetch']} of {conditions['items']['pitfall']} "
            "URLs were in the queue before the first fetch began.")


def bounded_line(case, conditions):
    capacity = conditions["capacity"]
    samples = case["seconds_and_depth"]
    full = [i for i, (_, depth) in enumerate(samples) if depth == capacity]
    waited = sum(seconds >= AT_ONCE for seconds in case["puts"])
    return (f"2. *Bounded*: the depth was {capacity} from {samples[full[0]][0]:.1f} s to "
            f"{samples[full[-1]][0]:.1f} s, in {len(full)} of the {full[-1] - full[0] + 1} samples "
            f"of that time; it was never more than {case['max_depth']}. "
            f"{waited} of {len(case['puts'])} puts had to wait for a fetch to end; "
            f"the source waited for {case['source_blocked_seconds']:.1f} s.")


def balanced_line(case):
    depths = [depth for _, depth in case["seconds_and_depth"]]
    ups = sum(after > before for before, after in zip(depths, depths[1:]))
    downs = sum(after < before for before, after in zip(depths, depths[1:]))
    return (f"3. *Balanced*: the depth rose {ups} times and fell {downs} times, between "
            f"{min(depths)} and {max(depths)}. The source waited for "
            f"{case['source_blocked_seconds']:.1f} s and the worker for "
            f"{case['consumers_idle_seconds']:.1f} s of {case['seconds_and_depth'][-1][0]:.1f} s.")


def conditions_line(conditions):
    return ("Recorded {date}: {system}, {processors} processors; penstock {penstock}, "
            "the peer's Python {python} and aiohttp {aiohttp}.".format(**conditions))


def figures(folder, conditions):
    pitfall, bounded, balanced = (load(folder, name) for name, _ in PANELS)
    lines = [conditions_line(conditions), "", pitfall_line(pitfall, conditions),
             bounded_line(bounded, conditions), balanced_line(balanced), "",
             *memory_table(load(folder, "memory"), conditions)]
    return "\n".join(lines) + "\n"


def replace_figures(path, fresh):
    """Replaces what stands between the two comments of the README."""
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new, n = re.subn(r"(<!-- figures -->\n).*(<!-- end of figures -->)",
                     lambda found: found[1] + fresh + found[2], old, flags=re.DOTALL)
    if n != 1:
        sys.exit(f"{path}: has no place for the figures")
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: plot.py DATA-FOLDER SVG [README]")
    folder, svg = sys.argv[1:3]
    conditions = load(folder, "conditions")
    draw(folder, conditions, svg)
    fresh = figures(folder, conditions)
    print(fresh, end="")
    if len(sys.argv) == 4:
        replace_figures(sys.argv[3], fresh)


if __name__ == "__main__":
    main()
