"""One target under atheris, in a process of its own: `python -m tests.fuzz.guided TARGET OPTIONS`.

Options are libFuzzer's. The process ends as libFuzzer ends it: 0 when the time is up, another code
when the target failed, with the bytes in a file of the working directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris


def main() -> None:
    """Run until libFuzzer has enough."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["hybrid_router"]):
        from tests.fuzz import targets  # noqa: PLC0415  it is this import that is instrumented
    corpus = Path(name)
    corpus.mkdir(exist_ok=True)
    for index, seed in enumerate(targets.SEEDS[name]):
        (corpus / f"seed-{index}").write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
