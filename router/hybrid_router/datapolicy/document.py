"""A request's body as what it says: every text in it, in the order in which it stands there.

Any surface's body is read alike: every string, names of fields included, is text to be scanned, as
are long numbers. What a scan cannot look into (pictures, sound, files, what the provider has
stored, token ids) is noted. A name that occurs twice in one object is refused, at any depth: of two
readers one would see the first value and the other the last, and what is judged must be what is
sent.
"""

from __future__ import annotations

import json
from typing import Any

MEDIA_TYPES = frozenset(
    {
        "audio", "audio_url", "computer_screenshot", "container_upload", "document", "file",
        "image", "image_url", "input_audio", "input_file", "input_image", "item_reference",
        "redacted_thinking", "video", "video_url",
    }
)  # fmt: skip
"""`type` of content parts that are no text, in OpenAI's and Anthropic's APIs."""
OPAQUE = frozenset(
    {
        "conversation", "encrypted_content", "file_data", "file_id", "file_ids", "image_url",
        "input_audio", "kv_transfer_params", "previous_response_id", "prompt_embeds",
        "vector_store_ids", "video_url",
    }
)  # fmt: skip
"""Fields that stand for something which is not in the request, or is no text."""
_DATA = frozenset({"data", "file_data", "image_url", "url", "encrypted_content"})
"""Fields of media that hold the media itself: not worth a scan as text."""
LONG_NUMBER = 10_000_000
"""Whole numbers from here on may be a card or a phone, and are scanned."""
TEXT_FIELDS = ("text", "content", "input_text")


class RepeatedNameError(ValueError):
    """An object has a name twice; the text does not say which."""


class _TooDeepError(ValueError):
    """The document is nested too deeply."""


class Document:
    """What a body says.

    Attributes:
        texts: every string, names and values, as they stand in the body.
        numbers: long whole numbers, with the name before them.
        seams: pairs of indices of texts that a reader takes as one, such as two parts of a message.
        unscanned: there is something that no scan can look into.
    """

    __slots__ = ("numbers", "seams", "texts", "unscanned")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.numbers: list[str] = []
        self.seams: list[tuple[int, int]] = []
        self.unscanned = False


def read(body: bytes) -> Document:
    """Return what a JSON body says.

    Raises:
        RepeatedNameError: an object has a name twice.
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        value = _decode(body.decode())
        document = Document()
        _walk(document, value, "")
    except RecursionError:
        raise _TooDeepError("the body is nested too deeply") from None
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise RepeatedNameError("an object of the body has the same name twice")
    return made


_decode = json.JSONDecoder(object_pairs_hook=_object).decode


def _walk(document: Document, value: Any, name: str) -> None:  # noqa: ANN401  JSON
    if isinstance(value, str):
        document.texts.append(value)
    elif isinstance(value, dict):
        _walk_object(document, value)
    elif isinstance(value, list):
        _walk_list(document, value, name)
    elif isinstance(value, int) and abs(value) >= LONG_NUMBER:
        document.numbers.append(f"{name}: {abs(value)}")
    elif isinstance(value, float) and abs(value) >= LONG_NUMBER:
        document.numbers.append(f"{name}: {abs(value):.0f}")


def _walk_object(document: Document, value: dict[str, Any]) -> None:
    media = value.get("type") in MEDIA_TYPES and not _is_text(value)
    if media:
        document.unscanned = True
    texts = document.texts
    for key, item in value.items():
        texts.append(key)
        if key in OPAQUE and item is not None:
            document.unscanned = True
        if isinstance(item, str):
            # Kept as a place in the order, not as text.
            texts.append("" if (media or key in OPAQUE) and key in _DATA else item)
        else:
            _walk(document, item, key)
    if isinstance(value.get("prompt"), dict):
        document.unscanned = True  # a prompt that the provider has stored


def _walk_list(document: Document, value: list[Any], name: str) -> None:
    if value and name in {"prompt", "input"} and isinstance(value[0], int | list):
        document.unscanned = True  # token ids
    before = -1
    for item in value:
        first = len(document.texts)
        _walk(document, item, name)
        place = _own_text(item, first)
        if place >= 0 and before >= 0:
            document.seams.append((before, place))
        before = place if place >= 0 else before


def _own_text(item: Any, first: int) -> int:  # noqa: ANN401  JSON
    """Return the index of the one text that a list's item is; -1 if it is none."""
    if isinstance(item, str):
        return first
    if not isinstance(item, dict):
        return -1
    at = first
    for key, value in item.items():
        at += 1
        if not isinstance(value, str):
            if value is None or isinstance(value, int | float):
                continue
            return -1  # what it holds has seams of its own
        if key in TEXT_FIELDS:
            return at
        at += 1
    return -1


def _is_text(value: dict[str, Any]) -> bool:
    """Return whether a document is given as text, as Anthropic's API allows."""
    source = value.get("source")
    return isinstance(source, dict) and source.get("type") in {"text", "content"}
