"""Pages of metrics as long as real ones: a router's, and a vLLM engine's of release 0.32."""

from __future__ import annotations

import time

from hybrid_operator.metrics import diverted, vllm

BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
LABELS = 'engine="0",model_name="model"'
UNREAD = (
    "e2e_request_latency_seconds", "request_queue_time_seconds", "request_inference_time_seconds",
    "request_prefill_time_seconds", "request_decode_time_seconds", "request_prompt_tokens",
    "request_generation_tokens", "request_max_num_generation_tokens", "request_params_n",
    "request_params_max_tokens", "iteration_tokens_total", "request_prefill_kv_computed_tokens",
    "kv_block_lifetime_seconds", "kv_block_reuse_gap_seconds",
    "request_time_per_output_token_seconds",
)  # fmt: skip
"""Histograms that nothing of ours reads: most of a page."""
TOKENS_PER_S = 40.0
"""That an engine of the bench generates: far from what would add a replica."""
ROUTER = "".join(
    f'hinf_router_request_duration_seconds_bucket{{surface="chat",source="{source}",le="{le}"}} 0\n'
    for source in ("local", "api", "refuse", "none")
    for le in range(40)
)
"""A router's histograms."""
DIVERTED = "".join(
    f'{diverted.REQUESTS}{{backend="local/model-{model}",reason="{reason}"}} 0.0\n'
    + "".join(
        f'{diverted.TOKENS}{{backend="local/model-{model}",reason="{reason}",kind="{kind}"}} 0.0\n'
        for kind in ("prompt", "completion")
    )
    for model in ("a", "b")
    for reason in ("local-unavailable", diverted.UNSERVED)
)
"""What went past two models: nothing."""


def router(table_hash: str | None) -> bytes:
    """Return what a router says that serves a table."""
    lines = [f'hinf_router_table_info{{hash="{table_hash}",generation="1"}} 1\n']
    for backend in ("local/model-a", "local/model-b", "api/openai"):
        lines.append(f'hinf_router_backend_up{{backend="{backend}"}} 1\n')
        lines.append(f'hinf_router_backend_replicas{{backend="{backend}"}} 1\n')
        lines.append(f'hinf_router_secret_missing{{backend="{backend}"}} 0\n')
    return ("".join(lines) + DIVERTED + ROUTER).encode()


class EnginePage:
    """What all engines say; it grows with the time, and is made once a second."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._made = -1
        self._page = b""
        self._unread = "".join(_histogram(f"vllm:{name}", 0) for name in UNREAD)

    def __call__(self) -> bytes:
        """Return the page of this second."""
        second = int(time.monotonic() - self._began)
        if second != self._made:
            self._made, self._page = second, self._at(second).encode()
        return self._page

    def _at(self, second: int) -> str:
        tokens = TOKENS_PER_S * second
        values = {
            vllm.RUNNING: 1,
            vllm.WAITING: 0,
            vllm.KV_USAGE[0]: 0.1,
            vllm.PREEMPTIONS: 0,
            vllm.PROMPT: tokens * 4,
            vllm.CACHED[0]: 0,
            vllm.GENERATED: tokens,
        }
        read = "".join(f"{name}{{{LABELS}}} {value}\n" for name, value in values.items())
        read += _histogram("vllm:time_to_first_token_seconds", second)
        read += _histogram("vllm:inter_token_latency_seconds", int(tokens))
        return read + self._unread


def _histogram(name: str, count: int) -> str:
    lines = [f"# HELP {name} Histogram.\n# TYPE {name} histogram\n"]
    lines += [f'{name}_bucket{{{LABELS},le="{bound}"}} {float(count)}\n' for bound in BOUNDS]
    lines.append(f'{name}_bucket{{{LABELS},le="+Inf"}} {float(count)}\n')
    lines.append(f"{name}_count{{{LABELS}}} {float(count)}\n{name}_sum{{{LABELS}}} 1.0\n")
    return "".join(lines)
