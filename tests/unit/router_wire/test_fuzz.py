"""Whatever bytes come: an answer or a refusal, never a fault."""

import json
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_router.openai.continuation import Rest
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.sse import Filter
from hybrid_router.openai.tokens import Tokens
from hybrid_router.server.body import ChunkedBody
from hybrid_router.server.request import parse_head
from hybrid_router.table import TableError, decode
from tests.support.fuzzing import examples

_lines = st.lists(
    st.sampled_from(
        [
            b"Host: a", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close",
            b"Expect: 100-continue", b"Upgrade: websocket", b" folded", b"X: \x00", b"Y: \xff",
        ]
    )
    | st.binary(max_size=20),
    max_size=6,
)  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "models", "backends", "policy", "targets", "urls", "keys"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
_events = st.lists(
    st.sampled_from(
        [
            b"data: ", b"\n\n", b"\r\n", b"[DONE]", b'{"choices":[{"index":0,"delta":{"content":"',
            b'x"},"finish_reason":null,"token_ids":[1]}]}', b'{"error":{}}', b'"abort"', b'"usage"',
            b'{"choices":[{"text":"x","token_ids":[2],"finish_reason":"stop"}]}', b"{", b"\xff",
        ]
    )
    | st.binary(max_size=8),
    max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=examples(100))  # a busy machine may take its time
@given(st.sampled_from([b"GET / HTTP/1.1", b"POST /v1/models HTTP/1.0", b"\x00"]), _lines)
def test_a_head_is_read_or_refused(first, lines):
    try:
        request = parse_head(b"\r\n".join([first, *lines, b"", b""]))
    except ApiError as error:
        status = error.status
    else:
        status = 200
        assert request.length is None or request.length >= 0
    assert status in {200, 400, 417, 505}


@settings(deadline=None, max_examples=examples(100))  # a busy machine may take its time
@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
@example(b"3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nrest", [1, 2, 7])
def test_a_chunked_body_is_the_same_however_it_arrives(data, places):
    cuts = sorted({0, *(place % (len(data) + 1) for place in places), len(data)})
    assert _read([data[a:b] for a, b in pairwise(cuts)]) == _read([data])


def _read(parts):
    body, said = ChunkedBody(), b""
    try:
        for part in parts:
            if body.complete:
                body.rest += part
            else:
                said += body.feed(part)
    except ApiError as error:
        return error.status
    return said, body.complete, body.rest if body.complete else b""


@settings(deadline=None, max_examples=examples(100))  # a busy machine may take its time
@given(st.binary(max_size=80) | _json.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"version": 1, "backends": {"a": {"trust": "internal", "urls": ["http://["]}}}')
def test_a_table_is_read_or_refused(document):
    try:
        table = decode(document)
    except TableError:
        return
    assert table.version == 1


@settings(deadline=None, max_examples=examples(100))  # a busy machine may take its time
@given(_events)
def test_a_stream_is_relayed_or_given_up(parts):
    tokens, stream, rest = Tokens(), Filter(hides_usage=True), Rest(Tokens())
    for part in parts:
        if tokens.failure is None and stream.failure is None:
            stream.feed(tokens.feed(part))
        if rest.failure is None:
            rest.feed(part)
    assert tokens.count >= 0
    assert not stream.done or stream.committed
