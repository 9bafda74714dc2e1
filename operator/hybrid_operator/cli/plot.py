"""Costs by volume, as text and as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS, COLUMNS = 12, 60
WIDTH, HEIGHT, MARGIN = 720, 400, 70


def text(curve: Sequence[tuple[float, float, float]]) -> str:
    """Return a plot for a terminal: `a` is the API, `g` GPUs, `*` both."""
    top = _top(curve)
    grid = [[" "] * COLUMNS for _ in range(ROWS)]
    for column in range(COLUMNS):
        _, api, local = curve[round(column * (len(curve) - 1) / (COLUMNS - 1))]
        for mark, usd in (("a", api), ("g", local)):
            row = ROWS - 1 - round(usd / top * (ROWS - 1))
            grid[row][column] = "*" if grid[row][column] not in {" ", mark} else mark
    lines = [f"{top * (ROWS - 1 - row) / (ROWS - 1):>10,.0f} |{''.join(cells)}".rstrip()
             for row, cells in enumerate(grid)]  # fmt: skip
    most = f"{curve[-1][0] / 1e9:.3g}"
    foot = f"{'':>10} +{'-' * COLUMNS}\n{'':>12}0{most:>{COLUMNS - 1}}"
    return "\n".join(["USD a month by billion tokens a month: a API, g GPUs", *lines, foot])


def svg(curve: Sequence[tuple[float, float, float]]) -> str:
    """Return the same as an SVG document."""
    top, most = _top(curve), curve[-1][0] or 1.0
    across, down = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def line(index: int, colour: str) -> str:
        points = " ".join(
            f"{MARGIN + point[0] / most * across:.1f},"
            f"{HEIGHT - MARGIN - point[index] / top * down:.1f}"
            for point in curve
        )
        return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'

    ticks = [
        f'<text x="{MARGIN - 8}" y="{HEIGHT - MARGIN - share * down:.1f}" text-anchor="end">'
        f"{top * share:,.0f}</text>"
        f'<text x="{MARGIN + share * across:.1f}" y="{HEIGHT - MARGIN + 20}" '
        f'text-anchor="middle">{most * share / 1e9:.3g}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
    )
    axes = f"M{MARGIN},{MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}"
    title = "USD a month, by billion tokens a month"
    parts = [
        head,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="{axes}" fill="none" stroke="black"/>',
        *ticks,
        line(1, "#c0392b"),
        line(2, "#2471a3"),
        f'<text x="{WIDTH / 2}" y="24" text-anchor="middle">{title}</text>',
        f'<text x="{MARGIN + 12}" y="{MARGIN + 4}" fill="#c0392b">API</text>',
        f'<text x="{MARGIN + 12}" y="{MARGIN + 22}" fill="#2471a3">GPUs</text>',
        "</svg>\n",
    ]
    return "\n".join(parts)


def _top(curve: Sequence[tuple[float, float, float]]) -> float:
    return max(max(api, local) for _, api, local in curve) or 1.0
