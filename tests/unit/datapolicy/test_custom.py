"""A policy's own patterns: found where their author means them to be."""

import base64
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


FULL_WIDTH = {ord(c): ord(c) + 0xFEE0 for c in "EMP123456Falke"}
OWN = DataPolicy(
    redact=("staff", "falcon"),
    patterns={"staff": "EMP-[0-9]{6}"},
    words={"falcon": ("Project Falcon", "Falke", "emp")},
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("the Project  Falcon", "falcon", id="two spaces in a phrase"),
        pytest.param("the Project\n    Falcon", "falcon", id="a phrase over two lines"),
        pytest.param("the Project\u00a0Falcon", "falcon", id="a space that breaks no line"),
        pytest.param("the Pro\u200bject Falcon", "falcon", id="zero width in a word"),
        pytest.param("Falke".translate(FULL_WIDTH), "falcon", id="a word in full width"),
        pytest.param("F\u0430lke", "falcon", id="a look-alike in a word"),
        pytest.param(r"Project\u0020Falcon", "falcon", id="an escape in a phrase"),
        pytest.param("EMP-123456".translate(FULL_WIDTH), "staff", id="a pattern in full width"),
        pytest.param("EMP\u2011123456", "staff", id="a hyphen that breaks no line"),
        pytest.param(
            base64.b64encode(b"staff member EMP-123456 is ill").decode(), "staff", id="base64"
        ),
        pytest.param("Falkes", None, id="no longer word"),
        pytest.param("Project Falco", None, id="no part of a phrase"),
        pytest.param("ProjectFalcon", None, id="nor one without its space"),
    ],
)
def test_own_classes_are_found_in_what_a_text_reads_as(text, name):
    raw = json.dumps(turns(f"zu \u00fcben: {text}")).encode()
    names = Gate(OWN).judge(raw).ruling.names
    assert (name in names) if name is not None else not names


def test_own_classes_that_overlap_in_an_odd_place_are_replaced_where_they_stand():
    body = turns(
        "\u00fcber \u00e4 " + "EMP-123456".translate(FULL_WIDTH) + " \u00fcber Falke \u00e4"
    )
    raw = json.dumps(body, ensure_ascii=False).encode()
    cleared = Gate(OWN).judge(raw).clear(raw, OUTSIDE, OWN)
    (sent,) = json.loads(cleared.body)["messages"]
    assert sent["content"] == "\u00fcber \u00e4 [STAFF_1] \u00fcber [FALCON_1] \u00e4"
    assert json.loads(cleared.restored(cleared.body)) == body


def test_a_pattern_reaches_over_no_other_text():
    body = turns("Case: one\n", "no", "Case: two\nmore", "no")
    policy = DataPolicy(redact=("own",), patterns={"own": "Case:.*"})
    raw = json.dumps(body).encode()
    cleared = Gate(policy).judge(raw).clear(raw, OUTSIDE, policy)
    sent = [each["content"] for each in json.loads(cleared.body)["messages"]]
    assert sent == ["[OWN_1]\n", "no", "[OWN_2]\nmore", "no"]
    assert json.loads(cleared.restored(cleared.body)) == body
