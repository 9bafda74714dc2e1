"""Costs by volume: as text, as SVG, and as PNG where Pillow is installed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Volume = tuple[float, float, float]
"""Tokens a month, and what they cost on the API and on GPUs, in USD."""
ROWS, COLUMNS = 12, 60
WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 56, 64
API, GPUS, MARK, INK, GRID = "#c0392b", "#2471a3", "#7f8c8d", "#2c3e50", "#e5e8e8"
FONT = 13
BILLION = 1e9
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


def text(curve: Sequence[Volume]) -> str:
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
    most = f"{curve[-1][0] / BILLION:.3g}"
    foot = f"{'':>10} +{'-' * COLUMNS}\n{'':>12}0{most:>{COLUMNS - 1}}"
    return "\n".join(["USD a month by billion tokens a month: a API, g GPUs", *lines, foot])


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, in pixels from the top left."""

    points: tuple[Point, ...]
    colour: str
    width: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `at` is on its base line."""

    at: Point
    said: str
    anchor: Anchor = "start"
    colour: str = INK


def svg(curve: Sequence[Volume], marks: dict[str, float]) -> str:
    """Return the costs as an SVG document; `marks` has volumes to be named, in tokens a month."""
    parts = []
    for each in _drawing(curve, marks):
        if isinstance(each, Line):
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in each.points)
            parts.append(
                f'<polyline fill="none" stroke="{each.colour}" stroke-width="{each.width}" '
                f'points="{points}"/>'
            )
        else:
            parts.append(
                f'<text x="{each.at[0]:.1f}" y="{each.at[1]:.1f}" fill="{each.colour}" '
                f'text-anchor="{each.anchor}">{escape(each.said)}</text>'
            )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="{FONT}">'
    )
    paper = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([head, paper, *parts, "</svg>\n"])


def png(curve: Sequence[Volume], marks: dict[str, float]) -> bytes:
    """Return the same as a PNG image of twice the size.

    Raises:
        ImportError: Pillow is not installed.
    """
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415  optional, and 60 ms to import

    scale = 2
    image = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT * scale)
    corner = {"start": "ls", "middle": "ms", "end": "rs"}
    for each in _drawing(curve, marks):
        if isinstance(each, Line):
            points = [(x * scale, y * scale) for x, y in each.points]
            draw.line(points, fill=each.colour, width=each.width * scale, joint="curve")
        else:
            at = (each.at[0] * scale, each.at[1] * scale)
            draw.text(at, each.said, fill=each.colour, font=font, anchor=corner[each.anchor])
    written = BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


def _drawing(curve: Sequence[Volume], marks: dict[str, float]) -> Iterator[Line | Text]:
    """Yield axes, both costs and the marks."""
    top, most = _top(curve), curve[-1][0] or 1.0

    def at(tokens: float, usd: float) -> Point:
        across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + tokens / most * across, HEIGHT - BOTTOM - usd / top * down

    for usd in _ticks(top):
        x, y = at(0, usd)
        yield Line(((x, y), (WIDTH - RIGHT, y)), GRID)
        yield Text((x - 8, y + 4), f"{usd:,.10g}", "end")
    for tokens in _ticks(most):
        x, y = at(tokens, 0)
        yield Text((x, y + 20), f"{tokens / BILLION:.10g}", "middle")
    yield Line((at(0, top), at(0, 0), at(most, 0)), INK)
    for label, tokens in marks.items():
        if 0 < tokens <= most:
            yield Line((at(tokens, 0), at(tokens, top)), MARK)
            x, y = at(tokens, top)
            yield Text((x, y - 8), f"{label}: {tokens / BILLION:.3g}", _beside(x), MARK)
    yield Line(tuple(at(tokens, api) for tokens, api, _ in curve), API, 2)
    yield Line(tuple(at(tokens, usd) for tokens, usd in _steps(curve)), GPUS, 2)
    yield Text((LEFT, 24), "USD a month")
    yield Text((LEFT + 110, 24), "the API", colour=API)
    yield Text((LEFT + 180, 24), "GPUs of your own", colour=GPUS)
    yield Text((WIDTH / 2, HEIGHT - 16), "billion tokens a month", "middle")


def _ticks(most: float) -> list[float]:
    """Return four to ten round numbers from 0 to `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    step = next(
        power * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if most / power / part < _TICKS
    )
    return [step * number for number in range(int(most / step) + 1)]


_TICKS = 8


def _steps(curve: Sequence[Volume]) -> Iterator[Point]:
    """Yield the cost of GPUs, which rises by whole ones."""
    before = curve[0][2]
    for tokens, _, local in curve:
        if local != before:
            yield tokens, before
        yield tokens, local
        before = local


def _beside(x: float) -> Anchor:
    """Return the anchor with which a label at `x` stays on the paper."""
    edge = 120
    if x < LEFT + edge:
        return "start"
    return "end" if x > WIDTH - RIGHT - edge else "middle"


def _top(curve: Sequence[Volume]) -> float:
    return max(max(api, local) for _, api, local in curve) or 1.0
