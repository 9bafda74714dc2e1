"""What is cut in two is found where a reader takes both parts one after the other."""

import json

import pytest

from hybrid_router.datapolicy.gate import Gate
from hybrid_router.table import Backend, DataPolicy

OUTSIDE = Backend(trust="external", urls=("http://127.0.0.1:1/v1",))
POLICY = DataPolicy(redact=("payment-card",))
GATE = Gate(POLICY)


def part(text, **fields):
    return {"type": "text", **fields, "text": text}


def user(content):
    return {"role": "user", "content": content}


def said(text):
    return {"type": "output_text", "annotations": [], "text": text}


def output(text):
    return {"type": "function_call_output", "call_id": "a", "output": text}


NEIGHBOURS = [
    pytest.param(lambda a, b: {"messages": [user(a), user(b)]}, id="turns"),
    pytest.param(lambda a, b: {"messages": [user([part(a), part(b)])]}, id="parts"),
    pytest.param(lambda a, b: {"messages": [user([a, b])]}, id="parts that are bare texts"),
    pytest.param(
        lambda a, b: {"messages": [user([part(a)]), user([part(b)])]}, id="turns of parts"
    ),
    pytest.param(lambda a, b: {"messages": [user(a), user([part(b)])]}, id="a text, and parts"),
    pytest.param(
        lambda a, b: {"messages": [user([part(a, citations=[]), part(b, citations=[])])]},
        id="parts with citations",
    ),
    pytest.param(
        lambda a, b: {"input": [{"role": "assistant", "content": [said(a), said(b)]}]},
        id="parts of an answer",
    ),
    pytest.param(
        lambda a, b: {"messages": [user([part(a), part(""), part(b)])]}, id="an empty part between"
    ),
    pytest.param(
        lambda a, b: {"messages": [user(a), {"role": "assistant", "content": None}, user(b)]},
        id="a turn without text between",
    ),
    pytest.param(lambda a, b: {"input": [output(a), output(b)]}, id="outputs of tools"),
    pytest.param(
        lambda a, b: {"messages": [user([{"type": "tool_result", "content": [part(a), part(b)]}])]},
        id="parts of a tool's result",
    ),
    pytest.param(lambda a, b: {"prompt": [a, b]}, id="texts of a list"),
]
CUTS = [
    pytest.param("card 4111 1111", "1111 1111 ok", id="between two groups"),
    pytest.param("card 4111 1111 ", "1111 1111 ok", id="between two groups, with the space"),
    pytest.param("card 4111 111", "1 1111 1111 ok", id="in a group"),
    pytest.param("card 41111111", "11111111 ok", id="in the digits"),
]


@pytest.mark.parametrize("body", NEIGHBOURS)
@pytest.mark.parametrize(("first", "second"), CUTS)
def test_a_card_cut_in_two_is_found_and_replaced(body, first, second):
    raw = json.dumps(body(first, second)).encode()
    clearance = GATE.judge(raw)
    assert clearance.ruling.names == ("payment-card",)
    sent = clearance.clear(raw, OUTSIDE, POLICY)
    assert "1111" not in sent.body.decode()
    assert json.loads(sent.restored(sent.body)) == json.loads(raw)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"metadata": {"a": "4111 1111 ", "b": "1111 1111"}}, id="metadata"),
        pytest.param(
            {"tools": [{"parameters": {"required": ["4111 1111 ", "1111 1111"]}}]}, id="a schema"
        ),
        pytest.param({"user": "4111 1111 ", "messages": [user("1111 1111")]}, id="two fields"),
        pytest.param({"messages": [user("1111 1111"), user("4111 1111 ")]}, id="the other way"),
    ],
)
def test_what_no_reader_joins_is_not_joined(body):
    assert GATE.judge(json.dumps(body).encode()).ruling.names == ()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(["4111", " 1111", " 1111", " 1111"], id="groups"),
        pytest.param(["4111", "1111", "1111", "1111"], id="groups without spaces"),
        pytest.param(["my card is 41", "11 ", "1111 11", "", "11 11", "11, ok?"], id="tokens"),
        pytest.param(["a " * 99 + "4111 11", "11 1111", " 1111" + " b" * 99], id="in long texts"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda texts: {"messages": [user([part(t) for t in texts])]}, id="parts"),
        pytest.param(lambda texts: {"messages": [user(t) for t in texts]}, id="turns"),
    ],
)
def test_a_card_cut_in_many_is_found_and_replaced(body, pieces):
    raw = json.dumps(body(pieces)).encode()
    clearance = GATE.judge(raw)
    assert clearance.ruling.names == ("payment-card",)
    sent = clearance.clear(raw, OUTSIDE, POLICY)
    assert "11" not in sent.body.decode()
    assert json.loads(sent.restored(sent.body)) == json.loads(raw)
