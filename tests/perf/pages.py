"""Pages of metrics as a vLLM engine of release 0.32 and a router wrote them, with other figures."""

from __future__ import annotations

import re
import time
from pathlib import Path

from hybrid_operator.metrics import diverted, report, vllm

RECORDED = Path(__file__).parent / "recorded"
TOKENS_PER_S = 40.0
"""That an engine of the bench generates: far from what would add a replica."""
READ_BY_LOOKS = (diverted.REQUESTS, diverted.TOKENS, diverted.PASSED)
HASH = re.compile(rf'({report.TABLE}\{{.*hash=")[^"]*')


def _says(page: str, name: str, value: float) -> str:
    """Return a page on which all lines of a metric have that value."""
    return re.sub(rf"^({name}(?:\{{.*\}})?) \S+$", rf"\g<1> {value}", page, flags=re.MULTILINE)


def _router() -> str:
    """Return a router's page that tells of no trouble, and of nothing that grows."""
    page = (RECORDED / "router.txt").read_text()
    for name in (report.REQUESTS, report.SECRET_MISSING, *READ_BY_LOOKS):
        page = _says(page, name, 0.0)
    return _says(page, report.UP, 1.0)


ROUTER = _router()


def router(table_hash: str | None) -> bytes:
    """Return what a router says that serves a table."""
    return HASH.sub(rf"\g<1>{table_hash}", ROUTER).encode()


class EnginePage:
    """What all engines say; it grows with the time, and is made once a second."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._made = -1
        self._page = b""
        self._recorded = (RECORDED / "vllm-0.32.txt").read_text()

    def __call__(self) -> bytes:
        """Return the page of this second."""
        second = int(time.monotonic() - self._began)
        if second != self._made:
            self._made, self._page = second, self._at(second).encode()
        return self._page

    def _at(self, second: int) -> str:
        page, tokens = self._recorded, TOKENS_PER_S * second
        values = {
            vllm.RUNNING: 1.0,
            vllm.KV_USAGE[0]: 0.1,
            vllm.PROMPT: tokens * 4,
            vllm.BY_SOURCE: 0.0,
            f'{vllm.BY_SOURCE}{{.*source="local_compute"}}': tokens * 4,
            vllm.GENERATED: tokens,
            vllm.TTFT: float(second),
            vllm.ITL[0]: tokens,
        }
        for name, value in values.items():
            page = _says(page, name, value)
        return page
