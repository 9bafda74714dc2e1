"""Runs under vLLM's own Python: says what the parser of `vllm serve` makes of arguments.

    python real_parser.py options           -> JSON list of its option names
    python real_parser.py parse < argvs.json -> JSON list, per argv: null, or why it does not parse

The answer is the last line of standard output. Nothing of an engine is started.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from typing import Any

PLACES = (
    "vllm.utils.argparse_utils",
    "vllm.utils",
)
"""Modules that had FlexibleArgumentParser, the newest first."""
MAKERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
"""Modules that had make_arg_parser, the newest first."""


def parser() -> Any:
    """Return the parser of `vllm serve`."""
    _tolerate_names()
    kind = _first(PLACES, "FlexibleArgumentParser")
    made = _first(MAKERS, "make_arg_parser")(kind(prog="vllm serve"))
    if all(action.option_strings for action in made._actions):
        # Before 0.9.2 the command itself added the model, and the rest came from the maker.
        made.add_argument("model_tag", nargs="?")
    return made


def _tolerate_names() -> None:
    """Let old releases register configurations that transformers has got since under that name."""
    auto = importlib.import_module("transformers").AutoConfig
    register = auto.register
    auto.register = lambda name, kind, **_: register(name, kind, exist_ok=True)


def _first(places: tuple[str, ...], name: str) -> Any:
    for place in places:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(place), name)
    raise SystemExit(f"this vLLM has no {name}")


def options(known: Any) -> list[str]:
    """Return every option that the parser has."""
    return sorted({name for action in known._actions for name in action.option_strings})


def failure(known: Any, argv: list[str]) -> str | None:
    """Return why `argv` does not parse, abbreviations refused; None where it does."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            _, rest = known.parse_known_args(argv)
    except SystemExit:
        return said.getvalue().strip().rsplit("\n", maxsplit=1)[-1] or "it ends the program"
    except ValueError as error:
        return str(error)
    names = [word.split("=", 1)[0] for word in argv if word.startswith("-")]
    strange = [name for name in names if name not in options(known)]
    return f"unknown: {strange or rest}" if strange or rest else None


def main() -> None:
    """Answer."""
    known = parser()
    if sys.argv[1] == "options":
        sys.stdout.write(json.dumps(options(known)) + "\n")
    else:
        sys.stdout.write(json.dumps([failure(known, argv) for argv in json.load(sys.stdin)]) + "\n")


if __name__ == "__main__":
    main()
