"""The whole thing: a real vLLM and a provider behind one name, and what happens when vLLM dies."""

import threading
import time

import httpx2 as httpx
import openai
import pytest

from tests.e2e import stack
from tests.e2e.stack import LOCAL

pytestmark = pytest.mark.timeout(420)  # the first one waits for vLLM, the last one for its return


@pytest.fixture(scope="module")
def asked(main):
    with stack.client(main) as found:
        yield found


def test_an_explicit_name_reaches_the_real_vllm(asked):
    assert stack.chat(asked, LOCAL)[:2] == ("local", "explicit")


def test_an_adapter_answers_by_its_name_in_its_own_words(main, asked):
    def words(model):
        answer = asked.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "hello"}],
            max_tokens=8,
            temperature=0,
        )
        return answer.choices[0].message.content

    assert stack.chat(asked, stack.ADAPTER)[:2] == ("local", "explicit")
    assert words(stack.ADAPTER) == words(stack.ADAPTER) != words(LOCAL)
    assert stack.ADAPTER in {each.id for each in asked.models.list()}
    with stack.reach(f"{main}-router") as url:  # each time one of two routers
        line = f'model="{stack.ADAPTER}",reason="explicit",source="local",status="200"'
        stack.eventually("it is counted", lambda: line in httpx.get(f"{url}/metrics").text)


def test_vllm_streams_through_the_router_with_usage(asked):
    chunks = list(
        asked.chat.completions.create(
            model=LOCAL,
            messages=[{"role": "user", "content": "hello"}],
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].usage.completion_tokens == 8
    assert len(chunks) > 4


def test_completions_reach_the_real_vllm(asked):
    answer = asked.completions.create(model=LOCAL, prompt="once upon", max_tokens=5)
    assert answer.usage.completion_tokens == 5


def test_a_simple_prompt_is_answered_locally(asked):
    assert stack.chat(asked, "auto", stack.SIMPLE)[:2] == ("local", "confident")


def test_a_complex_prompt_is_answered_by_the_api(asked):
    assert stack.chat(asked, "auto", stack.COMPLEX)[:2] == ("api", "not-confident")


def test_an_explicit_name_is_not_classified(asked):
    assert stack.chat(asked, LOCAL, stack.COMPLEX)[0] == "local"
    assert stack.chat(asked, "ok", stack.SIMPLE)[0] == "api"


def test_a_prompt_beyond_the_context_is_a_bad_request_error(asked):
    with pytest.raises(openai.BadRequestError, match="tokens"):
        stack.chat(asked, LOCAL, "word " * 4000)


def answered_by_vllm(name):
    """Return how many requests the engine has answered, by its own count."""
    labels = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=engine"
    service = stack.get("services", "--selector", labels)["items"][0]["metadata"]["name"]
    with stack.reach(service, 8000) as url:
        text = httpx.get(f"{url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("vllm:request_success_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_a_change_of_routing_restarts_no_engine_and_slm_asks_the_real_one(main):
    before = [pod["metadata"]["uid"] for pod in stack.pods(main, "engine")]
    slm = '{"spec": {"routing": {"classifier": {"type": "slm", "timeout": "20s"}}}}'
    stack.kubectl("patch", "hinf", main, "--type=merge", "--patch", slm)
    try:
        stack.wait_for(main, "RouterReady")
        asked_before = answered_by_vllm(main)
        with stack.client(main) as asked:
            source, reason, _ = stack.chat(asked, "auto", stack.SIMPLE)
        # A random model hardly ever says one of the two words; no verdict means the API.
        assert (source, reason) in {
            ("api", "classifier-error"), ("api", "not-confident"), ("local", "confident"),
        }  # fmt: skip
        assert answered_by_vllm(main) == asked_before + (2 if source == "local" else 1)
    finally:
        back = '{"spec": {"routing": {"classifier": {"type": "embedded", "timeout": null}}}}'
        stack.kubectl("patch", "hinf", main, "--type=merge", "--patch", back)
        stack.wait_for(main, "RouterReady")
    assert [pod["metadata"]["uid"] for pod in stack.pods(main, "engine")] == before


def test_routers_serve_on_while_the_api_server_is_away(main):
    with stack.client(main) as asked, stack.frozen_api_server():
        end = time.monotonic() + 15
        while time.monotonic() < end:
            assert stack.chat(asked, "auto", stack.SIMPLE)[0] == "local"
            assert stack.chat(asked, "auto", stack.COMPLEX)[0] == "api"
    stack.kubectl("get", "hinf", main)
    stack.wait_for(main, "RouterReady")


def test_a_dead_engine_costs_no_answer_and_comes_back(main):
    seen: list[str] = []
    stop = threading.Event()

    def ask():
        with stack.client(main) as asked:
            while not stop.is_set():
                try:
                    seen.append(stack.chat(asked, "auto", stack.SIMPLE)[0])
                except openai.APIError as error:
                    seen.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        stack.eventually("a local answer", lambda: "local" in seen, 30)
        pod = stack.pods(main, "engine")[0]["metadata"]["name"]
        stack.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
        stack.eventually("an answer from the API", lambda: "api" in seen, 30)
        stack.wait_for(main, "EnginesReady", "False")
        assert stack.condition(main, "Ready")["status"] == "True"
        assert stack.condition(main, "Degraded")["status"] == "True"
        stack.wait_for(main, "EnginesReady", seconds=300)
        stack.eventually("local answers again", lambda: seen[-1] == "local", 60)
    finally:
        stop.set()
        thread.join()
    assert {*seen} == {"local", "api"}
    stack.wait_for(main, "Degraded", "False")
