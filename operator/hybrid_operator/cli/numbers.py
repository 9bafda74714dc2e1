"""Numbers on the command line."""

from __future__ import annotations

import math

import click


class Number(click.FloatRange):
    """A number within bounds; not infinite, and not NaN, which no bound keeps out."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail with a sentence."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number
