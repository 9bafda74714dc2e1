"""A bar for each policy: its cost as a multiple of the optimum, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTH, ROW, LEFT, RIGHT, TOP = 720, 34, 130, 90, 56


REFERENCE = {"fluid": "the optimum", "events": "the optimum's schedule"}
"""What costs are multiples of."""
OURS, PEER, BOUND = "#1e8449", "#7f8c8d", "#2471a3"


def svg(summary: Mapping[str, Mapping[str, float]], model: str) -> str:
    """Return the plot: bars are geometric means, lines reach to the worst cell."""
    reference = REFERENCE[model]
    rows = sorted(summary.items(), key=lambda row: row[1]["geometric_mean"])
    most = max(each["worst"] for _, each in rows)
    height = TOP + ROW * len(rows) + 20

    def x(ratio: float) -> float:
        return LEFT + math.log(max(ratio, 1.0)) / math.log(max(most, 1.1)) * (WIDTH - LEFT - RIGHT)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        (
            f'<text x="{WIDTH / 2}" y="24" text-anchor="middle">Cost as a multiple of {reference}: '
            "mean of all cells (bar), worst cell (line)</text>"
        ),
    ]
    for index, (name, each) in enumerate(rows):
        y = TOP + index * ROW
        mean, worst = each["geometric_mean"], each["worst"]
        colour = OURS if name == "hybrid" else PEER if "gpu_hours" in each else BOUND
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>',
            (
                f'<rect x="{LEFT}" y="{y}" width="{max(x(mean) - LEFT, 1):.1f}" height="18" '
                f'fill="{colour}"/>'
            ),
            (
                f'<path d="M{x(mean):.1f},{y + 9} H{x(worst):.1f}" stroke="{colour}" '
                'stroke-width="2"/>'
            ),
            f'<text x="{x(worst) + 6:.1f}" y="{y + 13}">{mean:.2f} / {worst:.1f}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
