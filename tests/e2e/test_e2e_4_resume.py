"""Two real vLLMs on loopback: a stream that breaks at one goes on at the other, token for token.

The model recites a text in many scripts, most of whose characters take several tokens: a token too
many, too few, or half a character would show.
"""

import json
import socket
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection

import pytest

from tests.support.vllm import NAME, engines, hinf_router

pytestmark = pytest.mark.timeout(900)  # two engines start, on cores that others use, too

TOKENS = 64
QUESTION = {
    "model": "m",
    "messages": [{"role": "user", "content": "¿Qué?"}],
    "max_tokens": TOKENS,
    "stream": True,
    "stream_options": {"include_usage": True},
}
GREEDY = {"temperature": 0}
SAMPLED = {"temperature": 1.0, "seed": 7}


class Cutter:
    """Stands before an engine, and breaks a connection after so many events.

    Attributes:
        after: events that pass; None lets everything pass.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.after: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        seen = 0
        while data := server.recv(65_536):
            seen += data.count(b"\n\n")
            if self.after is not None and seen > self.after:
                break
            client.sendall(data)
        for each in (client, server):
            with suppress(OSError):  # a mere close() would wait for the thread that reads it
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    with engines(2, "reciting-model", folder) as found:
        yield found


@pytest.fixture(scope="module")
def cutters(two):
    found = [Cutter(engine.port) for engine in two]
    yield found
    for each in found:
        each.close()


@pytest.fixture(scope="module")
def port(cutters, tmp_path_factory):
    urls = [f"http://127.0.0.1:{each.port}/v1" for each in cutters]
    backend = {"trust": "internal", "engine": "vllm", "urls": urls, "cooldown": 0.1}
    target = {"backend": "local", "model": NAME, "maxContextTokens": 8192}
    table = {
        "backends": {"local": backend},
        "models": {"m": {"targets": [target]}},
        "policy": {"breakerFailures": 1000},
    }
    with hinf_router(table, tmp_path_factory.mktemp("router")) as router:
        yield router.port


def ask(port, *, on_event=lambda _: None, **fields):
    """Return the events of a streamed chat."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps({**QUESTION, **fields}))
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        events = []
        for line in reply:
            if line.startswith(b"data: "):
                events.append(line[6:].strip())
                on_event(len(events))
    assert events[-1] == b"[DONE]", events[-1]
    return [json.loads(event) for event in events[:-1]]


def told(events):
    """Return text, finish reasons, usage and identity of a stream."""
    choices = [choice for event in events for choice in event["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    assert not any("token_ids" in choice for choice in choices)
    assert sum("role" in choice["delta"] for choice in choices) == 1
    assert len({(e["id"], e["created"], e["model"], e["object"]) for e in events}) == 1
    finish = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    usage = [(u["prompt_tokens"], u["completion_tokens"]) for e in events if (u := e.get("usage"))]
    return text, finish, usage


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_stream_cut_anywhere_ends_as_if_it_had_not_been(port, cutters, sampling):
    for each in cutters:
        each.after = None
    whole = told(ask(port, **sampling))
    assert "🙂" in whole[0]
    assert "�" not in whole[0]
    assert (whole[1], whole[2][0][1]) == (["length"], TOKENS)
    for cut in range(2, TOKENS + 2, 3 if sampling is GREEDY else 13):
        for each in cutters:
            each.after = None
        cutters[0].after = cut
        assert told(ask(port, **sampling)) == whole, f"cut after {cut} events"


def test_a_stream_that_is_cut_at_both_again_and_again_still_ends_whole(port, cutters):
    for each in cutters:
        each.after = None
    whole = told(ask(port, **GREEDY))
    for each in cutters:
        each.after = 30  # the first attempt, the second, and the third one has enough
    assert told(ask(port, **GREEDY)) == whole


def test_a_killed_engine_is_invisible(port, two, cutters):
    for each in cutters:
        each.after = None
    fields = {**GREEDY, "max_tokens": 1000}
    whole = told(ask(port, **fields))
    killed = threading.Event()

    def kill(count):
        if count == 100 and not killed.is_set():
            killed.set()
            busy = max(two, key=_running)
            busy.kill()

    assert told(ask(port, on_event=kill, **fields)) == whole
    assert killed.is_set()


def _running(engine):
    """Return how many requests an engine works at."""
    with closing(HTTPConnection("127.0.0.1", engine.port, timeout=10)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    lines = [line for line in text.splitlines() if line.startswith("vllm:num_requests_running{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
