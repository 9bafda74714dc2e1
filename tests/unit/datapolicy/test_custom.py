"""A policy's own patterns: found where their author means them to be."""

import json

import pytest

from hybrid_router.datapolicy.gate import Gate
from hybrid_router.table import Backend, DataPolicy

OUTSIDE = Backend(trust="external", urls=("http://127.0.0.1:1/v1",))


def judged(pattern, body):
    gate = Gate(DataPolicy(keep_local=("own",), patterns={"own": pattern}))
    return gate.judge(json.dumps(body).encode()).ruling.names == ("own",)


def turns(*texts):
    return {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        pytest.param("^EMP-[0-9]{6}$", "EMP-123456", True, id="anchors: the whole text"),
        pytest.param("^EMP-[0-9]{6}$", "staff:\nEMP-123456\n", True, id="a line"),
        pytest.param("^EMP-[0-9]{6}$", "of EMP-123456", False, id="and not in the middle of one"),
        pytest.param(r"\AEMP-[0-9]{6}\z", "EMP-123456", True, id="a text's ends"),
        pytest.param(r"\AEMP-[0-9]{6}\z", "a\nEMP-123456", False, id="which no line has"),
        pytest.param("(?i)^emp", "EMP-1", True, id="with flags"),
        pytest.param("(?-m)^EMP$", "EMP", True, id="even with that of lines taken away"),
        pytest.param("ab", "xaby", True, id="anywhere without them"),
        pytest.param("q*", "bcd", False, id="nothing is no finding"),
    ],
)
def test_where_a_pattern_is_found(pattern, text, found):
    assert judged(pattern, turns("hello", text, "bye")) is found


def test_a_pattern_reaches_over_no_other_text():
    body = turns("Case: one\n", "no", "Case: two\nmore", "no")
    policy = DataPolicy(redact=("own",), patterns={"own": "Case:.*"})
    raw = json.dumps(body).encode()
    cleared = Gate(policy).judge(raw).clear(raw, OUTSIDE, policy)
    sent = [each["content"] for each in json.loads(cleared.body)["messages"]]
    assert sent == ["[OWN_1]\n", "no", "[OWN_2]\nmore", "no"]
    assert json.loads(cleared.restored(cleared.body)) == body
