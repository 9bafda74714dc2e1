"""Requests as agents and assistants send them: several turns, no two alike.

Every request holds a number that the load generator replaces each time, so that no cache of results
or of parsed bodies can answer. The text is put together from sentences by a seeded generator: the
same bodies on every machine.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COUNTER = "0" * 16
"""What `load` replaces by a number that never comes again."""
VARIANTS = 64
SEED = 20_260_117

_SYSTEM = (
    "You are the assistant of a wholesaler's service desk. Answer from the documents you are "
    "given, name the document, and say so when they do not hold the answer."
)
_ASKED = (
    "Can you pull the invoice number, the total and the due date out of this and give me JSON?",
    "Why was order {n} split into two deliveries, and which one is still open?",
    "Summarise the complaint below in three sentences for the shift lead.",
    "Translate the paragraph on returns into German, and keep the clause numbers.",
    "What would change in the total if the {n} units of article {m} came back?",
    "Write a polite answer that declines the discount but offers free shipping over {n} EUR.",
    "Which of these steps can run before the pallet is booked in, and why?",
    'The report says "{n} of {m} lines differ": where would you look first?',
)
_SAID = (
    "Order {n} left the warehouse on Tuesday; the second parcel waits for article {m}.",
    "The contract sets 30 days net, and interest of 0.5 % a week after that.",
    "According to the delivery note, line {n} was short by 4 units and was signed for as such.",
    "Clause {m} lets either side cancel with two weeks' notice, in writing.",
    "I found three entries for it: two invoices and a credit note of {n}.40 EUR.",
    "The pallet is booked in first, then counted, then released to the picking zone {m}.",
    "Café Zürich's standing order is 12 crates; it was raised to {n} in May.",
    "def total(lines):\n    return sum(l['qty'] * l['price'] for l in lines)  # rule {m}\n",
)


def write(path: Path, size: int, *, model: str, key: str, stream: bool = False) -> None:
    """Write requests of about `size` bytes of body to `path`, in the form that `load` reads."""
    draw = random.Random(SEED + size)  # noqa: S311  the same bodies every time
    with path.open("wb") as file:
        for _ in range(VARIANTS if size < 1_000_000 else 2):
            request = _http(_body(draw, size, model, stream=stream), key)
            file.write(b"%d\n" % len(request) + request)


def _body(draw: random.Random, size: int, model: str, *, stream: bool) -> bytes:
    messages: list[dict[str, str]] = [{"role": "system", "content": _SYSTEM}]
    document: dict[str, Any] = {
        "model": model, "messages": messages, "temperature": 0.2, "max_tokens": 64,
    }  # fmt: skip
    if stream:
        document["stream"] = True
    last = f"{_sentence(draw, _ASKED)} (ticket {COUNTER})"
    room = size - len(json.dumps(document)) - len(last) - 64
    roles = ("user", "assistant")
    turns = max(1, min(9, room // 250)) | 1  # an odd number: the assistant spoke last
    for turn in range(turns - 1):
        text = _text(draw, room // turns, _ASKED if turn % 2 == 0 else _SAID)
        messages.append({"role": roles[turn % 2], "content": text})
    messages.append({"role": "user", "content": _text(draw, room // turns, _SAID) + " " + last})
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _text(draw: random.Random, size: int, first: tuple[str, ...]) -> str:
    """Return sentences of about that many bytes together."""
    parts = [_sentence(draw, first)]
    length = len(parts[0])
    while length < size - 40:
        parts.append(_sentence(draw, _SAID))
        length += len(parts[-1]) + 1
    return " ".join(parts)


def _sentence(draw: random.Random, of: tuple[str, ...]) -> str:
    return (
        draw.choice(of)
        .replace("{n}", str(draw.randint(10, 9999)))
        .replace("{m}", str(draw.randint(100, 99_999)))
    )


def _http(body: bytes, key: str) -> bytes:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\naccept: application/json\r\n"
        f"authorization: Bearer {key}\r\nuser-agent: OpenAI/Python 2.8.0\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
