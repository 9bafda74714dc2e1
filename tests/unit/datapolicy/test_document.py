"""However a body is decoded, what it says is the same, and no repeated name is overlooked."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_router.datapolicy import document
from hybrid_router.datapolicy.findings import SEAM
from hybrid_router.openai.request import parse

WORDS = st.sampled_from(
    ["a", "b", "type", "text", "content", "image_url", "prompt", "a\\", '"', '":', ": ", "\n", "é"]
)
WORD = WORDS | st.text(max_size=6)
NUMBER = st.integers() | st.floats(allow_nan=True) | st.integers(10**6, 10**30)
SPACE = st.sampled_from(["", "", "", " ", "\t", "\n", "\r\n "])


def literal(draw, value):
    """Return a value as JSON, in one of the forms that JSON has for it."""
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def anything(draw, depth=3):
    """Return JSON as text: names repeat, white space and escapes stand anywhere."""
    kind = draw(st.sampled_from(["word", "number", "other", "list", "object", "object"]))
    if kind == "word" or (depth == 0 and kind in {"list", "object"}):
        return literal(draw, draw(WORD))
    if kind == "number":
        return literal(draw, draw(NUMBER))
    if kind == "other":
        return draw(st.sampled_from(["null", "true", "1e400", "-0", "1e9", "NaN", r'"\ud800"']))
    space = draw(SPACE)
    below = [draw(anything(depth=depth - 1)) for _ in range(draw(st.integers(0, 3)))]
    if kind == "list":
        return f"[{space}{f'{space},'.join(below)}{space}]"
    pairs = [f"{literal(draw, draw(WORD))}{space}:{space}{value}" for value in below]
    return f"{{{space}{f',{space}'.join(pairs)}{space}}}"


def said(read, body):
    """Return what a way of reading makes of a body, or how it fails."""
    try:
        found = read(body)
    except (ValueError, RecursionError) as error:
        return type(error).__name__
    return found.texts, found.numbers, found.seams, found.unscanned, found.names


@settings(deadline=None, max_examples=400)
@given(anything(), st.sampled_from([1, 1, 1, 60]))
def test_both_ways_of_reading_say_the_same(text, times):
    body = f"[{','.join([text] * times)}]".encode(errors="surrogatepass")
    assert said(document.read, body) == said(document.read_with_hook, body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":1,"a":2}', id="plain"),
        pytest.param(b'{"a":1,"a" :2}', id="a space before one colon"),
        pytest.param(b'{"a":1,"a"\r\n\t :2}', id="white space before one colon"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="one written as an escape"),
        pytest.param(b'{"x":{"y":[{"a":1,"a":2}]}}', id="deep inside"),
        pytest.param(b'{"a":{"b":1,"c":2},"a":3}', id="the first value holds names itself"),
        pytest.param(b'{"a\\\\":1,"a\\\\":2}', id="names that end with a backslash"),
        pytest.param(b'{"a\\\\":1,"a\\\\":2,"t":"\\":"}', id="with the end of an escaped name"),
        pytest.param(b'{"a\\\\":1,"a":2,"a":3}', id="beside a name that ends with a backslash"),
        pytest.param(b'{"a\\"":1,"a\\"":2}', id="names that end with a quote"),
        pytest.param(b'{"a":1,"a":2,"t":": x"}', id="beside a text that begins with a colon"),
        pytest.param(b'{"a":1,"a":2,"t":"{\\"k\\": 1}"}', id="beside JSON in a text"),
        pytest.param(b'{"":1,"":2}', id="empty names"),
        pytest.param(b"[" + b'"x",' * 300 + b'{"a":1,"a" : 2}]', id="behind many texts"),
        pytest.param(b'{"t":"%s","a":1,"a":2}' % (b"x" * 9999), id="behind a long text"),
        pytest.param(
            b'{"t":"%s\\":","a\\\\":1,"a\\\\":2}' % (b"x" * 9999),
            id="behind a long text that holds a quote and a colon",
        ),
    ],
)
def test_a_repeated_name_is_refused(body):
    with pytest.raises(document.RepeatedNameError):
        document.read(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":{"a":{"a":1}}}', id="one name in three objects"),
        pytest.param(b'{"a":"{\\"a\\":1,\\"a\\":2}"}', id="in the JSON that a text holds"),
        pytest.param(b'{"a":":","b":"\\":","c\\\\":1}', id="texts that look like names"),
        pytest.param(
            b'{"a":"%s\\":","b":"\\": ","c\\\\":1}' % (b"x" * 9999), id="the same in long texts"
        ),
    ],
)
def test_names_that_do_not_repeat_in_one_object_are_none(body):
    assert document.read(body).value == json.loads(body)


def test_a_body_nested_too_deeply_is_refused_and_not_half_read():
    with pytest.raises(ValueError, match="nested"):
        document.read(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("decoded", [None, {"messages": "text"}, {"messages": [1]}, ["x"]])
def test_a_call_reads_its_messages_itself_where_nobody_did_for_it(decoded):
    call = parse("chat", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    call.decoded = decoded
    assert call.messages() == [{"role": "user", "content": "hi"}]


def test_what_is_done_to_the_messages_stays_out_of_the_decoded_body():
    call = parse("chat", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    call.decoded = document.read(call.body).value
    call.messages().clear()
    assert call.messages() == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([9e307] * 5_000, id="numbers of 308 digits"),
        pytest.param({"n" * 50_000: [12_345_678] * 5_000}, id="numbers under a long name"),
        pytest.param({"n" * 5_000: [{"n" * 5_000: [1e7] * 99}] * 9}, id="and in it another one"),
        pytest.param(["x"] * 9_000, id="many texts beside each other"),
    ],
)
def test_what_is_scanned_of_a_body_is_not_many_times_the_body(value):
    body = json.dumps(value).encode()
    found = document.read(body)
    seams = sum(min(len(found.texts[i]), SEAM) for pair in found.seams for i in pair)
    assert sum(map(len, found.texts + found.numbers)) + seams < 6 * len(body)


def test_a_number_that_may_be_a_card_is_scanned_with_the_end_of_its_name():
    found = document.read(b'{"%s card": [4111111111111111, 4e15, 1e20]}' % (b"x" * 99))
    assert [number.lstrip("x") for number in found.numbers] == [
        " card: 4111111111111111",
        " card: 4000000000000000",
    ]
