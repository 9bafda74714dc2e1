"""Redaction can be undone, whatever the text, and however the answer is cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_router.core.datapolicy import Action, judge, rules
from hybrid_router.datapolicy import document
from hybrid_router.datapolicy.gate import Cleared, Gate, WithheldError, build
from hybrid_router.datapolicy.redaction import Vault, rebuilt
from hybrid_router.datapolicy.restoring import Events, restored
from hybrid_router.table import Backend, DataPolicy

INSIDE = Backend(trust="internal", urls=("http://127.0.0.1:1/v1",))
OUTSIDE = Backend(trust="external", urls=("http://127.0.0.1:1/v1",))
POLICY = DataPolicy(redact=("email", "own"), patterns={"own": "x{3}[^x]?"})
GATE = Gate(POLICY)
VALUES = st.sampled_from(["jane@example.com", "bob.smith@mail.example.org", 'xxx"', "xxx\\", "xxx"])
TEXTS = st.lists(st.text(max_size=12) | VALUES | st.just("[EMAIL_1]"), max_size=6).map(" ".join)


def body(*texts):
    return json.dumps({"messages": [{"role": "user", "content": text} for text in texts]}).encode()


@settings(deadline=None, max_examples=150)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_an_echo_of_what_was_sent_is_what_the_client_wrote(texts):
    original = body(*texts)
    clearance = GATE.judge(original)
    try:
        cleared = clearance.clear(original, OUTSIDE, POLICY)
    except WithheldError:
        return  # kept inside: nothing is sent
    assert GATE.judge(cleared.body).ruling.redacted == frozenset()
    assert json.loads(cleared.restored(cleared.body)) == json.loads(original)


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.lists(st.integers(0, 40), max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_a_stream_is_restored_however_it_is_cut(text, tokens, pieces):
    vault = Vault()
    sent = text.replace("jane@example.com", vault.placeholder("email", "jane@example.com"))
    expected = vault.restore(sent)
    cuts = sorted({min(cut, len(sent)) for cut in (0, len(sent), *tokens)})
    parts = [sent[a:b] for a, b in pairwise(cuts)]
    stream = b"".join(
        b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": p}}]}).encode()
        for p in parts
    )
    stream += b"data: [DONE]\n\n"
    events = Events(vault)
    edges = sorted({min(edge, len(stream)) for edge in (0, len(stream), *pieces)})
    out = b"".join(events.feed(stream[a:b]) for a, b in pairwise(edges))
    out += events.end()
    found = [line[6:] for line in out.split(b"\n\n") if line.startswith(b"data: {")]
    assert "".join(json.loads(f)["choices"][0]["delta"]["content"] for f in found) == expected
    assert out.endswith(b"data: [DONE]\n\n")


def test_two_streams_in_one_are_not_mixed_up():
    vault = Vault()
    vault.placeholder("email", "jane@example.com")
    events = Events(vault)
    out = b""
    for index, piece in ((0, "a [EM"), (1, "b [EMA"), (0, "AIL_1]"), (1, "IL_1]")):
        value = {"choices": [{"index": index, "delta": {"content": piece}}]}
        out += events.feed(b"data: %s\n\n" % json.dumps(value).encode())
    texts = {0: "", 1: ""}
    for line in out.strip().split(b"\n\n"):
        choice = json.loads(line[6:])["choices"][0]
        texts[choice["index"]] += choice["delta"]["content"]
    assert texts == {0: "a jane@example.com", 1: "b jane@example.com"}


def test_streamed_arguments_of_a_tool_stay_json():
    vault = Vault()
    vault.placeholder("own", 'a"b\\c')
    events = Events(vault)
    out = b""
    for piece in ('{"p": "[OW', 'N_1]"}'):
        call = {"index": 0, "function": {"arguments": piece}}
        value = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
        out += events.feed(b"data: %s\n\n" % json.dumps(value).encode())
    calls = [
        json.loads(line[6:])["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]
        for line in out.strip().split(b"\n\n")
    ]
    assert json.loads("".join(calls)) == {"p": 'a"b\\c'}


FORMATS = [
    pytest.param({"response_format": {"type": "json_object"}}, id="chat"),
    pytest.param({"text": {"format": {"type": "json_schema"}}}, id="responses"),
    pytest.param({"output_config": {"format": {"type": "json_schema"}}}, id="messages"),
]
ANSWERS = [
    pytest.param(lambda t: {"choices": [{"message": {"content": t}}]}, id="chat"),
    pytest.param(lambda t: {"output": [{"content": [{"text": t}]}]}, id="responses"),
    pytest.param(lambda t: {"content": [{"type": "text", "text": t}]}, id="messages"),
]
EVENTS = [
    pytest.param(lambda t: {"choices": [{"index": 0, "delta": {"content": t}}]}, id="chat"),
    pytest.param(lambda t: {"type": "response.output_text.delta", "delta": t}, id="responses"),
    pytest.param(lambda t: {"index": 0, "delta": {"type": "text_delta", "text": t}}, id="messages"),
]
IN_JSON = '{"own": "[OWN_1]"}'
SPOKEN = 'xxx"'


def text_of(value):
    """Return the one text of an answer or an event that is JSON."""
    if isinstance(value, str):
        return value if value.startswith("{") else ""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return "".join(map(text_of, parts))


@pytest.mark.parametrize("asked", FORMATS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_to_be_json_stays_json(asked, answer):
    raw = json.dumps({"messages": [{"content": SPOKEN}], **asked}).encode()
    cleared = GATE.judge(raw).clear(raw, OUTSIDE, POLICY)
    told = json.loads(cleared.restored(json.dumps(answer(IN_JSON)).encode()))
    assert json.loads(text_of(told)) == {"own": SPOKEN}


@pytest.mark.parametrize("event", EVENTS)
def test_a_stream_that_is_to_be_json_stays_json(event):
    vault = Vault(in_json=True)
    vault.placeholder("own", SPOKEN)
    events = Events(vault)
    out = events.feed(b"data: %s\n\n" % json.dumps(event(IN_JSON)).encode())
    assert json.loads(text_of(json.loads(out[6:]))) == {"own": SPOKEN}


def test_an_answer_in_words_gets_its_values_as_they_are():
    raw = body(SPOKEN)
    cleared = GATE.judge(raw).clear(raw, OUTSIDE, POLICY)
    assert (
        json.loads(cleared.restored(b'{"content": "It is [OWN_1]"}'))["content"]
        == f"It is {SPOKEN}"
    )


def test_what_does_not_change_is_sent_byte_by_byte():
    raw = b'{ "n": 18446744073709551616, "f": 1.0e2, "s": "\\u00e9\\/", "m" : "x" }'
    assert rebuilt(raw, {5: "y"}) == raw.replace(b'"x"', b'"y"')


def test_an_answer_without_placeholders_is_the_same_bytes():
    raw = b'{"a": [1_0, "x"]'
    assert restored(raw, Vault()) == raw


def test_nobody_else_can_clear_a_body():
    with pytest.raises(TypeError):
        Cleared(b"{}", None, object())


def test_another_policy_than_the_one_it_was_judged_by_lets_nothing_out():
    clearance = GATE.judge(body("hello"))
    assert clearance.clear(b"{}", OUTSIDE, POLICY).body == b"{}"
    with pytest.raises(WithheldError):
        clearance.clear(b"{}", OUTSIDE, None)
    assert clearance.clear(b"{}", INSIDE, None).body == b"{}"


def test_a_number_cannot_be_redacted_and_so_stays():
    gate = Gate(policy := DataPolicy(redact=("payment-card",)))
    raw = b'{"messages": [], "metadata": {"n": 4111111111111111}}'
    with pytest.raises(WithheldError):
        gate.judge(raw).clear(raw, OUTSIDE, policy)


def test_both_parts_of_a_value_cut_in_two_are_replaced():
    raw = body("mail jane@exam", "ple.com now")
    cleared = GATE.judge(raw).clear(raw, OUTSIDE, POLICY)
    sent = [m["content"] for m in json.loads(cleared.body)["messages"]]
    assert sent == ["mail [EMAIL_1]", "[EMAIL_2] now"]
    assert json.loads(cleared.restored(cleared.body)) == json.loads(raw)


@pytest.mark.parametrize(
    ("policy", "types", "action"),
    [
        (DataPolicy(redact=("secret",), keep_local=("jwt",)), ["jwt"], Action.KEEP_LOCAL),
        (DataPolicy(keep_local=("secret",), refuse=("jwt",)), ["jwt"], Action.REFUSE),
        (DataPolicy(redact=("email",)), ["unscanned"], Action.KEEP_LOCAL),
        (DataPolicy(redact=("email",), refuse=("unscanned",)), ["unscanned"], Action.REFUSE),
    ],
)
def test_the_strictest_rule_wins(policy, types, action):
    assert [each for _, each in judge(rules(policy), types).classes] == [action]


@pytest.mark.parametrize(
    ("raw", "unscanned"),
    [
        (b'{"input": "hi", "previous_response_id": "resp_1"}', True),
        (b'{"input": "hi", "previous_response_id": null}', False),
        (b'{"prompt": [1, 2, 3]}', True),
        (b'{"prompt": [1.0, 2.0]}', True),
        (b'{"prompt": {"id": "pmpt_1"}}', True),
        (b'{"input": ["a", "b"]}', False),
        (b'{"tools": [{"parameters": {"type": ["string", "null"]}}]}', False),
        (b'{"parameters": {"properties": {"file_id": {"type": "string"}}}}', False),
        (b'{"parameters": {"properties": {"prompt": {"type": "string"}}}}', False),
        (b'{"parameters": {"properties": {"x": {"default": {"file_id": "file-1"}}}}}', False),
        (b'{"properties": {"file_id": "file-1"}}', True),
        (b'{"content": [{"type": "document", "source": {"type": ["text"]}}]}', True),
        (b'{"messages": [{"content": [{"type": "text", "text": "a"}]}]}', False),
        (b'{"messages": [{"content": [{"type": "input_audio", "input_audio": {}}]}]}', True),
        (b'{"content": [{"type": "document", "source": {"type": "text", "data": "a"}}]}', False),
        (b'{"input": [{"type": "image_generation_call", "id": "ig_1", "result": "aGk="}]}', True),
        (b'{"content": [{"type": "image_embeds", "image_embeds": "aGk="}]}', True),
        (b'{"content": [{"image_embeds": "aGk="}]}', True),
        (b'{"content": [{"audio_url": {"url": "https://example.com/a"}}]}', True),
        (b'{"input": [{"image": "https://example.com/a"}]}', True),
        (b'{"image": {"size": "a"}}', False),
        (b'{"thinking": "", "signature": "aGk=", "type": "thinking"}', True),
        (b'{"thinking": "hm", "signature": "aGk=", "type": "thinking"}', False),
        (b'{"thinking": {"type": "enabled"}}', False),
        (b'{"reasoning_details": [{"type": "reasoning.encrypted", "data": "aGk="}]}', True),
        (b'{"thread": {"type": "create"}}', False),
        (b'{"container": {"skills": [{"skill_id": "pptx"}]}}', False),
        (b'{"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}', True),
        (b'{"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}', False),
        (b'{"content": [{"type": "document", "source": {"type": "base64", "data": "a"}}]}', True),
    ],
)
def test_what_no_scan_can_look_into_is_noted(raw, unscanned):
    assert document.read(raw).unscanned is unscanned


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"password": "Geheim123!xY"}, True, id="a password"),
        pytest.param({"api_key": "a8f5f167f44f4964e6c998dee827110c"}, True, id="a key"),
        pytest.param({"password": {"type": "string"}}, False, id="a parameter of a tool"),
        pytest.param({"enum": ["token", "oauth2"]}, False, id="choices"),
        pytest.param({"content": "my password", "tool_calls": []}, False, id="the next field"),
        pytest.param({"secret": "of the 2nd kind, that is"}, False, id="a sentence"),
    ],
)
def test_a_secret_is_named_by_the_field_that_it_stands_in(fields, found):
    gate = Gate(DataPolicy(keep_local=("secret",)))
    said = {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": fields}]}]}
    assert gate.judge(json.dumps(said).encode()).ruling.names == (("secret",) if found else ())


def test_a_policy_that_cannot_be_enforced_lets_nothing_out():
    clearance = build(policy := DataPolicy(redact=("own",), patterns={"own": "("})).judge(b"{}")
    with pytest.raises(WithheldError):
        clearance.clear(b"{}", OUTSIDE, policy)
