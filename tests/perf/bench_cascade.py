"""What a cascade is worth, on a real vLLM: `make bench-cascade`, about three minutes.

A tiny model that was taught half of what it is asked (tests/cluster/half-knowing-model) answers
800 questions through a router that drafts; whether an answer is right is known. On one half of the
questions each router's cut is chosen, on the other half it is held to what it promised: quality as
a share of the API's, and expected cost against the API alone. The API is scripted, and wrong once
in forty. At last the other half is streamed through a router with the cut for 95 %, and answers and
tokens are counted. Writes build/bench/cascade.json and .md.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean
from typing import Any

from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.prompt import Prompt
from hybrid_router.core.calibration import corrected
from hybrid_router.core.cascade import Sureness
from hybrid_router.core.cost import Prices, Sample, choose_cut
from hybrid_router.outcomes.fit import fit_map
from hybrid_router.outcomes.log import Example
from hybrid_router.table import EVERY, Map, Price
from tests.cluster.vllm.half_known import Question, questions
from tests.support.ending import in_order
from tests.support.vllm import NAME, ROOT, engines, hinf_router

OUT = ROOT / "build" / "bench"
AT_ONCE, MAX_TOKENS, DRAFT_TOKENS = 8, 12, 32
PRICES = Prices(local=Price(input=0.2, output=0.2), api=Price(input=2.5, output=10.0))
"""USD per million tokens. The API's are list prices of gpt-4o; the local ones are an assumption."""
QUALITIES = (0.90, 0.95, 0.99)
API_WRONG_EVERY = 40


@dataclass(frozen=True)
class Asked:
    """A question and what came of it."""

    question: Question
    right: bool
    api_right: bool
    draft: Sureness
    prompt_tokens: int
    tokens: int
    """Of the local answer, which is as long as its draft."""

    def sample(self, confidence: float) -> Sample:
        """Return it as what a cut is chosen from."""
        api_tokens = self.tokens  # the same answer, by a tokenizer that is as good
        return Sample(
            confidence, float(self.right), float(self.api_right), self.prompt_tokens,
            self.tokens, self.tokens, api_tokens,
        )  # fmt: skip


# Who answers.


@contextmanager
def scripted_api(known: dict[str, str]) -> Iterator[str]:
    """Serve chat completions that are right, as `known` says it; yield the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = known[body["messages"][-1]["content"]]
            usage = {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
            if body.get("stream"):
                delta = {"index": 0, "delta": {"content": said}, "finish_reason": "stop"}
                chunk = {"id": "a", "object": "chat.completion.chunk", "choices": [delta]}
                last = {**chunk, "choices": [], "usage": usage}
                events = [json.dumps(each) for each in (chunk, last)] + ["[DONE]"]
                data = "".join(f"data: {each}\n\n" for each in events).encode()
                kind = "text/event-stream"
            else:
                message = {"role": "assistant", "content": said}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                whole = {"id": "a", "object": "chat.completion", "choices": [choice]}
                data, kind = json.dumps({**whole, "usage": usage}).encode(), "application/json"
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


def table(engine: int, api: str, threshold: float) -> dict[str, Any]:
    """Return a table whose `auto` is a cascade."""
    patient = {"firstByte": 300, "connect": 30, "idle": 300}
    local = {"trust": "internal", "engine": "vllm", "urls": [f"http://127.0.0.1:{engine}/v1"]}
    targets = [{"backend": "local", "model": NAME}, {"backend": "api", "model": "large"}]
    return {
        "backends": {
            "local": {**local, "timeouts": patient},
            "api": {"trust": "external", "urls": [api], "timeouts": patient},
        },
        "models": {"auto": {"targets": targets, "classified": True}},
        "policy": {
            "classifier": {"type": "cascade", "draftTokens": DRAFT_TOKENS, "timeout": 300},
            "threshold": threshold,
            "deadline": 300,
        },
        "accessLog": True,
    }


def ask(port: int, number: int, prompt: str, *, stream: bool) -> tuple[str, str]:
    """Return an answer, and who gave it."""
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "auto", "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0}
    with closing(HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        headers = {"content-type": "application/json", "x-request-id": f"q{number}"}
        asked = json.dumps({**body, "stream": stream})
        connection.request("POST", "/v1/chat/completions", asked, headers)
        reply = connection.getresponse()
        data = reply.read()
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {data!r}")
    source = str(reply.headers["x-hybrid-source"])
    if not stream:
        return json.loads(data)["choices"][0]["message"]["content"] or "", source
    rows = [row[6:] for row in data.decode().split("\n\n") if row.startswith("data: {")]
    choices = [choice for row in rows for choice in json.loads(row)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices), source


def read_log(path: Path, count: int) -> dict[str, Any]:
    """Return the lines about so many requests; a line is written after its answer."""
    found: dict[str, Any] = {}
    for _ in range(100):
        rows = path.read_text().splitlines()
        lines = [json.loads(row) for row in rows if row[:1] == "{" and row[-1:] == "}"]
        found = {line["request_id"]: line for line in lines if "draft" in line}
        if len(found) >= count:
            break
        time.sleep(0.1)
    return found


def drafts(
    engine: int, api: str, folder: Path, asked: Sequence[Question], told: dict[str, str]
) -> list[Asked]:
    """Let the local model answer all questions; return what came, with its log-probabilities.

    `told` is what the API would say.
    """
    folder.mkdir()
    with (
        hinf_router(table(engine, api, 0.0), folder) as router,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        numbered = list(enumerate(asked))
        answers = list(
            pool.map(lambda q: ask(router.port, q[0], q[1].prompt, stream=False), numbered)
        )
        logged = read_log(folder / "router.log", len(asked))
    found = []
    for (number, question), (said, _) in zip(numbered, answers, strict=True):
        line = logged[f"q{number}"]
        found.append(
            Asked(
                question, said.strip() == question.answer, told[question.prompt] == question.answer,
                Sureness(**line["draft"]), line["prompt_tokens"], line["completion_tokens"],
            )
        )  # fmt: skip
    return found


# What they are worth.


def auc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """Return the probability that a right answer scores above a wrong one; ties count half."""
    bad = sorted(s for s, r in zip(scores, right, strict=True) if not r)
    good = [s for s, r in zip(scores, right, strict=True) if r]
    above = sum(bisect_left(bad, s) + bisect_right(bad, s) for s in good) / 2
    return above / (len(good) * len(bad))


def by_kind(known: Sequence[Asked]) -> Callable[[Asked], float]:
    """Return the best that a prompt's kind and length can tell: how often such were right."""
    groups = defaultdict(list)
    for each in known:
        groups[each.question.kind, each.question.size].append(each.right)
    return lambda each: mean(groups.get((each.question.kind, each.question.size), [False]))


def by_prompt() -> Callable[[Asked], float]:
    """Return the shipped classifier's confidence."""
    judge = EmbeddedClassifier().judge
    return lambda each: judge(Prompt.from_text(each.question.prompt)).confidence or 0.0


def usd(each: Asked, *, local: bool, drafted: bool) -> float:
    """Return what one answer costs."""
    sample = each.sample(0.0)

    def price(of: Price, tokens: int) -> float:
        return (sample.prompt_tokens * of.input + tokens * of.output) / 1e6

    draft = price(PRICES.local, sample.draft_tokens) if local or drafted else 0.0
    return draft + (0.0 if local else price(PRICES.api, sample.api_tokens))


def held(
    score: Callable[[Asked], float], known: Sequence[Asked], new: Sequence[Asked], *, drafted: bool
) -> list[dict[str, float]]:
    """Return what cuts chosen on `known` come to on `new`, by wanted quality.

    A cut is chosen by calibrated confidences, as `hinf classifier fit` makes them: the labels
    themselves would let it end at a lucky one.
    """
    examples = [Example("", "", score(each), float(each.right), 1.0, "label") for each in known]
    maps = {EVERY: fit_map(examples, Map())}
    free = Prices(local=Price(input=0, output=0), api=PRICES.api)
    found = []
    for quality in QUALITIES:
        samples = [
            replace(each.sample(said := score(each)), local=corrected(maps, None, said))
            for each in known
        ]
        cut = choose_cut(samples, PRICES if drafted else free, quality)
        at = cut.threshold if cut.threshold is not None else 2.0
        local = [score(each) >= at for each in new]
        kept = sum(e.right if here else e.api_right for e, here in zip(new, local, strict=True))
        spent = sum(usd(e, local=here, drafted=drafted) for e, here in zip(new, local, strict=True))
        found.append(_row(quality, at, kept, mean(local), spent, new))
    return found


def at_random(known: Sequence[Asked], new: Sequence[Asked]) -> list[dict[str, float]]:
    """Return what a share drawn at random comes to, expected."""
    here, there = mean(e.right for e in known), mean(e.api_right for e in known)
    found = []
    for quality in QUALITIES:
        share = min(1.0, max(0.0, (1 - quality) * there / (there - here)))
        kept = sum(share * e.right + (1 - share) * e.api_right for e in new)
        spent = sum(
            share * usd(e, local=True, drafted=False)
            + (1 - share) * usd(e, local=False, drafted=False)
            for e in new
        )
        found.append(_row(quality, 0.0, kept, share, spent, new))
    return found


def _row(
    wanted: float, at: float, kept: float, local: float, spent: float, new: Sequence[Asked]
) -> dict[str, float]:
    alone = sum(usd(each, local=False, drafted=False) for each in new)
    best = sum(each.api_right for each in new)
    return {
        "wanted": wanted, "threshold": at, "quality": kept / best, "local": local,
        "cost": spent / alone,
    }  # fmt: skip


def streamed(
    engine: int, api: str, folder: Path, new: Sequence[Asked], threshold: float
) -> dict[str, float]:
    """Stream the other half through a router; return what clients got and what was spent."""
    folder.mkdir()
    with (
        hinf_router(table(engine, api, threshold), folder) as router,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        numbered = list(enumerate(new))
        came = list(
            pool.map(lambda a: ask(router.port, a[0], a[1].question.prompt, stream=True), numbered)
        )
        with closing(HTTPConnection("127.0.0.1", router.port)) as connection:
            connection.request("GET", "/metrics")
            shown = connection.getresponse().read().decode()
    local = [source == "local" for _, source in came]
    kept = sum(
        said.strip() == each.question.answer for (said, _), each in zip(came, new, strict=True)
    )
    tokens = {
        line.split()[0]: float(line.split()[1])
        for line in shown.splitlines()
        if line.startswith(("hinf_router_draft", "hinf_router_tokens"))
    }
    best = sum(each.api_right for each in new)
    return {"quality": kept / best, "local": mean(local), **tokens}


def measure(folder: Path) -> dict[str, Any]:
    """Ask, choose, and hold to it."""
    subprocess.run([ROOT / "tests" / "cluster" / "half-knowing-model"], check=True)
    asked = questions()
    known_to_api = {
        each.prompt: each.answer if number % API_WRONG_EVERY else "I do not know"
        for number, each in enumerate(asked)
    }
    with engines(1, "half-knowing-model", folder) as (engine,), scripted_api(known_to_api) as api:
        found = drafts(engine.port, api, folder / "drafts", asked, known_to_api)
        known, new = found[::2], found[1::2]
        right = [each.right for each in new]
        kinds = {
            kind: mean(e.right for e in found if e.question.kind == kind)
            for kind in sorted({e.question.kind for e in found})
        }
        scores: dict[str, Callable[[Asked], float]] = {
            "kind and length, as an oracle": by_kind(known),
            "embedded classifier": by_prompt(),
            "draft: mean log-probability": lambda e: math.exp(e.draft.logprob),
            "draft: margin": lambda e: e.draft.margin,
            "cascade: both": lambda e: e.draft.score,
        }
        rows: dict[str, dict[str, Any]] = {"random": {"auc": 0.5, "at": at_random(known, new)}}
        for name, score in scores.items():
            drafted = name.startswith(("draft", "cascade"))
            at = held(score, known, new, drafted=drafted)
            rows[name] = {"auc": auc([score(e) for e in new], right), "at": at}
        cut = rows["cascade: both"]["at"][QUALITIES.index(0.95)]["threshold"]
        run = streamed(engine.port, api, folder / "streamed", new, cut)
    return {
        "questions": len(found), "right": kinds, "api_right": mean(e.api_right for e in found),
        "rows": rows, "threshold": cut, "streamed": run,
    }  # fmt: skip


def report(found: dict[str, Any]) -> str:
    """Return the figures as tables."""
    kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in found["right"].items())
    heads = " | ".join(f"quality, local, cost at {q:.0%}" for q in QUALITIES)
    lines = [
        (
            f"{found['questions']} questions; the local model is right in: {kinds}; the API in "
            f"{found['api_right']:.0%}. Cuts chosen on one half, figures of the other."
        ),
        "",
        f"| router | AUC | {heads} |",
        "|---|---|" + "---|" * len(QUALITIES),
    ]
    for name, row in found["rows"].items():
        cells = " | ".join(
            f"{at['quality']:.1%}, {at['local']:.0%}, {at['cost']:.0%}" for at in row["at"]
        )
        lines.append(f"| {name} | {row['auc']:.3f} | {cells} |")
    run = found["streamed"]
    lines += [
        "",
        (
            f"Streamed through a router with threshold {found['threshold']:.3f}: quality "
            f"{run['quality']:.1%}, local {run['local']:.0%}."
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, write and print."""
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cascade.json").write_text(json.dumps(found, indent=2) + "\n")
    text = report(found)
    (OUT / "cascade.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(in_order(main))
