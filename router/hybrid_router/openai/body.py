"""A request's body, taken apart at its top level: values stay the bytes that they are.

So what is forwarded is what came: no number, escape or unknown field changes on its way.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from hybrid_router.openai.errors import ApiError

Fields = dict[str, msgspec.Raw]

_NULL: Final = msgspec.Raw(b"null")
_top: Final = msgspec.json.Decoder(Fields)
encode: Final = msgspec.json.Encoder().encode
_lone_surrogate: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*(\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2}))"
)
"""An escape of half a character (RFC 8259, 8.2)."""


def take_apart(body: bytes) -> Fields:
    """Return the top level of a JSON object, its values as they came."""
    try:
        if not body.isascii():
            body.decode()
        return _top.decode(body)
    except UnicodeDecodeError:
        raise invalid(None, "the body is not UTF-8") from None
    except msgspec.ValidationError:
        raise invalid(None, "the body must be a JSON object") from None
    except msgspec.DecodeError as error:
        raise invalid(None, f"the body is not JSON: {_position(error, body)}") from None
    except RecursionError:
        raise invalid(None, "the body is nested too deeply") from None


def required(fields: Fields, name: str) -> msgspec.Raw:
    """Return a field that must be there and not null."""
    raw = fields.get(name)
    if raw is None or raw == _NULL:
        raise invalid(name, f"`{name}` is missing")
    return raw


def typed(raw: msgspec.Raw, kind: Any, name: str) -> Any:  # noqa: ANN401  msgspec takes any type
    """Return a field's value, or the error that names the field."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(name, f"`{name}` is ill-typed: {error}") from None
    except msgspec.DecodeError as error:
        raise invalid(name, f"`{name}` is not JSON: {_position(error, bytes(raw))}") from None
    except RecursionError:
        raise invalid(name, f"`{name}` is nested too deeply") from None


_Shape = TypeVar("_Shape")


def shaped(body: bytes, shape: type[_Shape]) -> _Shape:
    """Return a whole body in a shape that knows its fields.

    Raises:
        ApiError: 400, with the place of the value that is of another type.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        param = place.rstrip("`").removeprefix(".") or None
        raise invalid(
            param, f"{f'`{param}`' if param else 'the body'} is ill-typed: {what}"
        ) from None
    except msgspec.DecodeError as error:
        raise invalid(None, f"the body is not JSON: {_position(error, body)}") from None
    except RecursionError:
        raise invalid(None, "the body is nested too deeply") from None


def lenient(raw: msgspec.Raw, kind: Any) -> Any:  # noqa: ANN401  msgspec takes any type
    """Return the value, or None where it is not of that type: the backend says so better."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None


def filled(fields: Fields, name: str) -> bool:
    """Return whether a field is there and says something."""
    raw = fields.get(name)
    return raw is not None and bytes(memoryview(raw)[:6]) not in {b"null", b"false", b"[]"}


def invalid(param: str | None, message: str) -> ApiError:
    """Return the error for a request whose field `param` is wrong."""
    return ApiError(400, "invalid_request", message, param=param)


def _position(error: msgspec.DecodeError, document: bytes) -> str:
    """Return msgspec's words, which hold a byte's position and nothing of the document.

    Half of a surrogate pair makes it read on for the other one: what it says then is of what
    follows, as that the input ends, or that an escape does.
    """
    said = str(error).removeprefix("JSON is malformed: ")
    if "truncated" in said or "surrogate" in said or "hex escape" in said:
        lone = _lone_surrogate.search(document)
        if lone is not None:
            return f"invalid \\u escape: lone surrogate (byte {lone.start(1)})"
    return said
