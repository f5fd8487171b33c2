#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what fetching.py has measured: plot.py RESULTS.JSON DIRECTORY

ratios.svg: each program's rate over penstock's, scenario by scenario.  rate.svg: URLs a second by
the number of connections.
"""
import json
import math
import os
import sys

import svg

# Mid-tones, legible on light and on dark.
COLOURS = {"penstock": "#2f7fe0", "wrk": "#8a8f98", "wget2": "#cf5c36", "Go net/http": "#1a9b8a",
           "curl --parallel": "#b0812a", "aria2c": "#9a5fd0", "aiohttp": "#c74f8e"}
WIDTH = 880
PROGRAM, CONNECTIONS, RATE, RATIO = range(4)  # columns of the tables

STYLE = "".join(f'  .c{i} {{ fill: {colour}; stroke: none; }}\n'
                f'  .l{i} {{ stroke: {colour}; stroke-width: 2; fill: none; }}\n'
                for i, colour in enumerate(COLOURS.values())) + "  .small { font-size: 11px; }\n"


def class_of(program, kind="c"):
    return kind + str(list(COLOURS).index(program))


def fetching_tables(record):
    """The tables of the part with the columns that are drawn: title -> rows."""
    for part in record["parts"]:
        if part["name"] == "fetching":
            return {table["title"]: [row for row in table["rows"] if row[PROGRAM] in COLOURS]
                    for table in part["tables"]
                    if table["columns"][:4] == ["program", "connections", "URL/s",
                                                "of penstock's"]}
    return {}


def decades(low, high):
    """1, 2 and 5 times the powers of ten from low to high."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in (1, 2, 5):
            if low <= step * 10**power <= high:
                yield step * 10**power


def short(value):
    return f"{value / 1000:g} k" if value >= 1000 else f"{value:g}"


# --- ratios: a row of bars for each scenario --------------------------------------------


class Ratios:
    """Bars from 1, to the right where a program was faster than penstock, else to the left; the
    scale is logarithmic, so that twice as fast and half as fast look alike."""

    LEFT, RIGHT, TOP, BAR, GAP = 230, 60, 66, 11, 16

    def __init__(self, tables):
        self.groups = [(title, n, [row for row in rows
                                   if row[CONNECTIONS] == n and row[PROGRAM] != "penstock"])
                       for title, rows in tables.items()
                       for n in sorted({row[CONNECTIONS] for row in rows})]
        ratios = [row[RATIO] for _, _, rows in self.groups for row in rows if row[RATIO]]
        self.low = min([0.5, *ratios]) / 1.3
        self.high = max([2, *ratios]) * 1.1
        self.height = self.TOP + 40 + sum(
            len(rows) * self.BAR + self.GAP for _, _, rows in self.groups)

    def x(self, ratio):
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return self.LEFT + share * (WIDTH - self.LEFT - self.RIGHT)

    def axes(self):
        bottom = self.height - 34
        for ratio in decades(self.low, self.high):
            yield svg.line("axis" if ratio == 1 else "grid", self.x(ratio), self.TOP - 6,
                           self.x(ratio), bottom)
            yield svg.text(self.x(ratio), bottom + 18, f"{ratio:g}", text_anchor="middle")

    def bar(self, y, row):
        if not row[RATIO]:
            yield svg.text(self.x(1) + 6, y + 9, f"{row[PROGRAM]}: {row[-1][:60]}",
                           class_="small")
            return
        ends = sorted((self.x(1), self.x(row[RATIO])))
        yield svg.rect(ends[0], y, ends[1] - ends[0], self.BAR - 2, class_=class_of(row[PROGRAM]))
        beside, anchor = (ends[1] + 5, "start") if row[RATIO] >= 1 else (ends[0] - 5, "end")
        yield svg.text(beside, y + 9, f"{row[RATIO]:.2f}", text_anchor=anchor, class_="small")

    def draw(self):
        yield svg.text(20, 24, "Rate of each program, penstock's being 1; logarithmic",
                       class_="title")
        yield from legend(44, [name for name in COLOURS if name != "penstock"])
        yield from self.axes()
        y = self.TOP
        for title, n, rows in self.groups:
            middle = y + len(rows) * self.BAR / 2
            yield svg.text(20, middle, title.replace("Small responses, keep-alive, ", "small, ")
                           .split(":")[0])
            yield svg.text(self.LEFT - 50, middle, f"{n:,}", text_anchor="end")
            for row in rows:
                yield from self.bar(y, row)
                y += self.BAR
            y += self.GAP


# --- rate by connections ----------------------------------------------------------------


class Rates:
    """A pair of panels, http and https: both scales are logarithmic."""

    TITLES = ("Small responses, keep-alive, http", "Small responses, keep-alive, https")
    TOP, BOTTOM, HEIGHT, LEFT, PANEL = 84, 360, 410, 70, 340

    def __init__(self, tables):
        self.tables = [(title, [row for row in tables.get(title, []) if row[RATE]])
                       for title in self.TITLES]
        rows = [row for _, rows in self.tables for row in rows]
        self.rates = (min(row[RATE] for row in rows) / 1.2, max(row[RATE] for row in rows) * 1.2)
        self.loads = sorted({row[CONNECTIONS] for row in rows})

    def x(self, panel, connections):
        span = math.log(max(self.loads) / min(self.loads)) or 1
        share = math.log(connections / min(self.loads)) / span
        return self.LEFT + panel * (self.PANEL + 70) + share * self.PANEL

    def y(self, rate):
        low, high = self.rates
        share = math.log(rate / low) / math.log(high / low)
        return self.BOTTOM - share * (self.BOTTOM - self.TOP)

    def axes(self, panel):
        left, right = (self.x(panel, ends(self.loads)) for ends in (min, max))
        right = max(right, left + 1)
        for rate in decades(*self.rates):
            yield svg.line("grid", left, self.y(rate), right, self.y(rate))
            yield svg.text(left - 8, self.y(rate) + 4, short(rate), text_anchor="end")
        for load in self.loads:
            yield svg.text(self.x(panel, load), self.BOTTOM + 20, f"{load:,}",
                           text_anchor="middle")
        yield svg.line("axis", left, self.BOTTOM, right, self.BOTTOM)

    def curves(self, panel, rows):
        for program in COLOURS:
            points = [(self.x(panel, row[CONNECTIONS]), self.y(row[RATE]))
                      for row in rows if row[PROGRAM] == program]
            if points:
                yield svg.polyline(points, class_=class_of(program, "l"))
                yield from (svg.circle(x, y, 3.5, class_=class_of(program)) for x, y in points)

    def draw(self):
        yield svg.text(20, 24, "URLs a second by connections; logarithmic", class_="title")
        yield from legend(44, COLOURS)
        for panel, (title, rows) in enumerate(self.tables):
            yield svg.text(self.x(panel, min(self.loads)), self.TOP - 12,
                           title.replace("Small", "small"))
            yield from self.axes(panel)
            yield from self.curves(panel, rows)
        yield svg.text(self.x(1, max(self.loads)), self.BOTTOM + 42, "connections",
                       text_anchor="end")


def legend(y, programs):
    x = 20
    for program in programs:
        yield svg.rect(x, y - 10, 11, 11, class_=class_of(program))
        yield svg.text(x + 16, y, program)
        x += 38 + 7.2 * len(program)


def draw(record, directory):
    """Writes the plots; returns the names of their files."""
    tables = fetching_tables(record)
    if not any(row[RATE] for rows in tables.values() for row in rows):
        return []
    ratios, rates = Ratios(tables), Rates(tables)
    svg.write(os.path.join(directory, "ratios.svg"), WIDTH, ratios.height,
              "Rates of other programs over penstock's", STYLE, ratios.draw())
    svg.write(os.path.join(directory, "rate.svg"), WIDTH, rates.HEIGHT,
              "URLs a second by the number of connections", STYLE, rates.draw())
    return ["ratios.svg", "rate.svg"]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: plot.py RESULTS.JSON DIRECTORY")
    with open(sys.argv[1], encoding="utf-8") as results:
        draw(json.load(results), sys.argv[2])
