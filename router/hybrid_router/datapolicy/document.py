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
from decimal import Decimal
from typing import Any, Final

import msgspec

from hybrid_router.quotes import escaped

MEDIA_TYPES: Final = frozenset(
    {
        "audio", "audio_embeds", "audio_url", "base64", "computer_screenshot", "container_upload",
        "document", "file", "image", "image_embeds", "image_generation_call", "image_url",
        "input_audio", "input_file", "input_image", "item_reference", "reasoning.encrypted",
        "redacted_thinking", "thinking", "video", "video_url",
    }
)  # fmt: skip
"""`type` of parts and items that are no text, in OpenAI's and Anthropic's APIs and vLLM's."""
OPAQUE: Final = frozenset(
    {
        "audio", "audio_embeds", "audio_url", "container", "container_id", "conversation",
        "encrypted_content", "encrypted_index", "encrypted_stdout", "file_data", "file_id",
        "file_ids", "file_url", "image", "image_embeds", "image_url", "input_audio",
        "kv_transfer_params", "previous_response_id", "prompt", "prompt_embeds", "thread",
        "vector_store_ids", "video_url",
    }
)  # fmt: skip
"""Fields that may stand for something which is not in the request, or is no text."""
_DATA: Final = frozenset(
    {"audio", "data", "encrypted_content", "encrypted_stdout", "file_data", "image", "image_url",
     "result", "url"}
)  # fmt: skip
"""Fields of media that hold the media itself, if not its address: not worth a scan as text."""
_FREE: Final = frozenset(
    {"input", "input_examples", "input_schema", "metadata", "output_schema", "parameters", "schema"}
)
"""Fields whose objects have the names that a client gives them: there, `file_id` is a word."""
LONG_NUMBER: Final = 10_000_000
"""Whole numbers from here on may be a card or a phone, and are scanned."""
_LONGER: Final = 1e20
"""From here on they are neither, and too long to write out: `9e307` has 308 digits."""
_NAMED: Final = 40
"""Characters of a name that are put before each of its numbers, of which there may be many."""
_ROUNDED: Final = float(2**53)
"""From here on, a number with a point or an exponent may not be the one that was written."""
TEXT_FIELDS: Final = frozenset({"text", "content", "input_text", "output"})
"""Fields whose texts a reader takes one after another, whatever they are nested in."""


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
        free: while it is read: names below here are a client's own.
        rounded: a number may not be the one that was written.
        last: while it is read: the last text of those that are taken one after another.
        names: how many names its objects have.
        value: the decoded body.
    """

    __slots__ = (
        "free",
        "last",
        "names",
        "numbers",
        "rounded",
        "seams",
        "texts",
        "unscanned",
        "value",
    )

    def __init__(self, value: Any) -> None:  # noqa: ANN401  JSON
        self.value = value
        self.names = 0
        self.texts: list[str] = []
        self.numbers: list[str] = []
        self.seams: list[tuple[int, int]] = []
        self.unscanned = False
        self.free = False
        self.rounded = False
        self.last = -1


def read(body: bytes) -> Document:
    """Return what a JSON body says.

    Raises:
        RepeatedNameError: an object has a name twice.
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        document = _said(msgspec.json.decode(body), body)
        if not _doubtful(body, document.names):
            return document
    except (ValueError, RecursionError):
        pass  # `json` takes a little more, such as NaN, and says what is wrong
    return read_with_hook(body)


def read_with_hook(body: bytes) -> Document:
    """Return the same, seeing every name of every object: slower, and never in doubt."""
    try:
        return _said(_decode(body.decode()), body)
    except RecursionError:
        raise _TooDeepError("the body is nested too deeply") from None


def _said(value: Any, body: bytes) -> Document:  # noqa: ANN401  JSON
    document = Document(value)
    _walk(document, value, "")
    if document.rounded:
        document.numbers += _written(body)
    return document


_real: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def _written(body: bytes) -> list[str]:
    """Return the large whole numbers of a body that are written as real ones, with every digit."""
    found: list[str] = []
    for match in _real.finditer(body):
        if match[0].isdigit():
            continue
        number = Decimal(match[0].decode())
        if _ROUNDED <= number < _LONGER:
            found.append(f"{number:.0f}")
    return found


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
        document.numbers.append(f"{name[-_NAMED:]}: {abs(value)}")
    elif isinstance(value, float) and LONG_NUMBER <= abs(value) < _LONGER:
        document.numbers.append(f"{name[-_NAMED:]}: {abs(value):.0f}")
        if abs(value) >= _ROUNDED:
            document.rounded = True


def _walk_object(document: Document, value: dict[str, Any], name: str) -> None:
    document.names += len(value)
    kind = value.get("type")  # of a JSON schema, it may be a list
    media = isinstance(kind, str) and kind in MEDIA_TYPES and _is_media(document, value, kind)
    if media or (kind is None and name == "input" and _is_reference(document, value)):
        document.unscanned = True
    texts = document.texts
    for key, item in value.items():
        texts.append(key)
        hidden = media
        if key in OPAQUE and _is_hidden(document, key, item):
            document.unscanned = hidden = True
        if isinstance(item, str):
            # Kept as a place in the order, not as text.
            texts.append("" if hidden and key in _DATA and not item.startswith("http") else item)
            if key in TEXT_FIELDS and item and not document.free:
                _follow(document)
        elif key in _FREE:
            before = document.free
            document.free = before or key != "input" or isinstance(item, dict)
            _walk(document, item, key)
            document.free = before
        else:
            _walk(document, item, key)


def _walk_list(document: Document, value: list[Any], name: str) -> None:
    if value and name in {"prompt", "input"} and isinstance(value[0], int | float | list):
        document.unscanned = True  # token ids
    texts = document.texts
    neighbours = False
    for item in value:
        if not isinstance(item, str):
            _walk(document, item, name)
            neighbours = False
            continue
        texts.append(item)
        if name in TEXT_FIELDS:
            _follow(document)
        elif neighbours and not document.free:
            document.seams.append((len(texts) - 2, len(texts) - 1))
        neighbours = True


def _follow(document: Document) -> None:
    """Note that the text read last goes on where the one before it, of `TEXT_FIELDS`, ended."""
    at = len(document.texts) - 1
    if document.last >= 0:
        document.seams.append((document.last, at))
    document.last = at


def _is_media(document: Document, value: dict[str, Any], kind: str) -> bool:
    """Return whether an object of one of the `MEDIA_TYPES` has no text that a scan can read."""
    if document.free:
        return False
    if kind == "thinking":  # with its text left out, it is in the signature
        return bool(value.get("signature")) and not value.get("thinking")
    source = value.get("source")  # a document may be given as text in Anthropic's API
    text = isinstance(source, dict) and source.get("type") in ("text", "content")
    return kind != "document" or not text


def _is_hidden(document: Document, key: str, item: Any) -> bool:  # noqa: ANN401  JSON
    """Return whether a field that may stand for something else does so."""
    if document.free or item is None:
        return False
    if key == "prompt":  # that the provider has stored
        return isinstance(item, dict)
    if key == "thread":  # a conversation that it has stored
        return isinstance(item, dict) and "previous_message_id" in item
    if key in {"audio", "container", "image"}:  # one that it has, or else what is asked of one
        return isinstance(item, str) or (isinstance(item, dict) and "id" in item)
    return True


def _is_reference(document: Document, value: dict[str, Any]) -> bool:
    """Return whether an item without a type is a reference to one that the provider has stored."""
    return not document.free and "id" in value and "role" not in value
