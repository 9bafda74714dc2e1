"""The repository's files as the checks see them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def files(root: Path = ROOT) -> list[Path]:
    """List every file that is in Git or would be with the next `git add`, sorted.

    Raises:
        subprocess.CalledProcessError: `root` is not a Git checkout.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = (root / name for name in sorted(set(listing.split("\0"))) if name)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def text_files(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file with its text; binary files are left out."""
    for path in paths:
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def is_script(path: Path) -> bool:
    """Tell a shell script that can be run by its first line."""
    with path.open("rb") as stream:
        first = stream.readline(100).strip()
    return first.startswith(b"#!") and first.endswith(b"sh")


def is_shell(path: Path) -> bool:
    """Tell shell code: a script, or a file that scripts source."""
    return path.suffix in {".sh", ".bash"} or (not path.suffix and is_script(path))
