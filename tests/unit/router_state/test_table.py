"""The RouteTable: what is read back is what was written, and what cannot be served is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router import table as t

GOLDEN = Path(__file__).parents[2] / "golden" / "router" / "table.schema.json"

FULL = t.RouteTable(
    name="default/support",
    generation=7,
    models={
        "auto": t.Model(
            targets=(
                t.Target(backend="support-sft", model="support-sft", max_context_tokens=8192),
                t.Target(backend="openai", model="gpt-4o", lacks=("audio",)),
            ),
            classified=True,
            priors={"text-to-sql": 0.62},
        ),
        "gpt-4o": t.Model(targets=(t.Target(backend="openai", model="gpt-4o"),)),
    },
    backends={
        "support-sft": t.Backend(
            trust="internal",
            service=t.Service(namespace="default", name="support-sft", port="http"),
            engine="vllm",
        ),
        "openai": t.Backend(
            trust="external",
            urls=("https://api.openai.com/v1",),
            provider="openai",
            api_key=t.SecretRef(file="/etc/hybrid/providers/openai"),
            prices={"gpt-4o": t.Price(input=2.5, output=10, cached_input=1.25)},
        ),
    },
    policy=t.Policy(
        classifier=t.Classifier(
            type="slm", target=t.Target(backend="support-sft", model="support-sft")
        ),
        threshold=0.9,
    ),
    keys=t.Keys(directory="/etc/hybrid/keys"),
)

_SCHEMA = jsonschema.Draft202012Validator(t.json_schema())

_names = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
_urls = st.sampled_from(["http://10.0.0.7:8000/v1", "https://a.example/v1", "http://[::1]:80/v1"])
_seconds = st.floats(min_value=0.001, max_value=86_400)
_backends = st.builds(
    t.Backend,
    trust=st.sampled_from(["internal", "external"]),
    urls=st.lists(_urls, min_size=1, max_size=3).map(tuple),
    provider=st.none() | _names,
    api_key=st.none() | st.builds(t.SecretRef, env=_names),
    timeouts=st.builds(t.Timeouts, connect=_seconds, first_byte=_seconds),
    cooldown=_seconds,
    max_concurrency=st.none() | st.integers(min_value=1),
)


@st.composite
def _tables(draw: st.DrawFn) -> t.RouteTable:
    backends = draw(st.dictionaries(_names, _backends, min_size=1, max_size=4))
    targets = st.builds(
        t.Target,
        backend=st.sampled_from(sorted(backends)),
        model=_names,
        max_context_tokens=st.none() | st.integers(min_value=1),
        lacks=st.lists(st.sampled_from(["tools", "vision", "n"]), unique=True).map(tuple),
    )
    models = st.builds(
        t.Model,
        targets=st.lists(targets, min_size=1, max_size=3).map(tuple),
        classified=st.booleans(),
        listed=st.booleans(),
    )
    return t.RouteTable(
        name=draw(st.text()),
        generation=draw(st.integers(min_value=0, max_value=2**62)),
        models=draw(st.dictionaries(_names, models, max_size=4)),
        backends=backends,
        policy=t.Policy(threshold=draw(st.floats(min_value=0, max_value=1))),
        keys=draw(st.none() | st.builds(t.Keys, directory=_names)),
    )


@given(_tables())
def test_what_is_decoded_is_what_was_encoded(table: t.RouteTable) -> None:
    assert t.decode(t.encode(table)) == table


@given(_tables())
def test_the_encoding_is_canonical_so_equal_tables_have_equal_hashes(table: t.RouteTable) -> None:
    once = t.encode(table)
    assert t.encode(t.decode(once)) == once
    assert t.content_hash(once) == t.content_hash(t.encode(t.decode(once)))


@given(_tables())
def test_every_encoded_table_satisfies_the_published_schema(table: t.RouteTable) -> None:
    _SCHEMA.validate(json.loads(t.encode(table)))


def test_a_full_table_survives_the_round_trip() -> None:
    assert t.decode(t.encode(FULL)) == FULL


def test_the_schema_is_the_one_that_was_reviewed() -> None:
    text = json.dumps(t.json_schema(), indent=2, sort_keys=True) + "\n"
    assert text == GOLDEN.read_text(), f"review the difference, then write it to {GOLDEN.name}"


def test_unknown_optional_fields_of_a_newer_operator_are_ignored() -> None:
    document = json.loads(t.encode(FULL))
    document["budgets"] = [{"name": "total"}]
    document["backends"]["openai"]["region"] = "eu"
    assert t.decode(json.dumps(document).encode()) == FULL


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_with_a_table_error_and_nothing_else(document: bytes) -> None:
    try:
        t.decode(document)
    except t.TableError:
        return
    assert json.loads(document)["version"] == t.VERSION


def _with(path: str, value: Any) -> bytes:
    document = json.loads(t.encode(FULL))
    at = document
    *parents, last = path.split("/")
    for key in parents:
        at = at[int(key) if isinstance(at, list) else key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(b"", "truncated", id="an empty file"),
        pytest.param(b"{", "truncated", id="a file that was cut off"),
        pytest.param(b"[]", "Expected `object`", id="a list"),
        pytest.param(b'{"version": 1, "name": "\xff"}', "UTF-8", id="bytes that are not UTF-8"),
        pytest.param(
            b'{"version": 1, "x": ' + b"[" * 100_000, "too deeply", id="nesting without end"
        ),
        pytest.param(b"{}", "version: is missing", id="no version"),
        pytest.param(b'{"version": 2}', "version: 2 is unknown", id="a later version"),
        pytest.param(
            _with("backends/openai/trust", "partly"), "$.backends", id="a trust that does not exist"
        ),
        pytest.param(
            _with("policy/threshold", 1.5), "$.policy.threshold", id="a threshold above one"
        ),
        pytest.param(
            _with("models/gpt-4o/targets", []), "$.models", id="a model without any target"
        ),
        pytest.param(
            _with("models/auto/priors", {"chat": 1}), "$.models", id="a prior that is certain"
        ),
        pytest.param(
            _with("models/gpt-4o/targets/0/backend", "azure"),
            "models[gpt-4o].targets[0].backend: 'azure' is not a key of backends",
            id="a target at a backend that is not described",
        ),
        pytest.param(
            _with("backends/openai/urls", None),
            "backends[openai]: needs either urls or service",
            id="a backend that is nowhere",
        ),
        pytest.param(
            _with("backends/support-sft/urls", ["http://a/v1"]),
            "backends[support-sft]: needs either urls or service",
            id="a backend at two kinds of places",
        ),
        pytest.param(
            _with("backends/openai/urls", ["api.openai.com"]),
            "does not start with http:// or https://",
            id="a URL without a scheme",
        ),
        pytest.param(
            _with("backends/openai/urls", ["https:///v1"]),
            "is not a URL with a host",
            id="a URL without a host",
        ),
        pytest.param(
            _with("backends/openai/urls", ["https://a b/v1"]),
            "is not a URL with a host",
            id="a URL with a space",
        ),
        pytest.param(
            _with("backends/openai/urls", ["https://a:99999/v1"]),
            "is not a URL: Port out of range",
            id="a port that does not exist",
        ),
        pytest.param(
            _with("backends/openai/apiKey", {"file": "/k", "env": "K"}),
            "backends[openai].apiKey: needs either file or env",
            id="a key at two places",
        ),
        pytest.param(
            _with("policy/classifier/target", None),
            "policy.classifier.target: is missing",
            id="an slm classifier that asks nobody",
        ),
        pytest.param(
            _with("policy/classifier/target", {"backend": "openai", "model": "gpt-4o"}),
            "policy.classifier.target: must be internal",
            id="a classifier outside the cluster",
        ),
        pytest.param(
            _with("models", {"a\r\nx: y": {"targets": [{"backend": "openai", "model": "m"}]}}),
            "matching regex",
            id="a name that would split a response header",
        ),
        pytest.param(
            _with("models", {"a\n": {"targets": [{"backend": "openai", "model": "m"}]}}),
            "matching regex",
            id="a name that ends with a line feed",
        ),
    ],
)
def test_a_table_that_cannot_be_served_is_refused_and_says_where(
    document: bytes, message: str
) -> None:
    with pytest.raises(t.TableError) as refused:
        t.decode(document)
    assert message in str(refused.value)


def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(t.TableError, match="a secret belongs in apiKey") as refused:
        t.decode(_with("backends/openai/urls", ["https://me:hunter2@a/v1"]))
    assert "hunter2" not in str(refused.value)
