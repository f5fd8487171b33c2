# SPDX-License-Identifier: Apache-2.0
"""The means of the plots: pieces of SVG, in colours that can be read on white and on black."""
from xml.sax.saxutils import escape

GREY = "#737a84"
STYLE = f"""
  text {{ font: 13px sans-serif; fill: {GREY}; }}
  .title {{ font-weight: bold; font-size: 14px; }}
  .axis {{ stroke: {GREY}; fill: none; }}
  .grid {{ stroke: {GREY}; stroke-opacity: 0.25; }}
"""


def _attributes(given):
    return "".join(f' {key.rstrip("_").replace("_", "-")}="{value}"'
                   for key, value in given.items())


def text(x, y, content, **attributes):
    return f'<text x="{x:.1f}" y="{y:.1f}"{_attributes(attributes)}>{escape(content)}</text>'


def line(kind, x1, y1, x2, y2):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def rect(x, y, width, height, **attributes):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f"{_attributes(attributes)}/>")


def circle(x, y, radius, **attributes):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"{_attributes(attributes)}/>'


def polyline(points, **attributes):
    at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline{_attributes(attributes)} points="{at}"/>'


def write(path, width, height, title, style, pieces):
    """A picture; the style comes after the one that all have."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" role="img">',
             f"<title>{escape(title)}</title>",
             "<style>" + STYLE + style.lstrip("\n") + "</style>", *pieces, "</svg>", ""]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
