"""The vendors' own clients ask a real vLLM through the router, on both surfaces.

The model's weights are random, so that what it says means nothing; that it is what vLLM says, whole
and in each client's types, is what counts.
"""

import anthropic
import httpx2 as httpx
import pytest

from tests.e2e import stack
from tests.e2e.stack import LOCAL

HI = [{"role": "user", "content": "What is the weather like in Paris?"}]
ENDS = {"max_tokens", "end_turn"}
pytestmark = pytest.mark.timeout(420)  # the first one waits for vLLM


@pytest.fixture(scope="module")
def asked(main):
    with stack.client(main) as found:
        yield found


@pytest.fixture(scope="module")
def claude(main):
    with (
        stack.reach(f"{main}-router") as url,
        anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as found,
    ):
        yield found


def test_openais_client_gets_log_probabilities(asked):
    answer = asked.chat.completions.create(
        model=LOCAL, messages=HI, logprobs=True, top_logprobs=2, max_tokens=3, temperature=0
    )
    found = answer.choices[0].logprobs.content
    assert found
    assert all(len(each.top_logprobs) == 2 for each in found)


def test_anthropics_client_gets_a_message(claude):
    answer = claude.messages.create(model=LOCAL, messages=HI, max_tokens=8, system="Be brief.")
    assert answer.role == "assistant"
    assert answer.stop_reason in ENDS
    assert 0 < answer.usage.output_tokens <= 8
    assert answer.usage.input_tokens > 8


def test_anthropics_client_gets_a_stream(claude):
    with claude.messages.stream(model=LOCAL, messages=HI, max_tokens=8) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert answer.stop_reason in ENDS
    assert 0 < answer.usage.output_tokens <= 8


def test_anthropics_client_counts_tokens(claude):
    assert claude.messages.count_tokens(model=LOCAL, messages=HI).input_tokens > 8


def test_what_the_router_passes_on_is_what_vllm_says(asked, main):
    """The same greedy call, direct and through the router."""
    labels = f"app.kubernetes.io/instance={main},app.kubernetes.io/component=engine"
    engine = stack.get("services", "--selector", labels)["items"][0]["metadata"]["name"]
    body = {"model": LOCAL, "messages": HI, "max_tokens": 12, "temperature": 0, "seed": 1}
    with stack.reach(engine, 8000) as url:
        direct = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
    through = asked.post("/chat/completions", body=body, cast_to=object)
    for answer in (direct, through):
        del answer["id"], answer["created"]
    assert through == direct
