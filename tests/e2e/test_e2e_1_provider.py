"""Without a local model: a client sees a provider's answers and failures for what they are."""

import openai
import pytest

from tests.e2e import stack

MODELS = ("ok", "status-401", "status-429", "status-500", "garbage", "silent")


@pytest.fixture(scope="module")
def api(starting):  # noqa: ARG001  its vLLM starts meanwhile
    """Run a resource that has providers only."""
    stack.apply(stack.resource("api", {"providers": [stack.provider(*MODELS)]}))
    stack.wait_for("api", "Ready")
    yield "api"
    stack.kubectl("delete", "hinf", "api", "--wait=false")


@pytest.fixture(scope="module")
def asked(api):
    with stack.client(api) as found:
        yield found


def test_a_chat_is_answered(asked):
    assert stack.chat(asked, "ok") == ("api", "explicit", "the scripted provider answers")


def test_a_streamed_chat_arrives_in_pieces(asked):
    chunks = list(
        asked.chat.completions.create(
            model="ok", messages=[{"role": "user", "content": "hi"}], stream=True
        )
    )
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(word or "" for word in words) == "the scripted provider answers"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_models_lists_what_may_be_asked_for(asked):
    qualified = {f"scripted/{model}" for model in MODELS}
    assert {model.id for model in asked.models.list()} == {"auto", *MODELS, *qualified}


def test_an_unknown_model_is_a_not_found_error_that_says_where_to_look(asked):
    with pytest.raises(openai.NotFoundError, match="/v1/models lists"):
        stack.chat(asked, "gpt-9")


def test_a_request_without_messages_is_a_bad_request_error(asked):
    with pytest.raises(openai.BadRequestError, match="messages"):
        asked.post("/chat/completions", body={"model": "ok"}, cast_to=object)


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        pytest.param("status-401", openai.InternalServerError, 502, id="401 is ours to mend: 502"),
        pytest.param("status-429", openai.RateLimitError, 429, id="429 arrives as a rate limit"),
        pytest.param("status-500", openai.InternalServerError, 500, id="500 is a server error"),
        pytest.param("garbage", openai.InternalServerError, 502, id="Garbage is a 502"),
        pytest.param("silent", openai.InternalServerError, 502, id="No word at all is a 502"),
    ],
)
def test_a_providers_failure_reaches_the_client_as(model, error, status, asked):
    with pytest.raises(error) as caught:
        stack.chat(asked, model)
    assert caught.value.status_code in {status, 502, 503}
    assert isinstance(caught.value.body, dict), "an error envelope, not a bare text"


def test_broken_json_is_a_400_in_an_error_envelope(asked):
    answer = asked._client.post(f"{asked.base_url}chat/completions", content=b'{"model": "ok",')
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_failing_account_shows_in_the_conditions_and_recovers(asked, api):
    def refused():
        with pytest.raises(openai.APIStatusError):
            stack.chat(asked, "status-401")
        found = stack.condition(api, "ProvidersReachable")
        return found["status"] == "False" and "scripted answered 401" in found["message"]

    stack.eventually("a condition that names account and status", refused)
    stack.eventually("an answer", lambda: _answered(asked), seconds=30)
    stack.wait_for(api, "ProvidersReachable", "True", seconds=60)


def _answered(asked):
    try:
        return stack.chat(asked, "ok")
    except openai.APIStatusError:
        return None


def test_client_keys_are_asked_for(make):
    keys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "client-keys"}}
    stack.apply(keys | {"stringData": {"team-a": "key-of-team-a"}})
    make(
        "keyed",
        {
            "providers": [stack.provider("ok")],
            "router": {"replicas": 1, "clientKeys": {"secretRef": {"name": "client-keys"}}},
        },
    )
    stack.wait_for("keyed", "Ready")
    with stack.client("keyed", key="wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stack.chat(stranger, "ok")
    with stack.client("keyed", key="key-of-team-a") as known:
        assert stack.chat(known, "ok")[0] == "api"
