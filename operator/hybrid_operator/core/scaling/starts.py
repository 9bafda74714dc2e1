"""How long a replica takes from being asked for until it serves: learnt from counts alone."""

from __future__ import annotations

from typing import NamedTuple

GAIN = 0.3
"""Share of a start's distance from what was known that is learnt."""
LEAST, MOST = 10.0, 1800.0
"""Seconds. What takes longer waits for a GPU or for a repair: it is no start."""


class Starts(NamedTuple):
    """Replicas that are on their way, and how long the ones before took."""

    seconds: float = 0.0
    """Of a start; 0: none was seen."""
    pending: tuple[tuple[int, float], ...] = ()
    """By number of the replica, rising: when it was asked for."""
    asked: int = -1
    """Replicas asked for when it was last looked at; -1: never."""

    def after(self, began: float, replicas: int, ready: int) -> Starts:
        """Return what is known after a look.

        Args:
            began: when the time that the look covers began; in it the last replicas were asked for.
            replicas: asked for.
            ready: that serve.
        """
        seconds, left = self.seconds, []
        for number, at in self.pending:
            if number > ready:
                if number <= replicas:
                    left.append((number, at))
            elif LEAST <= began - at <= MOST:
                seconds += (GAIN if seconds else 1.0) * (began - at - seconds)
        if self.asked >= 0:
            left += [(number, began) for number in range(self.asked + 1, replicas + 1)]
        return Starts(seconds, tuple(left), replicas)


NONE_SEEN = Starts()
