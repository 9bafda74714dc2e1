"""The API server and `hinf` judge alike, over resources that nobody thought of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hybrid_operator.api.read import ReadError, read_file
from tests.support import kube

if TYPE_CHECKING:
    import httpx2 as httpx


def _mostly(*good: str, bad: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Return values of which one in ten is bad, so that a resource often has one fault or none."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(good if n else bad))


def _object(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(required, optional=optional)


def _lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=2)


_NAME = _mostly("a", "b", "c", "d", "e", bad=("auto", "A", "-a", "a.b", ""))
_OTHER = _mostly("k", "l", "m", "N", "o/p", bad=("a", "auto", "?", ""))
"""Names that rarely meet those of models."""
_DURATION = _mostly("90s", "1h30m", "24h", "1ms", bad=("", "0s", "25h", "1d", "1m1", "15 minutes"))
_SIZE = _mostly("4Gi", "0.5Mi", "1Ti", bad=("", "4GB", "0Gi", "4", "-1Gi", "4gi"))
_SHARE = _mostly("0.85", "1", "1.0", bad=("", "85", "1.5", ".5", "-0", "0"))
_PATH = _mostly("", "x", "x/y", bad=("/x", "../x", "x/..", " /"))
_SOURCE = st.one_of(
    st.builds(
        lambda repo: {"huggingFace": {"repo": repo}}, _mostly("a/b", "gpt2", bad=("", "a/b/c"))
    ),
    st.builds(lambda path: {"pvc": {"claim": "x", "path": path}}, _PATH),
    _object({}, pvc=st.just({"claim": "x"}), image=st.just({"reference": "r.example/i:1"})),
)
_MODEL = _object(
    {
        "name": _NAME,
        "accelerator": st.one_of(
            _object({"type": st.just("cpu")}, count=st.integers(1, 2)),
            _object(
                {"type": st.just("a10g")},
                count=st.integers(0, 9),
                memory=_SIZE,
                resourceName=_mostly("amd.com/gpu", bad=("gpu", "a/b/c", "/x")),
            ),
        ),
    },
    servedNames=_lists(_OTHER),
    loras=_lists(
        st.fixed_dictionaries({"name": _NAME, "source": st.just({"pvc": {"claim": "x"}})})
    ),
    source=_SOURCE,
    engine=_object(
        {},
        version=_mostly("0.32", "0.8.1", "1.0", bad=("0.7", "v1", "1")),
        kvOffload=_object({"size": _SIZE}),
    ),
    scaling=_object(
        {},
        min=st.integers(0, 2),
        max=st.integers(1, 2),
        idleAfter=_DURATION,
        targetUtilization=_SHARE,
    ),
    cache=_object({}, nodePath=_mostly("/x", bad=("x", "/x/..", ""))),
)
_URL = _mostly("http://x/v1", "https://x:1", bad=("x", "https://a:b@c", "http://x/v1?y", "ftp://x"))
_PROVIDER = st.one_of(
    _object({"name": st.just("openai"), "models": _lists(_object({"name": _OTHER}))}, baseURL=_URL),
    _object(
        {"name": st.just("own"), "models": st.just([{"name": "k"}])},
        type=st.just("openai-compatible"),
        baseURL=_URL,
    ),
)
_ALIAS = _object(
    {"name": _mostly("fast", "auto", "best", bad=("a", "k"))},
    local=_lists(_NAME),
    api=_lists(st.fixed_dictionaries({"provider": st.just("openai"), "model": _OTHER})),
)
_CLASS = _mostly("email", "secret", "phone", bad=("credit-card", "e mail"))
_INTENT = _mostly("chat", "text-to-sql", "unknown", bad=("sql", "a"))
_ROUTING = _object(
    {},
    classifier=_object({}, type=st.sampled_from(["slm", "embedded"]), timeout=_DURATION),
    threshold=_SHARE,
    aliases=_lists(_ALIAS),
    intents=_lists(_object({"name": _INTENT, "prefer": st.just("local")}, threshold=_SHARE)),
    dataPolicy=_object({}, keepLocal=_lists(_CLASS), redact=_lists(_CLASS), refuse=_lists(_CLASS)),
)
_BUDGET = st.fixed_dictionaries(
    {
        "name": _NAME,
        "period": st.just("day"),
        "limitUSD": _mostly("500", "0.01", bad=("0", "-1", "$1", "0.00")),
        "timeZone": _mostly("UTC", "Europe/Berlin", bad=("CET", "x y/z", "a/")),
    }
)
_SPEC = _object(
    {"models": st.lists(_MODEL, max_size=2)},
    providers=st.lists(_PROVIDER, max_size=2),
    routing=_ROUTING,
    budgets=_lists(_BUDGET),
)


def _share_an_adapter(spec: dict[str, Any]) -> bool:
    """Whether two models have a LoRA adapter of one name: CEL would cost too much to see it."""
    names = [{lora["name"] for lora in model.get("loras", ())} for model in spec["models"]]
    return len(names) == 2 and not names[0].isdisjoint(names[1])


def _judged(resource: dict[str, Any]) -> list[str]:
    try:
        read_file(yaml.safe_dump(resource))
    except ReadError as error:
        return [str(problem) for problem in error.problems]
    return []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=_NAME, spec=_SPEC)
def test_whatever_the_api_server_refuses_hinf_refuses_and_nothing_else(
    api: httpx.Client, shared_namespace: str, name: str, spec: dict[str, Any]
):
    assume(not _share_an_adapter(spec))
    resource = {
        "apiVersion": "hybridinference.dev/v1alpha1",
        "kind": "HybridInference",
        "metadata": {"name": name, "namespace": shared_namespace},
        "spec": spec,
    }

    answer = api.post(kube.resources(shared_namespace), json=resource, params=kube.DRY_RUN)

    problems = _judged(resource)
    refused = [] if answer.is_success else kube.complaints(answer)
    assert bool(refused) == bool(problems), f"API server: {refused}, hinf: {problems}"
