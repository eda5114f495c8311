"""The plot for the README: one panel per workload, one bar per server."""

from __future__ import annotations

import textwrap
from pathlib import Path

from .report import Row
from .servers import BY_NAME as SERVER
from .workloads import BY_NAME as WORKLOAD

COLOURS = {"fastserve": "#0b6e4f", "uvicorn": "#7a8794"}
PEER, LIMIT, INK = "#b8c1ca", "#e3e7eb", "#24292f"
COLUMNS = 3


def draw(rows: list[Row], path: Path, caption: str) -> bool:
    """Write an SVG to `path`. False, with nothing written, if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "fastserve",
            "svg.fonttype": "none",
            "font.family": ["DejaVu Sans", "sans-serif"],
            "font.size": 9,
            "text.color": INK,
        }
    )
    from matplotlib import pyplot

    names = [name for name in WORKLOAD if any(row.workload == name and row.values for row in rows)]
    if not names:
        return False
    height = -(-len(names) // COLUMNS)
    figure, axes = pyplot.subplots(
        height, COLUMNS, figsize=(11, 2.35 * height + 0.5), squeeze=False, layout="constrained"
    )
    flat = list(axes.flat)
    for axis, name in zip(flat, names, strict=False):
        panel(axis, [row for row in rows if row.workload == name and row.values], name)
    for axis in flat[len(names) :]:
        axis.set_axis_off()
    figure.supxlabel(textwrap.fill(caption, 170), fontsize=7, color="#57606a")
    figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
    pyplot.close(figure)
    return True


def panel(axis, rows: list[Row], name: str) -> None:
    """Horizontal bars, best on top; the limits pale, fastserve dark."""
    idle = WORKLOAD[name].kind == "idle"
    key = "bytes_per_connection" if idle else "requests_per_second"
    rows = sorted(rows, key=lambda row: row.values[key], reverse=idle)
    values = [row.values[key] for row in rows]
    labels = [SERVER[row.server].label for row in rows]
    colours = [colour(row.server) for row in rows]
    axis.barh(range(len(rows)), values, color=colours, height=0.72)
    axis.set_yticks(range(len(rows)), labels)
    axis.set_xlim(0, max(values) * 1.25)
    unit = "KiB per connection, less is better" if idle else f"{WORKLOAD[name].units}/s"
    axis.set_title(f"{WORKLOAD[name].title}\n{unit}", fontsize=9, loc="left")
    for place, value in enumerate(values):
        text = f"{value / 1024:,.1f}" if idle else f"{value:,.0f}"
        axis.text(value, place, " " + text, va="center", fontsize=8)
    axis.xaxis.set_visible(False)
    axis.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def colour(server: str) -> str:
    return LIMIT if SERVER[server].limit else COLOURS.get(server, PEER)
