"""`hinf status`: what it says of a cluster, and of every way not to reach one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import cli
from hybrid_operator.cli.output import WIDTH
from tests.support.upstreams import Upstream, replies

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.upstreams import Behaviour

GOOD = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: ml}}]
users: [{name: u, user: {token: not-to-be-seen}}]
"""
HELD = {"outcomes": 9, "logLossBefore": 1, "logLossAfter": 1, "brierBefore": 0}
STATE = {
    "classifier": "embedded",
    "model": "m1",
    "maps": {"*": {"offset": -1.0}},
    "heldOut": HELD | {"brierAfter": 0},
}
NOT_FOUND = replies(404, {"kind": "Status", "code": 404, "message": "not found"})
KNOWN = replies(200, {"resources": [{"name": "hybridinferences"}]})
SAID = 'User "jane" cannot list resource "hybridinferences" in the namespace "ml"'


def hinf(config: Path | str, *args: str) -> Result:
    return CliRunner(env={"KUBECONFIG": str(config)}).invoke(cli, ["status", *args])


async def asked(tmp_path: Path, *args: str, answers: list[Behaviour]) -> Result:
    """Run `hinf status` against an API server that answers so."""
    async with Upstream(*answers) as server:
        root = server.url.removesuffix("/v1")
        (tmp_path / "config").write_text(GOOD.replace("http://127.0.0.1:9", root))
        return await asyncio.to_thread(hinf, tmp_path / "config", *args)


def listed(*items: Any) -> Behaviour:
    return replies(200, {"metadata": {"resourceVersion": "1"}, "items": list(items)})


def resource(name: str = "support", **status: Any) -> Any:
    return {"metadata": {"name": name, "namespace": "ml"}, "status": status}


def condition(kind: str, status: str, message: str = "") -> Any:
    return {"type": kind, "status": status, "reason": "Because", "message": message}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("a: [", "is no kubeconfig: not YAML (line 1, column 5)", id="malformed YAML"),
        pytest.param("hello", "is no kubeconfig: it has no clusters", id="plain text"),
        pytest.param(b"\xff\xfe", "is no kubeconfig: not text", id="bytes"),
        pytest.param("users: [{user: {}}]", "an entry lacks 'name'", id="an entry without name"),
        pytest.param("users: 3", "is no kubeconfig", id="a number for a list"),
        pytest.param("", "no current context", id="an empty file"),
        pytest.param(
            GOOD.replace("current-context: here", "current-context: there"),
            "there is no context 'there'; there are here",
            id="a current context that is not there",
        ),
        pytest.param(
            GOOD.replace("cluster: c, user", "cluster: d, user"),
            "context here names 'd', which is not there",
            id="a context with a cluster that is not there",
        ),
        pytest.param(
            GOOD.replace("token: not-to-be-seen", "client-certificate-data: bm90IGE="),
            "context here: a client certificate and its key belong together",
            id="a certificate without its key",
        ),
        pytest.param(
            GOOD.replace(
                "token: not-to-be-seen", "client-certificate-data: '***', client-key-data: bm90IGE="
            ),
            "context here",
            id="a certificate that is none",
        ),
        pytest.param(
            GOOD.replace("token: not-to-be-seen", "token: [not-to-be-seen]"),
            "Expected `str",
            id="a token that is a list",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named_and_never_quoted(tmp_path, content, told):
    file = tmp_path / "config"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = hinf(file)
    assert (result.exit_code, told in result.output) == (2, True), result.output
    assert str(file) in result.output
    assert "not-to-be-seen" not in result.output
    assert not isinstance(result.exception, (ValueError, OSError))


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        pytest.param("", "KUBECONFIG is not set, and the default is", id="empty is unset"),
        pytest.param("/no/a:/no/b", "KUBECONFIG names /no/a, /no/b, which is not", id="none there"),
    ],
)
def test_no_kubeconfig_at_all_says_where_was_looked(tmp_path, monkeypatch, stated, told):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = hinf(stated)
    assert (result.exit_code, told in result.output) == (2, True), result.output


async def test_several_files_are_merged_and_the_first_word_counts(tmp_path):
    (tmp_path / "first").write_text("current-context: two\ncontexts: []\n")
    second = yaml.safe_load(GOOD)
    second["contexts"].append({"name": "two", "context": {**second["contexts"][0]["context"]}})
    second["contexts"][1]["context"]["namespace"] = "elsewhere"
    async with Upstream(listed(), KNOWN, listed(), KNOWN) as server:
        second["clusters"][0]["cluster"]["server"] = server.url.removesuffix("/v1")
        (tmp_path / "second").write_text(yaml.safe_dump(second))
        paths = f"/no/such:{tmp_path / 'first'}:{tmp_path / 'second'}"
        current = await asyncio.to_thread(hinf, paths)
        chosen = await asyncio.to_thread(hinf, paths, "--context", "here")
    assert "there is no HybridInference in namespace elsewhere; -A looks" in current.output
    assert "there is no HybridInference in namespace ml; -A looks" in chosen.output


@pytest.mark.parametrize("command", ["rollback", "apply"])
async def test_a_calibration_goes_to_the_cluster_whose_context_is_named(tmp_path, command):
    file = tmp_path / "state.json"
    file.write_text(json.dumps(STATE))
    args = ["classifier", command, *([str(file)] if command == "apply" else []), "support"]
    config = yaml.safe_load(GOOD)
    config["contexts"].append({"name": "two", "context": dict(config["contexts"][0]["context"])})
    config["contexts"][1]["context"] |= {"cluster": "d", "namespace": "elsewhere"}
    async with Upstream(NOT_FOUND) as server:
        root = server.url.removesuffix("/v1")
        config["clusters"].append({"name": "d", "cluster": {"server": root}})
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "config")})
        result = await asyncio.to_thread(runner.invoke, cli, [*args, "--context", "two"])
    assert (result.exit_code, result.output.strip()) == (
        2,
        "Error: there is no HybridInference elsewhere/support",
    )


@pytest.mark.parametrize(
    ("args", "answers", "told"),
    [
        pytest.param(
            (), [NOT_FOUND], "the CRD is not installed; helm install", id="no CRD, a list"
        ),
        pytest.param(("support",), [NOT_FOUND], "the CRD is not installed", id="no CRD, a name"),
        pytest.param(
            ("support",),
            [NOT_FOUND, KNOWN],
            "there is no HybridInference 'support' in namespace ml",
            id="no such name",
        ),
        pytest.param(
            ("-A",), [listed(), KNOWN], "there is no HybridInference in any namespace", id="nothing"
        ),
        pytest.param(
            (),
            [replies(403, {"code": 403, "message": SAID})],
            "you may not list hybridinferences in namespace ml",
            id="no right",
        ),
    ],
)
async def test_what_is_not_there_is_told_in_the_users_terms(tmp_path, args, answers, told):
    result = await asked(tmp_path, *args, answers=answers)
    assert (result.exit_code, told in result.output) == (2, True), result.output
    assert "operator" not in result.output


FULL = resource(
    endpoint="http://support-router.ml.svc/v1",
    models=[
        {
            "name": "qwen3-4b",
            "replicas": 2,
            "readyReplicas": 1,
            "scaling": {
                "recommended": 2,
                "reason": "Demand",
                "decisions": ["2026-11-26T16:00Z 1>2 Demand", "2026-11-26T15:00Z 2>1 Idle"],
            },
        },
        {"name": "phi-4", "replicas": 1, "readyReplicas": 1},
    ],
    routing={"requests": 200, "local": 150, "api": 50},
    conditions=[condition("Ready", "True"), condition("EnginesReady", "False", "word " * 60)],
)


async def test_replicas_come_with_their_reason_and_answers_with_their_side(tmp_path):
    result = await asked(tmp_path, answers=[listed(FULL)])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "ml/support  http://support-router.ml.svc/v1" in lines[0]
    assert [line.split() for line in lines[2:5]] == [
        ["MODEL", "READY", "WANTED", "LAST", "CHANGE"],
        ["qwen3-4b", "1/2", "2", "(Demand)", "2026-11-26T16:00Z", "1>2", "Demand"],
        ["phi-4", "1/1", "-", "-"],
    ]
    assert "150 locally (75%), 50 by the API (25%)" in result.output


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        pytest.param(
            [condition("Ready", "True")], 0, "next: kubectl port-forward -n ml service/", id="ready"
        ),
        pytest.param(
            [condition("Ready", "False")], 1, "next: kubectl describe hinf support -n ml", id="not"
        ),
        pytest.param(
            [condition("Ready", "True"), condition("Degraded", "True")],
            0,
            "next: kubectl describe hinf support -n ml",
            id="degraded",
        ),
    ],
)
async def test_the_last_line_is_the_next_step(tmp_path, status, code, step):
    result = await asked(tmp_path, answers=[listed(resource(conditions=status))])
    assert result.exit_code == code
    assert result.output.splitlines()[-1].startswith(step)


async def test_as_json_there_is_nothing_but_the_status(tmp_path):
    result = await asked(tmp_path, "-o", "json", answers=[listed(FULL)])
    assert json.loads(result.output)[0]["routing"] == {"requests": 200, "local": 150, "api": 50}
