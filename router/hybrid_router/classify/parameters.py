"""The model file of the embedded classifier, and the one that comes with the package.

Apart from what judges by it, so that that can be compiled: a class that mypyc compiles does not
keep what stands between the brackets of its annotations, and msgspec decodes by that.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources

import msgspec

from hybrid_router.classify.additive import Additive

FILE = "model.json.gz"


class Scale(msgspec.Struct, frozen=True, array_like=True):
    """Platt scaling: P = sigmoid(slope * score + offset)."""

    slope: float
    offset: float


class Point(msgspec.Struct, frozen=True, array_like=True):
    """What a threshold means on the labels, out of fold."""

    threshold: float
    quality: float
    """Of the answers, as a share of the large model's."""
    local: float
    """Share of requests answered by the local model."""


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The model file."""

    features: tuple[str, ...]
    with_options: Additive
    """For questions with options to choose from."""
    open: Additive
    """For all others."""
    bias: list[float]
    """Of each intent, in the order of `model.INTENTS`."""
    words: dict[str, list[tuple[int, float]]]
    """What speaks for which intents."""
    scales: dict[str, Scale]
    """By intent, `unknown` among them."""
    priors: dict[str, float]
    """P(good enough) of an average task, for the intents whose scaling was not fitted to labels:
    what a table's priors are held against."""
    curve: list[Point]
    """By falling threshold."""


def read(data: bytes) -> Parameters:
    """Read a model file.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(gzip.decompress(data), type=Parameters)


@cache
def shipped() -> Parameters:
    """Return the model that comes with the package."""
    return read(resources.files("hybrid_router.classify").joinpath("data", FILE).read_bytes())
