"""How many examples a fuzz test draws: few in `make test`, more in `make fuzz`."""

from __future__ import annotations

import os

FACTOR = "HINF_FUZZ_FACTOR"


def examples(count: int) -> int:
    """Return so many examples, times the factor that the environment says."""
    return count * int(os.environ.get(FACTOR, "1"))
