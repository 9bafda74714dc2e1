"""The documentation is true: links lead somewhere, commands exist, example resources are valid.

Commands are the lines after `$ ` in blocks marked ```console. Of `make`, the targets must exist; of
`hinf` and `hinf-router`, subcommands and options must stand in their `--help`; of every command, a
path that begins with a folder of the repository must exist. Blocks marked ```yaml that hold a
HybridInference must be valid, unknown fields included.
Run as `python -m tools.docs`; prints `file:line: problem` and exits 1 on a finding.
"""

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import yaml

from hybrid_operator.api.base import KIND
from hybrid_operator.api.read import SpecError, parse
from hybrid_operator.api.resource import HybridInferenceSpec
from tools import repo

PROGRAMS = ("hinf", "hinf-router")
SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")"}
REDIRECTIONS = {">", ">>", "<", "<<<"}

Finding = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a Markdown file; `line` is that of its opening fence."""

    language: str
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A Markdown file: its fenced blocks, and its prose with those blocks blanked out."""

    blocks: tuple[Block, ...]
    prose: tuple[str, ...]


def read(text: str) -> Document:
    """Divide Markdown into prose and fenced blocks; line numbers are kept."""
    blocks: list[Block] = []
    prose: list[str] = []
    fence, language, start, inside = "", "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"\s*(`{3,}|~{3,})\s*([\w-]*)", line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2]:
                blocks.append(Block(language, start, tuple(inside)))
                fence = ""
            else:
                inside.append(line)
        elif mark:
            fence, language, start, inside = mark[1], mark[2], number, []
        prose.append("" if fence or mark else re.sub(r"`[^`]*`", "``", line))
    return Document(tuple(blocks), tuple(prose))


def anchors(text: str) -> set[str]:
    """Return the fragments that a Markdown file's headings and explicit ids answer to."""
    found: set[str] = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    fences = re.compile(r"^\s*(`{3,}|~{3,}).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", fences.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeated = sum(1 for other in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", other))
        found.add(f"{slug}-{repeated}" if slug in found else slug)
    return found


def link_findings(path: Path, document: Document, root: Path) -> Iterator[Finding]:
    """Yield the links of one file that lead nowhere; addresses outside are not followed."""
    pattern = re.compile(
        r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|^\[[^]]+\]: *(\S+)|src=\"([^\"]+)\""
    )
    for number, line in enumerate(document.prose, start=1):
        for match in pattern.finditer(line):
            link = next(filter(None, match.groups()))
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            name, _, fragment = unquote(link).partition("#")
            base = root if name.startswith("/") else path.parent
            target = (base / name.lstrip("/")).resolve() if name else path
            if not target.exists():
                yield number, f"the link {link} leads to no file"
            elif not target.is_relative_to(root):
                yield number, f"the link {link} leads out of the repository"
            elif (
                fragment and target.suffix == ".md" and fragment not in anchors(target.read_text())
            ):
                yield number, f"the link {link} names a heading that is not there"


def commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, words) for each simple command after `$ ` in a console block."""
    pending, start = "", 0
    for offset, line in enumerate(block.lines, start=1):
        if pending:
            pending += " " + line.strip()
        elif line.lstrip().startswith("$ "):
            pending, start = line.lstrip()[2:], block.line + offset
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip()
            continue
        if pending:
            for words in simple_commands(pending):
                yield start, words
            pending = ""


def simple_commands(line: str) -> Iterator[list[str]]:
    """Divide a shell line at pipes and separators, without leading assignments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token not in SEPARATORS:
            words.append(token)
            continue
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        if words:
            yield words
        words = []


@functools.cache
def make_targets(root: Path) -> frozenset[str]:
    """Return the Makefile's targets; a pattern keeps its `%`."""
    text = (root / "Makefile").read_text()
    rules = re.findall(r"^([A-Za-z][\w%. -]*):(?!=)", text, re.MULTILINE)
    return frozenset(target for rule in rules for target in rule.split())


@functools.cache
def help_of(root: Path, program: str, words: tuple[str, ...]) -> tuple[bool, str]:
    """Ask a program for its help; (known, text)."""
    command = [str(root / ".venv" / "bin" / program), *words, "--help"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode == 0, done.stdout + done.stderr


def command_problems(words: list[str], root: Path) -> Iterator[str]:
    """Yield what a documented command names that does not exist."""
    program, *rest = words
    name = Path(program).name
    if name == "make":
        for target in (word for word in rest if not word.startswith("-") and "=" not in word):
            if not any(_matches(target, known) for known in make_targets(root)):
                yield f"make has no target {target}"
    elif name in PROGRAMS:
        yield from program_problems(name, rest, root)
    for word in rest:
        if (root / word.split("/")[0]).is_dir() and "/" in word and not (root / word).exists():
            yield f"{word} does not exist"


def program_problems(program: str, rest: list[str], root: Path) -> Iterator[str]:
    """Yield the subcommands and options that a program of ours does not have."""
    ends = (i for i, word in enumerate(rest) if word.startswith("-") or word in REDIRECTIONS)
    subcommand = rest[: next(ends, len(rest))]
    known, text = help_of(root, program, tuple(subcommand))
    if not known:
        said = text.strip().splitlines()[-1:] or ["no output"]
        yield f"{' '.join([program, *subcommand])} --help fails: {said[0]}"
        return
    for option in (word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)):
        if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text):
            yield f"{' '.join([program, *subcommand])} has no option {option}"


def _matches(target: str, known: str) -> bool:
    return re.fullmatch(re.escape(known).replace("%", ".+"), target) is not None


def resource_problems(block: Block) -> Iterator[str]:
    """Yield what is wrong with the HybridInference resources of a YAML block."""
    try:
        documents = list(yaml.safe_load_all("\n".join(block.lines)))
    except yaml.YAMLError as error:
        yield f"the block is no YAML: {error}".replace("\n", " ")
        return
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != KIND:
            continue
        try:
            parse(HybridInferenceSpec, document.get("spec", {}), "spec", strict=True)
        except SpecError as error:
            yield from map(str, error.problems)


def findings(path: Path, text: str, root: Path = repo.ROOT) -> Iterator[Finding]:
    """Yield (line, problem) for one Markdown file."""
    document = read(text)
    yield from link_findings(path, document, root)
    for block in document.blocks:
        if block.language == "console":
            for line, words in commands(block):
                for problem in command_problems(words, root):
                    yield line, problem
        elif block.language in {"yaml", "yml"}:
            for problem in resource_problems(block):
                yield block.line, problem


def main() -> int:
    """Check every Markdown file of the repository."""
    found = 0
    paths = [path for path in repo.files() if path.suffix == ".md"]
    for path, text in repo.text_files(paths):
        for line, problem in findings(path, text):
            print(f"{path.relative_to(repo.ROOT)}:{line}: {problem}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
