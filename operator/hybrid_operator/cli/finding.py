"""What a person names on the command line: models, GPUs, sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli.main import BadInputError
from hybrid_operator.core.engine import catalog, gpus, huggingface
from hybrid_operator.core.engine.fields import ConfigError
from hybrid_operator.core.engine.names import nearest
from hybrid_operator.core.engine.version import Version, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_operator.core.engine.architecture import Shape

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_UNITS = {"GiB": 2**30, "Gi": 2**30, "GB": 10**9, "G": 10**9, "MiB": 2**20, "Mi": 2**20}
OLDEST = Version(0, 8)
_PATH = re.compile(r"^[./~]|\.json$")


class Whole(click.IntRange):
    """A whole number of at least `min`."""

    def convert(
        self,
        value: Any,  # noqa: ANN401  the base class's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401  the same
        """Read it; say what it must be where it is not."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            what = f"{value} must be a whole number of at least {self.min}, without a unit"
            self.fail(what, param, ctx)


def config(path: str) -> dict[str, Any]:
    """Read the config.json at `path`, or in the directory `path`.

    Raises:
        BadInputError: there is none, or it is no JSON object.
    """
    file = Path(path).expanduser()
    file = file / "config.json" if file.is_dir() else file
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise BadInputError(f"{file}: is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise BadInputError(f"{file}: is not a JSON object, as the config.json of a model is")
    return read


def shape(model: str) -> tuple[str, Shape]:
    """Return the name and the architecture of a catalogue model, or of a config.json.

    Raises:
        BadInputError: the catalogue has no such model, or the file does not describe one.
    """
    entry = catalog.find(model.lower()) or _by_repo(model)
    if entry is not None:
        return entry.name, entry.shape
    if _PATH.search(model) or Path(model).exists():
        try:
            return model, huggingface.shape(config(model))
        except ConfigError as error:
            raise BadInputError(f"{model}: {error}") from None
    names = [each.name for each in catalog.catalogue()]
    raise BadInputError(
        f"the catalogue has no model {model!r}{_nearest(model.lower(), names)} See `hinf models`, "
        "or give the path of a config.json"
    )


def gpu(name: str) -> gpus.GPU:
    """Return a GPU of the catalogue, or one of a size such as 48GiB or 48GB.

    Raises:
        BadInputError: the catalogue has no such GPU, or the size has no unit.
    """
    entry = gpus.find(name.lower())
    if entry is not None:
        return entry
    read = _SIZE.fullmatch(name)
    if read is not None:
        return gpus.GPU(name=name, memory_mib=_mib(name, read))
    names = [each.name for each in gpus.catalogue()]
    raise BadInputError(
        f"the catalogue has no GPU {name!r}{_nearest(name.lower(), names)} See `hinf gpus`, "
        "or give its memory with the unit, such as 48GiB"
    )


def _mib(text: str, read: re.Match[str]) -> int:
    mib = _bytes("--gpu", text, read) // 2**20
    if not mib:
        raise BadInputError(f"--gpu {text}: the memory must be above 0")
    return mib


def size(option: str, text: str | None) -> int:
    """Return the bytes of a size such as 4GiB or 4GB; 0 where none is given.

    Raises:
        BadInputError: it has no unit, or is no size.
    """
    if text is None:
        return 0
    read = _SIZE.fullmatch(text)
    if read is None:
        raise BadInputError(f"{option} {text}: must be a size with its unit, such as 4GiB")
    return _bytes(option, text, read)


def _bytes(option: str, text: str, read: re.Match[str]) -> int:
    number, unit = float(read[1]), read[2]
    if unit not in _UNITS:
        raise BadInputError(
            f"{option} {text}: say the unit. 48GiB is 48 x 2^30 bytes, 48GB is 48 x 10^9 bytes, "
            "which is 44.7 GiB; nvidia-smi lists MiB"
        )
    return int(number * _UNITS[unit])


def version(text: str) -> Version:
    """Read a release of vLLM.

    Raises:
        BadInputError: it is none, or older than what is planned for.
    """
    try:
        read = parse(text)
    except ValueError as error:
        raise BadInputError(f"--vllm: {error}") from None
    if read < OLDEST:
        raise BadInputError(f"--vllm {text}: releases from {OLDEST} on are planned for")
    return read


def _by_repo(model: str) -> catalog.Model | None:
    wanted = model.lower()
    return next((each for each in catalog.catalogue() if each.repo.lower() == wanted), None)


def _nearest(name: str, names: Iterable[str]) -> str:
    near = nearest(name, names)
    return f"; did you mean {' or '.join(near)}?" if near else "."
