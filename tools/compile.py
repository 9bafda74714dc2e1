"""`python -m tools.compile`: the router with its hot path compiled by mypyc, in build/compiled.

What is there is the whole package: the sources as they stand, and beside those in MODULES an
extension module that Python prefers. Nothing else differs, so the tests of `router/` are those of
`build/compiled`, too: `make test-compiled` runs them there. A tree that has not changed since is
left as it is. Needs a C compiler and the headers of the Python that runs this; with `--missing`,
names what Debian calls those of them that are not here, and compiles nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tools import repo

PACKAGE = "hybrid_router"
SOURCE = repo.ROOT / "router"
BUILD = repo.ROOT / "build" / "mypyc"
OUT = repo.ROOT / "build" / "compiled"
STAMP = OUT / "stamp"
EXPECTED = "HINF_EXPECTS_COMPILED"
"""Set where a test run is to have the compiled modules: a test then checks that it does."""

MODULES = (
    "admission", "answering", "calibrating", "chunks", "deciding", "judging", "keys", "pipeline",
    "quotes", "ticker", "unanswered",
    "classify/cut", "classify/embedded", "classify/features", "classify/model", "classify/prompt",
    "classify/score", "classify/words",
    "core/balance", "core/breaker", "core/calibration", "core/datapolicy", "core/decision",
    "core/limits", "core/ramp", "core/terms",
    "datapolicy/automaton", "datapolicy/budget", "datapolicy/document", "datapolicy/findings",
    "datapolicy/gate", "datapolicy/labels", "datapolicy/overlaps", "datapolicy/scanner",
    "datapolicy/source", "datapolicy/triggers",
    "discovery/registry",
    "endpoints/inference", "endpoints/routes",
    "openai/answer", "openai/body", "openai/form", "openai/plain", "openai/prefix",
    "openai/request", "openai/sse", "openai/tokens",
    "outcomes/again", "outcomes/desk", "outcomes/receipts",
    "server/body", "server/connection", "server/exchange", "server/request", "server/server",
    "telemetry/decisions", "telemetry/diverted", "telemetry/drift", "telemetry/genai",
    "telemetry/metrics", "telemetry/series", "telemetry/trace",
    "translate/outgoing", "translate/surfaces",
    "upstream/attempt", "upstream/budget", "upstream/client", "upstream/failover",
    "upstream/failures", "upstream/job", "upstream/lane", "upstream/outgoing", "upstream/pace",
    "upstream/pool", "upstream/queue", "upstream/relay", "upstream/resume", "upstream/wire",
)  # fmt: skip
"""What a request passes. Left out: types that msgspec decodes into, for mypyc does not keep what
stands between the brackets of an annotation; and dataclasses with slots.
"""

_SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

setup(
    name="router",
    ext_modules=mypycify(["--config-file=mypy.ini", *{paths!r}], opt_level="2", debug_level="0"),
    script_args=["--quiet", "build_ext", "--build-lib=lib", "--build-temp=objects"],
)
"""
_MYPY = """\
[mypy]
strict = true
mypy_path = .
explicit_package_bases = true
[mypy-httptools.*,re2.*,uvloop.*]
ignore_missing_imports = true
"""


def digest() -> str:
    """Return what the result depends on, as one hash."""
    found = hashlib.sha256(f"{sys.version} {MODULES}".encode())
    for path in (Path(__file__), repo.ROOT / "requirements" / "dev.txt", *_sources()):
        found.update(f"{path.name}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def compile_router() -> None:
    """Compile, unless the sources are those of the last time.

    Raises:
        subprocess.CalledProcessError: mypyc or the C compiler failed; what they said stands above.
    """
    wanted = digest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    for folder in (BUILD, OUT):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE / PACKAGE, BUILD / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    (BUILD / "mypy.ini").write_text(_MYPY)
    (BUILD / "setup.py").write_text(
        _SETUP.format(paths=[f"{PACKAGE}/{name}.py" for name in MODULES])
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "setup.py"], cwd=BUILD, env=environment, check=True)
    shutil.copytree(BUILD / PACKAGE, OUT / PACKAGE)
    shutil.copytree(BUILD / "lib", OUT, dirs_exist_ok=True)
    shutil.rmtree(BUILD)
    STAMP.write_text(wanted)


def missing() -> list[str]:
    """Return the Debian packages of what compiling needs and this machine or Python has not."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    compiler = [] if shutil.which("cc") else ["gcc", "libc6-dev"]
    return compiler if header.exists() else [*compiler, "python3-dev"]


def main(arguments: Sequence[str]) -> int:
    """Compile and say where to, or with `--missing` say what that needs."""
    packages = missing()
    if "--missing" in arguments:
        print(*packages)
        return 0
    if packages:
        print(f"compile: needs the packages {' '.join(packages)}", file=sys.stderr)
        return 1
    compile_router()
    print(f"compiled: {OUT.relative_to(repo.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
