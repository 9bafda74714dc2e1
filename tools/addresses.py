"""No machine's addresses, home paths or secrets in committed files.

A package comes from wherever the reader's pip, Go or apt is configured to look; a path below a
home directory exists on one machine only; a secret in a file is a secret no more.
Run as `python -m tools.addresses`; prints `file:line: what was found` and exits 1 on a finding.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import repo

# Written in parts, so that this file does not find itself.
RULES = (
    (
        "the address of a package registry",
        re.compile(
            r"https?://[^\s\"'<>)]*(?:"
            r"pypi\.org/simple|pythonhosted\.org|proxy\.golang\.org|registry\.npmjs\.org"
            r"|/simple/?(?=[\s\"'<>)]|$)|artifactory|/repository/pypi)",
        ),
    ),
    (
        "a setting that names a package registry",
        re.compile(
            r"(?:--(?:extra-)?index" + r"-url[ =]|--find" + r"-links[ =]|GOPROXY" + r"=[a-z\"'])"
        ),
    ),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE" + r" KEY-----")),
    (
        "an access key",
        re.compile(
            r"\b(?:sk-(?:proj-|ant-)?[A-Za-z0-9_]{32,}|hf_[A-Za-z0-9]{30,}"
            r"|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16})\b"
        ),
    ),
    # What images use inside a container is not a path of a machine.
    (
        "a path below a home directory",
        re.compile(
            r"(?<![\w.$}~-])/(?:home/(?!nonroot|vllm)[a-z]|Users/[A-Za-z]"
            r"|root/(?!\.cache/(?:huggingface|vllm)))[\w.-]*"
        ),
    ),
)

# Tests hold made-up ones, to show that they are refused.
CREDENTIALS = (
    "credentials in an address",
    re.compile(r"[a-z]://[^\s/:@\"'{}$<>]+:[^\s/:@\"'{}$<>]+@"),
)


def machine_rule(checkout: Path) -> tuple[str, re.Pattern[str]]:
    """Make the rule against the path of this very checkout."""
    return "the path of this checkout", re.compile(re.escape(str(checkout)) + r"(?![\w-])")


def findings(path: Path, text: str, checkout: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) for each line of a file's text that breaks a rule."""
    rules = [*RULES, machine_rule(checkout)]
    if not path.is_relative_to(checkout / "tests"):
        rules.append(CREDENTIALS)
    for number, line in enumerate(text.splitlines(), start=1):
        for name, pattern in rules:
            if pattern.search(line):
                yield number, name


def main() -> int:
    """Check every text file of the repository; values found are not printed."""
    found = 0
    for path, text in repo.text_files(repo.files()):
        for line, problem in findings(path, text, repo.ROOT):
            print(f"{path.relative_to(repo.ROOT)}:{line}: {problem}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
