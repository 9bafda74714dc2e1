"""A replica that goes cuts no stream: two real vLLMs, streams on both, and then there is one.

`make test-full` runs it: three starts of a vLLM take long on two cores.
"""

import threading
import time
from dataclasses import dataclass, field

import pytest

from tests.e2e import stack
from tests.e2e.stack import LOCAL, NAMESPACE

NAME = "drained"
START_S, GONE_S = 900, 180
TOKENS = 1200
"""Of a stream's answer: it lasts longer than a scale-down takes to begin."""
MOST_STREAMS = 40
RUNNING = "vllm:num_requests_running"
pytestmark = pytest.mark.timeout(2 * START_S + 4 * GONE_S)


@dataclass
class Stream:
    """What a client got of one streamed answer."""

    tokens: int = 0
    finish: str | None = None
    failed: str = ""
    began: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask, and read to the end."""
        try:
            with stack.client(NAME) as asked:
                events = asked.chat.completions.create(
                    model=LOCAL,
                    messages=[{"role": "user", "content": stack.SIMPLE}],
                    max_tokens=TOKENS,
                    stream=True,
                    stream_options={"include_usage": True},
                    extra_body={"ignore_eos": True},
                    timeout=GONE_S,
                )
                for event in events:
                    self.began.set()
                    if event.usage is not None:
                        self.tokens = event.usage.completion_tokens
                    for choice in event.choices:
                        self.finish = choice.finish_reason or self.finish
        except Exception as error:  # noqa: BLE001  whatever it is, it is a cut stream
            self.failed = f"{type(error).__name__}: {error}"
        finally:
            self.began.set()


def running(pod: str) -> float:
    """Return how many requests an engine works on."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8000/proxy/metrics"
    text = stack.kubectl("get", "--raw", path)
    return sum(float(x.split()[-1]) for x in text.splitlines() if x.startswith(f"{RUNNING}{{"))


def ready() -> list[str]:
    """Return the names of the engines that answer and stay."""
    found = []
    for pod in stack.pods(NAME, "engine"):
        conditions = pod["status"].get("conditions", ())
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            found.append(pod["metadata"]["name"])
    return found


def scale(**scaling: object) -> None:
    spec = stack.demo_spec() | {"router": {"replicas": 1}}
    spec["models"][0]["scaling"] = {"min": 1} | scaling
    stack.apply(stack.resource(NAME, spec))


def two() -> list[str]:
    """Have two replicas, as the schedule asks for; return their names."""
    scale(max=2, schedule=[{"begin": "00:00", "end": "00:00", "min": 2}])
    stack.eventually("two engines answer", lambda: len(ready()) == 2, START_S)
    stack.wait_for(NAME, "RouterReady", seconds=120)
    return ready()


def begin(count: int) -> list[tuple[Stream, threading.Thread]]:
    found = []
    for _ in range(count):
        stream = Stream()
        thread = threading.Thread(target=stream.run)
        thread.start()
        found.append((stream, thread))
    for stream, _ in found:
        assert stream.began.wait(GONE_S)
    return found


def whole(streams: list[tuple[Stream, threading.Thread]]) -> None:
    """Wait for the streams; assert that each is there to its last token."""
    for _, thread in streams:
        thread.join()
    told = [(stream.failed, stream.finish, stream.tokens) for stream, _ in streams]
    assert told == [("", "length", TOKENS)] * len(streams)


@pytest.fixture(scope="module", autouse=True)
def _tidied(scripted):  # noqa: ARG001  the provider and the volumes are there
    yield
    stack.kubectl("delete", "hinf", NAME, "--ignore-not-found", "--wait=false")


def test_no_stream_is_cut_where_a_replica_goes_that_has_some():
    both = two()
    streams = begin(1)
    while not all(running(pod) for pod in both):
        # A replica that has just come gets its share little by little.
        assert len(streams) < MOST_STREAMS, f"{len(streams)} streams, and none at one of {both}"
        time.sleep(2)
        streams += begin(1)
    scale(max=1)
    stack.eventually("one is told to go", lambda: len(stack.pods(NAME, "engine")) == 1, GONE_S)
    with stack.client(NAME) as asked:
        late = [stack.chat(asked, LOCAL)[0] for _ in range(10)]
    whole(streams)
    assert late == ["local"] * 10


def test_the_replica_that_has_nothing_to_do_goes():
    both = two()
    streams = begin(1)
    busy = stack.eventually("one works", lambda: [pod for pod in both if running(pod)], GONE_S)
    scale(max=1)
    stack.eventually("one is told to go", lambda: len(stack.pods(NAME, "engine")) == 1, GONE_S)
    assert ready() == busy
    whole(streams)
