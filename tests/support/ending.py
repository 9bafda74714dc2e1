"""Programs that start others end them, however they are ended themselves."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CUT_SHORT = 130
"""The exit code of what Ctrl-C ends."""


def in_order(main: Callable[[], int]) -> int:
    """Run `main`; SIGTERM and SIGHUP end it as Ctrl-C does, so that it ends what it started.

    A shell starts what it runs in the background with SIGINT ignored; here it counts again.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return main()
    except KeyboardInterrupt:
        return CUT_SHORT
