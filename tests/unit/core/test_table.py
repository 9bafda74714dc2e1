"""The resource's models, providers and aliases become the table that routers serve."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.core import table
from hybrid_operator.core.objects.context import Context
from hybrid_operator.core.plan import plan
from hybrid_router.table import (
    Backend,
    Comparison,
    DataPolicy,
    KeyLimits,
    RateLimits,
    RouteTable,
    Service,
    Target,
    decode,
)
from tests.support.resources import MINIMAL, NOW, SETTINGS, observed, owner, spec

CONTEXT = Context(owner(generation=7), SETTINGS)


def render(text: str) -> RouteTable:
    document = table.render(CONTEXT, spec(text))
    assert document.problems == ()
    assert decode(document.text.encode()) == document.table
    return document.table


def provider(**fields: Any) -> Backend:
    base = {"name": "other", "models": [{"name": "big"}]} | fields
    found = render(f"providers: [{base}]")
    return found.backends[f"api/{base['name']}"]


def test_the_table_says_whose_it_is_and_of_which_generation():
    found = render(MINIMAL)
    assert (found.name, found.generation) == ("ml/support", 7)


def test_auto_leads_to_all_local_models_and_then_to_each_providers_first():
    found = render("""
    models:
      - {name: a, catalog: phi-4, accelerator: {type: l4}}
      - {name: b, catalog: phi-4, accelerator: {type: l4}}
    providers:
      - {name: openai, models: [{name: gpt-4o}, {name: gpt-4o-mini}]}
      - {name: other, type: openai-compatible, baseURL: "http://x/v1", models: [{name: big}]}
    """)
    auto = found.models["auto"]
    assert [target.backend for target in auto.targets] == [
        "local/a",
        "local/b",
        "api/openai",
        "api/other",
    ]
    assert auto.classified


@pytest.mark.parametrize(
    ("model", "each"),
    [
        pytest.param("accelerator: {type: h100}", 1104, id="the KV cache's bound"),
        pytest.param("accelerator: {type: a10g}", 83, id="a smaller KV cache's"),
        pytest.param(
            'accelerator: {type: a10g}, engine: {args: ["--max-num-seqs=16"]}',
            20,
            id="the scheduler's, stated",
        ),
        pytest.param(
            "accelerator: {type: a10g}, context: {maxLength: 128, concurrency: 400}",
            500,
            id="short requests, stated: the scheduler's",
        ),
        pytest.param("accelerator: {type: cpu}", 320, id="vLLM's own on a CPU, as far as known"),
        pytest.param("accelerator: {type: cpu}, context: {concurrency: 8}", 10, id="stated there"),
        pytest.param(
            'accelerator: {type: cpu}, engine: {args: ["--max-num-seqs", "4"]}',
            5,
            id="stated for its scheduler",
        ),
        pytest.param("accelerator: {type: mine, memory: 24Gi}", 108, id="a GPU by its memory"),
    ],
)
def test_a_replica_gets_as_many_requests_as_it_runs_and_a_quarter_more(model, each):
    found = render(f"models: [{{name: llama-3-8b, {model}}}]")
    assert found.backends["local/llama-3-8b"].max_concurrency == each


@pytest.mark.parametrize(
    ("objectives", "seconds"),
    [
        pytest.param("", None, id="without an objective"),
        pytest.param("scaling: {objectives: {ttft: 1500ms}}", 1.5, id="with one"),
    ],
)
def test_answers_are_to_begin_within_the_objective(objectives, seconds):
    model = f"{{name: llama-3-8b, accelerator: {{type: a10g}}, {objectives}}}"
    found = render(f"models: [{model}]")
    assert found.backends["local/llama-3-8b"].begin_within == seconds


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(MINIMAL.split("providers:")[0], id="local models alone"),
        pytest.param("providers: [{name: openai, models: [{name: gpt-4o}]}]", id="an API alone"),
    ],
)
def test_an_alias_with_one_side_is_not_classified(text):
    assert not render(text).models["auto"].classified


def test_a_local_model_answers_to_all_its_names_and_the_engine_to_its_first():
    found = render("""
    models:
      - name: small
        catalog: llama-3-8b
        servedNames: [my-sft, org/my-sft]
        accelerator: {type: a10g}
        context: {maxLength: 4096}
    """)
    target = Target(backend="local/small", model="small", max_context_tokens=4096)
    for name in ("small", "my-sft", "org/my-sft"):
        assert found.models[name].targets == (target,)


def test_an_adapter_is_a_model_of_its_own_on_the_backend_of_its_model():
    found = render("""
    models:
      - name: llama-3-8b
        accelerator: {type: a10g}
        loras: [{name: sql, source: {pvc: {claim: adapters}}}]
    routing:
      aliases: [{name: queries, local: [sql]}]
    """)
    target = Target(backend="local/llama-3-8b", model="sql", max_context_tokens=8192)
    for name in ("sql", "queries"):
        assert found.models[name].targets == (target,)
    assert target not in found.models["auto"].targets


def test_a_length_that_raw_arguments_set_is_not_claimed():
    found = render("""
    models:
      - {name: llama-3-8b, accelerator: {type: a10g}, engine: {args: ["--max-model-len=999"]}}
    """)
    assert found.models["llama-3-8b"].targets[0].max_context_tokens is None


def test_an_api_model_is_asked_for_by_its_name_and_by_its_providers_too():
    found = render("""
    providers:
      - name: azure
        type: azure-openai
        baseURL: https://x.openai.azure.com/openai/v1
        models: [{name: gpt-4o, upstream: my-deployment}]
    """)
    target = Target(backend="api/azure", model="my-deployment")
    assert found.models["gpt-4o"].targets == found.models["azure/gpt-4o"].targets == (target,)


def test_the_first_provider_of_a_name_has_it_and_the_others_are_asked_for_in_full():
    found = render("""
    providers:
      - {name: openai, models: [{name: gpt-4o}]}
      - {name: other, type: openai-compatible, baseURL: "http://x/v1", models: [{name: gpt-4o}]}
    """)
    assert found.models["gpt-4o"].targets[0].backend == "api/openai"
    assert found.models["other/gpt-4o"].targets[0].backend == "api/other"


def test_an_alias_keeps_its_order_and_forgets_what_is_not_there():
    found = render("""
    models: [{name: phi-4, accelerator: {type: l4}}]
    providers: [{name: openai, models: [{name: gpt-4o}]}]
    routing:
      aliases:
        - name: best
          local: [phi-4]
          api: [{provider: openai, model: gpt-4o}, {provider: later, model: big}]
    """)
    assert [target.backend for target in found.models["best"].targets] == [
        "local/phi-4",
        "api/openai",
    ]


def test_a_local_backend_is_the_engines_service():
    backend = render(MINIMAL).backends["local/llama-3-8b"]
    service = backend.service
    assert service is not None
    assert (service.namespace, service.name, service.port) == (
        "ml",
        "support-llama-3-8b-6b391556",
        "http",
    )
    assert (backend.trust, backend.engine) == ("internal", "vllm")


def test_a_known_provider_brings_its_address_and_its_key_is_a_file():
    backend = render(MINIMAL).backends["api/openai"]
    assert backend.urls == ("https://api.openai.com/v1",)
    assert backend.api_key is not None
    assert backend.api_key.file == "/etc/hybridinference/secrets/openai/api-key"
    assert (backend.trust, backend.auth, backend.engine) == ("external", "bearer", "other")


def test_azure_takes_its_key_in_a_header_of_its_own():
    backend = provider(type="azure-openai", baseURL="https://x/openai/v1/")
    assert (backend.auth, backend.urls) == ("api-key", ("https://x/openai/v1",))


def test_a_provider_without_a_key_gets_none():
    assert provider(type="openai-compatible", baseURL="http://x/v1").api_key is None


def test_prices_are_those_of_the_upstream_model():
    prices = {"inputUSD": "2.50", "outputUSD": "10", "cachedInputUSD": "1.25"}
    backend = provider(
        type="openai-compatible",
        baseURL="http://x/v1",
        models=[{"name": "big", "upstream": "big-2026", "prices": prices}],
    )
    price = backend.prices["big-2026"]
    assert (price.input, price.output, price.cached_input) == (2.5, 10.0, 1.25)


def test_anthropic_brings_its_address_its_dialect_and_its_header():
    found = render("providers: [{name: anthropic, models: [{name: claude}]}]")
    backend = found.backends["api/anthropic"]
    assert backend.urls == ("https://api.anthropic.com/v1",)
    assert (backend.dialect, backend.auth) == ("anthropic", "x-api-key")
    assert [t.backend for t in found.models["claude"].targets] == ["api/anthropic"]


OPENAIS = ("chat", "completions", "embeddings")
RELEASES = [
    pytest.param("0.9.2", OPENAIS, id="none of the later ones"),
    pytest.param("0.10.0", (*OPENAIS, "responses"), id="responses"),
    pytest.param("0.16.0", (*OPENAIS, "responses", "messages"), id="messages, not counted"),
    pytest.param("0.17.0", None, id="all that routers assume of vLLM"),
]


@pytest.mark.parametrize(("version", "surfaces"), RELEASES)
def test_a_vllm_release_has(version, surfaces):
    gpu = {"type": "a10g"}
    model = {"name": "llama-3-8b", "accelerator": gpu, "engine": {"version": version}}
    found = render(f"models: [{model}]")
    assert found.backends["local/llama-3-8b"].surfaces == surfaces


DEPLOYMENT = "https://a.openai.azure.com/openai/deployments/{model}?api-version=2024-10-21"
AZURE = [
    pytest.param("https://a.openai.azure.com", "/openai/v1", id="a host alone"),
    pytest.param("https://a.openai.azure.com/openai/v1/", "/openai/v1", id="the path stated"),
    pytest.param("https://a.openai.azure.com/gate/v1", "/gate/v1", id="a path of another's"),
]


@pytest.mark.parametrize(("url", "path"), AZURE)
def test_azure_without_a_version_is_asked_at_its_path(url, path):
    backend = provider(type="azure-openai", baseURL=url, models=[{"name": "gpt"}])
    assert backend.urls == (f"https://a.openai.azure.com{path}",)
    assert (backend.auth, backend.surfaces) == ("api-key", None)


@pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/v1"])
def test_azure_with_a_version_is_asked_at_its_deployments(path):
    backend = provider(
        type="azure-openai",
        baseURL=f"https://a.openai.azure.com{path}",
        apiVersion="2024-10-21",
        models=[{"name": "gpt", "upstream": "my-gpt"}],
    )
    assert backend.urls == (DEPLOYMENT,)
    assert backend.surfaces == ("chat", "completions", "embeddings")


def test_the_routing_becomes_the_policy():
    policy = render(
        MINIMAL
        + """
routing:
  threshold: "0.7"
  classifier: {type: slm, timeout: 500ms}
  failover: {deadline: 30s, attempts: 2, breaker: {failures: 4, cooldown: 1m}}
"""
    ).policy
    assert (policy.threshold, policy.deadline, policy.attempts) == (0.7, 30.0, 2)
    assert (policy.breaker_failures, policy.classifier.timeout) == (4, 0.5)
    assert policy.classifier.type == "slm"
    assert policy.classifier.target is not None
    assert policy.classifier.target.backend == "local/llama-3-8b"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        pytest.param("embedded", "embedded", id="embedded as it is"),
        pytest.param("none", "none", id="none as it is"),
        pytest.param("cascade", "cascade", id="a cascade as it is"),
    ],
)
def test_the_classifier_is(stated, expected):
    found = render(f"{MINIMAL}routing: {{classifier: {{type: {stated}}}}}")
    assert found.policy.classifier.type == expected


def test_a_comparison_and_the_log_are_the_tables():
    found = render(
        MINIMAL
        + """
routing:
  comparison: {judge: {provider: openai, model: gpt-4o}, share: "0.02", usdPerDay: "1.50"}
router: {accessLog: true}
"""
    )
    judge = Target(backend="api/openai", model="gpt-4o")
    assert found.policy.comparison == Comparison(judge=judge, share=0.02, usd_per_day=1.5)
    assert found.access_log
    assert not render(MINIMAL).access_log


@pytest.mark.parametrize(
    ("stated", "seconds", "tokens"),
    [
        pytest.param("type: cascade", 10.0, 32, id="it has its defaults"),
        pytest.param("type: cascade, timeout: 3s, draftTokens: 64", 3.0, 64, id="or what it says"),
    ],
)
def test_a_cascade_is_held_for(stated, seconds, tokens):
    found = render(f"{MINIMAL}routing: {{classifier: {{{stated}}}}}").policy.classifier
    assert (found.timeout, found.draft_tokens) == (seconds, tokens)


def test_a_data_policy_is_the_tables():
    found = render(
        f"{MINIMAL}routing: {{dataPolicy: {{keepLocal: [payment-card, falcon], redact: [email], "
        "refuse: [staff], patterns: [{name: staff, pattern: 'EMP-[0-9]{6}'}], "
        "words: [{name: falcon, words: [Project Falcon]}]}}"
    )
    assert found.policy.data == DataPolicy(
        keep_local=("payment-card", "falcon"),
        redact=("email",),
        refuse=("staff",),
        patterns={"staff": "EMP-[0-9]{6}"},
        words={"falcon": ("Project Falcon",)},
    )


def test_an_empty_data_policy_looks_for_nothing():
    assert render(MINIMAL + "routing: {dataPolicy: {}}").policy.data is None


def test_client_keys_are_the_files_of_a_directory():
    found = render(MINIMAL + "router: {clientKeys: {secretRef: {name: keys}}}")
    assert found.keys is not None
    assert found.keys.directory == "/etc/hybridinference/keys"
    assert render(MINIMAL).keys is None


def test_a_table_that_no_config_map_holds_is_a_problem_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(table, "MAX_BYTES", 1024)
    after = plan(observed(), NOW)
    assert after.apply == ()
    (valid,) = (c for c in after.status["conditions"] if c["type"] == "Valid")
    assert "the RouteTable has 1 KiB, above the limit of 1 KiB" in valid["message"]


def test_limits_of_keys_and_accounts_reach_the_routers_that_share_them():
    found = render("""
    providers: [{name: openai, models: [{name: gpt-4o}], rateLimits: {tokensPerMinute: 90000}}]
    router:
      clientKeys:
        secretRef: {name: keys}
        limits: {requestsPerMinute: 60, concurrency: 4}
        overrides: [{name: batch, tokensPerMinute: 1000}]
    """)
    assert found.backends["api/openai"].rate_limits == RateLimits(tokens_per_minute=90_000)
    assert found.keys is not None
    assert found.keys.limits == KeyLimits(requests_per_minute=60, concurrency=4)
    assert found.keys.limits_by_key == {"batch": KeyLimits(tokens_per_minute=1000)}
    assert found.routers == Service(namespace="ml", name="support-router")


def test_without_limits_the_routers_need_not_know_of_each_other():
    assert render(MINIMAL).routers is None
