"""Token ids in a stream: kept so that a broken stream can be continued, and cut from every chunk.

Text does not tokenise back to the ids that it came from; a continuation that is to be exact is
asked for by ids. vLLM adds them to its chunks (`return_token_ids`), where no client has asked for
them. `Tokens` stands between the backend and the `sse.Filter`: chunks of text are all alike but for
the text and its ids, so that the ids are cut by their place; a chunk of another form is parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from hybrid_router.openai.plain import is_piece
from hybrid_router.openai.sse import DONE, MAX_EVENT_BYTES, payload, split

if TYPE_CHECKING:
    from hybrid_router.openai.plain import Plain

_Fields = dict[str, msgspec.Raw]

_fields: Final = msgspec.json.Decoder(_Fields)
_choices: Final = msgspec.json.Decoder(list[_Fields])
_encode: Final = msgspec.json.Encoder().encode

_KEY: Final = b'"token_ids":['
_MARKS: Final[tuple[bytes, ...]] = (b'"delta":{"content":', b'"text":')
_END: Final = b"]}]}\n\n"
_END_BYTES: Final = len(_END)
_NULL: Final = b"null"
_ABSENT: Final = msgspec.Raw(_NULL)
_NO_CHOICES: Final = msgspec.Raw(b"[]")
_NO_DELTA: Final = msgspec.Raw(b"{}")
_NOTHING: Final = msgspec.Raw()
_CONSTANT: Final = frozenset({"index", "delta", "text", "token_ids"})
INTERRUPTED: Final = frozenset({b'"abort"', b'"error"'})
"""vLLM's finish reasons for a request that it did not carry through, as when it shuts down."""
_ids: Final = re.compile(rb"\d{1,10}(?:,\d{1,10})*")
_prompt_ids: Final = re.compile(rb',"prompt_token_ids":\[[^]]*\]')
_NO_PROMPT_IDS: Final = b',"prompt_token_ids":null'


class Form(NamedTuple):
    """What the text chunks of one stream have in common, as bytes around text and ids."""

    prefix: bytes
    """From `data: ` to the text's opening quote."""
    tail: bytes
    """From the text's closing quote to the bracket that opens the ids."""
    closing: bytes
    """From the text's closing quote to the blank line, without the ids."""

    def chunk(self, text: bytes, finish: bytes = b"", stop: bytes = b"") -> bytes:
        """Return an event.

        Args:
            text: JSON string without its quotes.
            finish: the finish reason, as JSON.
            stop: the stop reason, as JSON.
        """
        closing = self.closing
        if finish:
            closing = closing.replace(b'"finish_reason":null', b'"finish_reason":' + finish, 1)
        if stop:
            closing = closing.replace(b',"stop_reason":null', b"", 1)
            closing = closing.replace(finish, finish + b',"stop_reason":' + stop, 1)
        return self.prefix + text + closing

    def usage(self, prompt: int, completion: int) -> bytes:
        """Return the event that carries the usage."""
        head = self.prefix[: self.prefix.rfind(b'"choices":[')]
        return (
            b'%s"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,'
            b'"total_tokens":%d}}\n\n' % (head, prompt, completion, prompt + completion)
        )


class Tokens:
    """Takes the ids out of a stream and remembers those whose text has been let through.

    Attributes:
        form: of the text chunks, learnt from the first one.
        finished: a finish reason has been let through; nothing more will be generated.
        failure: why the engine itself gave the stream up, if it did.
        plain: nothing but text was generated, and all of it had ids.
    """

    __slots__ = (
        "_ids", "_kept", "_prompt", "_rest", "_sure", "failure", "finished", "form", "plain",
    )  # fmt: skip

    def __init__(self) -> None:
        self._prompt = b""
        self._ids = bytearray()  # a comma before each
        self._kept = 0  # length up to the last chunk with text
        self._sure = 0  # length up to the last id that is known to end a character
        self._rest = b""
        self.form: Form | None = None
        self.finished = False
        self.failure: str | None = None
        self.plain = True

    def feed(self, data: bytes) -> bytes:
        """Take a part of the body; return its complete events without ids."""
        events, self._rest = split(self._rest + data if self._rest else data)
        if len(self._rest) > MAX_EVENT_BYTES:
            self.failure = "an event is too long"
        passed: list[bytes] = []
        for event in events:
            if self.failure is not None:
                break
            passed.append(self.cut(event) or self._parse(event))
        return b"".join(passed)

    def cut(self, event: bytes) -> bytes:
        """Take the ids out by their place, and return the event without them.

        Return nothing for an event of another form, and for several. The tail begins with an
        unescaped quote, which no JSON string holds: it is found in the chunk's structure only,
        whatever the model says.
        """
        form = self.form
        if form is None:
            return b""
        prefix, tail, closing = form
        start, at = len(prefix), event.rfind(tail)
        if at < start or event[:start] != prefix or event[-_END_BYTES:] != _END:
            return b""
        found = event[at + len(tail) : -_END_BYTES]
        listed = found.isdigit() or _ids.fullmatch(found) is not None  # mostly it is one
        if not listed or not is_piece(event, start, at):
            return b""
        self.add(found, text=at > start)
        return event[:at] + closing

    def makes(self, pattern: Plain) -> bool:
        """Return whether what is cut next is like that, and no event has been read in part."""
        form = self.form
        return (
            form is not None
            and not self._rest
            and pattern.before == form.prefix
            and pattern.behind == form.closing
        )

    def add(self, ids: bytes, *, text: bool) -> None:
        """Note ids, joined by commas; with `text`, what they say goes to the client now.

        An engine gives text out by whole characters: a chunk of one id and some text ends one.
        Of a chunk of several, the last ids may have begun another.
        """
        if ids:
            self._ids += b"," + ids
        if text:
            self._kept = len(self._ids)
            if ids.find(b",") < 0:
                self._sure = self._kept

    def rewind(self) -> None:
        """Forget the ids whose text nobody has seen: half a character, or nothing at all."""
        del self._ids[self._kept :]

    @property
    def doubtful(self) -> bytes:
        """Ids, as a JSON list, of which the last may have begun a character; empty if none has."""
        return b"[%s]" % self._ids[self._sure + 1 : self._kept] if self._kept > self._sure else b""

    def trust(self) -> None:
        """Note that the last id with text ends a character."""
        self._sure = self._kept

    def distrust(self) -> None:
        """Note that it does not, and forget it."""
        self._kept = self._ids.rfind(b",", 0, self._kept)
        self.rewind()

    @property
    def count(self) -> int:
        """Generated tokens, as far as is known."""
        return self._ids.count(b",")

    @property
    def prompt_count(self) -> int:
        """Tokens of the prompt."""
        return self._prompt.count(b",") + 1 if self._prompt else 0

    @property
    def resumable(self) -> bool:
        """Whether the stream can be continued from here."""
        return (
            self.plain
            and self.form is not None
            and _ids.fullmatch(self._prompt) is not None
            and (self._kept == 0 or _ids.fullmatch(self._ids, 1, self._kept) is not None)
        )

    def sequence(self) -> bytes:
        """Return the prompt's ids and those whose text has been let through, as a JSON list."""
        return b"[%s%s]" % (self._prompt, self._ids[: self._kept])

    # The slow way.

    def _parse(self, event: bytes) -> bytes:
        data = payload(event)
        if data is None or data == DONE:
            return event
        try:
            fields = _fields.decode(data)
            choices = _choices.decode(fields.get("choices", _NO_CHOICES))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.failure = "an event is not a JSON object of the OpenAI API"
            return b""
        if bytes(fields.get("error", _ABSENT)) != _NULL:
            self.failure = "the backend reported an error in the middle of the stream"
            return b""
        changed = self._take_prompt(fields)
        for choice in choices:
            before = len(choice)
            self._choice(event, choice)
            changed = changed or len(choice) < before
            if self.failure is not None:
                return b""
        if not changed:
            return event
        fields["choices"] = msgspec.Raw(_encode(choices))
        return b"data: " + _encode(fields) + b"\n\n"

    def _take_prompt(self, fields: _Fields) -> bool:
        raw = fields.pop("prompt_token_ids", None)
        if raw is None:
            return False
        self._prompt = self._prompt or _listed(raw)
        return True

    def _choice(self, event: bytes, choice: _Fields) -> None:
        """Take one choice's ids, and note what it says about the stream."""
        self._take_prompt(choice)
        finish = bytes(choice.get("finish_reason", _ABSENT))
        if finish in INTERRUPTED:
            self.failure = "the backend gave the stream up"
            return
        text = self._text(choice)
        raw = choice.get("token_ids")
        ids = _listed(raw) if raw is not None else b""
        if text not in {b"", b'""', _NULL} and not ids:
            self.plain = False
        self.add(ids, text=len(text) > 2 and text != _NULL)  # noqa: PLR2004  the quotes
        if finish != _NULL:
            self.finished = True
        elif self.form is None and self.plain and ids:
            self.form = _form(event, choice, text)
        choice.pop("token_ids", None)

    def _text(self, choice: _Fields) -> bytes:
        """Return the text as JSON; note anything that is generated and is no text."""
        if bytes(choice.get("logprobs", _ABSENT)) != _NULL:
            self.plain = False
        if "text" in choice:
            return bytes(choice["text"])
        delta: dict[str, Any] = {}
        try:
            delta = _fields.decode(choice.get("delta", _NO_DELTA))
        except msgspec.DecodeError:
            self.plain = False
        for name, raw in delta.items():
            if name not in {"role", "content"} and bytes(raw) not in {_NULL, b"[]", b'""'}:
                self.plain = False
        return bytes(delta.get("content", _NOTHING))


def _listed(raw: msgspec.Raw) -> bytes:
    """Return what stands between a list's brackets, without white space; empty for null."""
    text = bytes(raw)
    return b"".join(text[1:-1].split()) if text.startswith(b"[") else b""


def _form(event: bytes, choice: _Fields, text: bytes) -> Form | None:
    """Return the form of a stream's text chunks from one of them; None if it is of another kind."""
    if any(bytes(raw) != _NULL for name, raw in choice.items() if name not in _CONSTANT):
        return None
    for mark in _MARKS:
        start = event.find(mark + text)
        if start < 0:
            continue
        start += len(mark) + 1
        rest = event[start + len(text) - 2 :]
        at = rest.rfind(b"," + _KEY)
        if at > 0 and rest.endswith(_END) and rest.find(b"]", at) == len(rest) - len(_END):
            tail = _prompt_ids.sub(_NO_PROMPT_IDS, rest[:at])  # a completion's first chunk has them
            closing = tail.replace(_NO_PROMPT_IDS, b"") + _END[1:]
            return Form(event[:start], tail + b"," + _KEY, closing)
    return None
