"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Give back what the C library keeps of freed memory, where it is glibc.

    Compiling the data policy's automata and reading the classifier's model take some 25 MB for a
    moment, of which glibc would keep most for good: small things that stay lie at the top of it.
    """
    try:
        give_back = ctypes.CDLL(None).malloc_trim
    except AttributeError:  # another C library, which has its own ways
        return
    give_back(0)
