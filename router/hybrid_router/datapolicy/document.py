"""A request's body as what it says: every text in it, in the order in which it stands there.

Any surface's body is read alike: every string, names of fields included, is text to be scanned, as
are long numbers. What a scan cannot look into (pictures, sound, files, what the provider has
stored, token ids) is noted. A name that occurs twice in one object is refused, at any depth: of two
readers one would see the first value and the other the last, and what is judged must be what is
sent.

msgspec decodes four times as fast as `json` with a hook that sees every name, and keeps the last of
two. So the names that it kept are counted against those that stand in the body, and only where that
leaves a doubt the body is read with the hook.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from hybrid_router.quotes import escaped

MEDIA_TYPES: Final = frozenset(
    {
        "audio", "audio_embeds", "audio_url", "computer_screenshot", "container_upload",
        "document", "file", "image", "image_embeds", "image_generation_call", "image_url",
        "input_audio", "input_file", "input_image", "item_reference", "redacted_thinking",
        "video", "video_url",
    }
)  # fmt: skip
"""`type` of parts and items that are no text, in OpenAI's and Anthropic's APIs and vLLM's."""
OPAQUE: Final = frozenset(
    {
        "conversation", "encrypted_content", "file_data", "file_id", "file_ids", "image_url",
        "input_audio", "kv_transfer_params", "previous_response_id", "prompt_embeds",
        "vector_store_ids", "video_url",
    }
)  # fmt: skip
"""Fields that stand for something which is not in the request, or is no text."""
_DATA: Final = frozenset({"data", "file_data", "image_url", "result", "url", "encrypted_content"})
"""Fields of media that hold the media itself: not worth a scan as text."""
_SCHEMA: Final = "properties"
"""Below it stand the parameters of tools, which may be called whatever their author likes."""
LONG_NUMBER: Final = 10_000_000
"""Whole numbers from here on may be a card or a phone, and are scanned."""
TEXT_FIELDS: Final[tuple[str, ...]] = ("text", "content", "input_text")


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
        names: how many names its objects have.
        value: the decoded body.
    """

    __slots__ = ("names", "numbers", "seams", "texts", "unscanned", "value")

    def __init__(self, value: Any) -> None:  # noqa: ANN401  JSON
        self.value = value
        self.names = 0
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
        document = _said(msgspec.json.decode(body))
        if not _doubtful(body, document.names):
            return document
    except (ValueError, RecursionError):
        pass  # `json` takes a little more, such as NaN, and says what is wrong
    return read_with_hook(body)


def read_with_hook(body: bytes) -> Document:
    """Return the same, seeing every name of every object: slower, and never in doubt."""
    try:
        return _said(_decode(body.decode()))
    except RecursionError:
        raise _TooDeepError("the body is nested too deeply") from None


def _said(value: Any) -> Document:  # noqa: ANN401  JSON
    document = Document(value)
    _walk(document, value, "")
    return document


_named: Final = re.compile(rb'"[ \t\n\r]*:')
"""The end of every name; in texts, of what looks like one."""
_FAR: Final = 512
"""Bytes from one quote to the next from which on looking for them one by one is faster."""
_escaped: Final = re.compile(rb'\\"[ \t\n\r]*:')
"""Those of them whose quote ends no name, unless what escapes it is escaped itself."""


def _doubtful(body: bytes, kept: int) -> bool:
    """Return whether an object may have a name twice, which is never overlooked.

    Every name in the body ends with a quote and a colon. If there are as many of these as names
    were kept, each name was kept.
    """
    named, at = _names(body)
    if at < 0:
        return named != kept
    rest = body[at:]
    named += len(_named.findall(rest))
    if named == kept:
        return False
    return b'\\\\"' in rest or named - len(_escaped.findall(rest)) != kept


def _names(body: bytes) -> tuple[int, int]:
    """Return how many names end before a place, and that place; -1 for the end of the body.

    A long text has few quotes, and from one to the next goes faster than the expression passes over
    what is between them; where they turn out to be many, the rest is left to it.
    """
    named, at, left = 0, 0, len(body) // _FAR
    while left:
        at = body.find(b'"', at) + 1
        if not at:
            return named, -1
        after = body[at : at + 1]
        if (after == b":" or after.isspace()) and _named.match(body, at - 1) is not None:
            named += not escaped(body, at - 1, 0)
        left -= 1
    return named, at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise RepeatedNameError("an object of the body has the same name twice")
    return made


_decode: Final = json.JSONDecoder(object_pairs_hook=_object).decode


def _walk(document: Document, value: Any, name: str) -> None:  # noqa: ANN401  JSON
    if isinstance(value, str):
        document.texts.append(value)
    elif isinstance(value, dict):
        _walk_object(document, value, name)
    elif isinstance(value, list):
        _walk_list(document, value, name)
    elif isinstance(value, int) and abs(value) >= LONG_NUMBER:
        document.numbers.append(f"{name}: {abs(value)}")
    elif isinstance(value, float) and abs(value) >= LONG_NUMBER:
        document.numbers.append(f"{name}: {abs(value):.0f}")


def _walk_object(document: Document, value: dict[str, Any], name: str) -> None:
    document.names += len(value)
    kind = value.get("type")  # of a JSON schema, it may be a list
    media = isinstance(kind, str) and kind in MEDIA_TYPES and not _is_text(value)
    if media:
        document.unscanned = True
    texts = document.texts
    for key, item in value.items():
        texts.append(key)
        if key in OPAQUE and item is not None and not (name == _SCHEMA and isinstance(item, dict)):
            document.unscanned = True
        if isinstance(item, str):
            # Kept as a place in the order, not as text.
            texts.append("" if (media or key in OPAQUE) and key in _DATA else item)
        else:
            _walk(document, item, key)
    if name == _SCHEMA:
        return
    if isinstance(value.get("prompt"), dict):
        document.unscanned = True  # a prompt that the provider has stored
    spoken = value.get("audio")
    if isinstance(spoken, dict) and "id" in spoken:
        document.unscanned = True  # an answer that it has said


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
    return isinstance(source, dict) and source.get("type") in ("text", "content")
