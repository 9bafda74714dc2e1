"""The classifier's plots: said against was, and quality against the share kept local."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SIZE, LEFT, TOP = 300, 64, 44
_GAP = 90
COLOURS = ("#1e8449", "#7f8c8d", "#c0392b", "#2471a3", "#b9770e")


def svg(
    reliability: Sequence[Mapping[str, float]],
    curves: Mapping[str, Sequence[tuple[float, float]]],
) -> str:
    """Return both plots side by side.

    Args:
        reliability: bins with `said`, `was` and `share`.
        curves: by name, (share kept local, quality as a share of the large model's).
    """
    width, height = 2 * (LEFT + SIZE) + _GAP + 150, TOP + SIZE + 50
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_axes(LEFT, "said", "was right", (0.0, 1.0)),
        _line(LEFT, [(0.0, 0.0), (1.0, 1.0)], "#bbb", (0.0, 1.0)),
    ]
    for each in reliability:
        x, y = _at(LEFT, each["said"], each["was"], (0.0, 1.0))
        radius = 2 + 18 * each["share"] ** 0.5
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{COLOURS[0]}" '
            'fill-opacity="0.5"/>'
        )
    left = LEFT + SIZE + _GAP
    low = min(quality for curve in curves.values() for _, quality in curve)
    span = (int(low * 20) / 20, 1.05)
    parts += _axes(left, "share kept local", "quality (the API's = 1)", span)
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        parts.append(_line(left, curve, colour, span))
        y = TOP + 20 + 18 * index
        parts.append(f'<text x="{left + SIZE + 10}" y="{y}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _at(left: float, x: float, y: float, span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    return left + x * SIZE, TOP + SIZE - (y - low) / (high - low) * SIZE


def _axes(left: int, across: str, up: str, span: tuple[float, float]) -> list[str]:
    low, high = span
    parts = [
        f'<rect x="{left}" y="{TOP}" width="{SIZE}" height="{SIZE}" fill="none" stroke="#555"/>',
        f'<text x="{left + SIZE / 2}" y="{TOP + SIZE + 38}" text-anchor="middle">{across}</text>',
        f'<text x="{left}" y="{TOP - 14}">{up}</text>',
    ]
    for step in range(6):
        share = step / 5
        value = low + (high - low) * share
        x, y = left + share * SIZE, TOP + SIZE - share * SIZE
        parts += [
            f'<text x="{x:.0f}" y="{TOP + SIZE + 18}" text-anchor="middle">{share:.1f}</text>',
            f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{value:.2f}</text>',
        ]
    return parts


def _line(
    left: int, points: Sequence[tuple[float, float]], colour: str, span: tuple[float, float]
) -> str:
    marks = " ".join("{:.1f},{:.1f}".format(*_at(left, x, y, span)) for x, y in points)
    return f'<polyline points="{marks}" fill="none" stroke="{colour}" stroke-width="2"/>'
