#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what fairness.py has recorded: fairness_plot.py RECORD SVG

The colours are mid-tones, legible on light and on dark.
"""
import json
import math
import sys

from svg import line, polyline, text, write

WIDTH, HEIGHT = 880, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 58

STYLE = """
  .on { stroke: #2f7fe0; stroke-width: 2.5; fill: none; }
  .off { stroke: #cf5c36; stroke-width: 2.5; fill: none; }
  .on-name { fill: #2f7fe0; }
  .off-name { fill: #cf5c36; }
"""
CURVES = (("lanes_on", "on", "a lane for each origin", "start"),
          ("lanes_off", "off", "one lane for all", "end"))


def decade_text(seconds):
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


class Plot:
    """The share of fast jobs that have begun within a wait."""

    def __init__(self, record):
        self.record = record
        waits = [w for name, *_ in CURVES for w in record[name]["wait_percentiles"]]
        self.low = math.floor(math.log10(max(min(waits), 0.001)))
        self.high = math.ceil(math.log10(max(waits)))

    def x(self, seconds):
        share = (math.log10(max(seconds, 10**self.low)) - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, percent):
        return HEIGHT - BOTTOM - percent / 100 * (HEIGHT - TOP - BOTTOM)

    def axes(self):
        for percent in range(0, 101, 25):
            yield line("grid", LEFT, self.y(percent), WIDTH - RIGHT, self.y(percent))
            yield text(LEFT - 8, self.y(percent) + 4, f"{percent} %", text_anchor="end")
        for decade in range(self.low, self.high + 1):
            x = self.x(10**decade)
            yield line("grid", x, self.y(0), x, self.y(100))
            anchor = "end" if decade == self.high else "middle"
            yield text(x, self.y(0) + 20, decade_text(10**decade), text_anchor=anchor)
        yield line("axis", LEFT, self.y(0), WIDTH - RIGHT, self.y(0))
        yield line("axis", LEFT, self.y(0), LEFT, self.y(100))
        yield text(WIDTH - RIGHT, self.y(0) + 42, "wait from acceptance to the start of the fetch, "
                   "logarithmic", text_anchor="end")

    def curves(self):
        for name, kind, label, anchor in CURVES:
            waits = self.record[name]["wait_percentiles"]
            yield polyline([(self.x(w), self.y(i)) for i, w in enumerate(waits)], class_=kind)
            side = 12 if anchor == "start" else -12
            x = self.x(waits[50 if anchor == "end" else 90])
            yield text(x + side, self.y(50 if anchor == "end" else 90) + 4,
                       f"{label}: median {decade_text(float(f'{waits[50]:.3g}'))}",
                       text_anchor=anchor, class_=kind + "-name")

    def draw(self):
        options = self.record["options"]
        yield text(LEFT, TOP - 20, f"Jobs of {options['origins']} fast origins behind "
                   f"{options['slow']:,} of a slow one: how many have begun".replace(",", " "),
                   class_="title")
        yield from self.axes()
        yield from self.curves()


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: fairness_plot.py RECORD SVG")
    with open(sys.argv[1], encoding="ascii") as file:
        plot = Plot(json.load(file))
    write(sys.argv[2], WIDTH, HEIGHT, "Waits of fast origins' jobs, with and without lanes", STYLE,
          plot.draw())


if __name__ == "__main__":
    main()
