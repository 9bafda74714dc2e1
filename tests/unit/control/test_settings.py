from __future__ import annotations

import json
import logging
import sys

import pytest

from hybrid_operator import __main__ as program
from hybrid_operator import logs
from hybrid_operator.settings import VARIABLES, SettingsError, from_environment

IMAGE = {"HINF_ROUTER_IMAGE": "example.com/router:1"}


def test_the_router_image_is_all_that_is_needed():
    settings = from_environment(IMAGE, "host")
    assert settings.platform.router_image == "example.com/router:1"
    assert settings.namespaces == ()
    assert settings.pod_namespace is None
    assert settings.identity.startswith("host_")


def test_everything_that_can_be_said():
    settings = from_environment(
        IMAGE
        | {
            "HINF_ROUTER_PULL_POLICY": "Never",
            "HINF_OTLP_ENDPOINT": "http://otel:4318",
            "HINF_TRACE_RATIO": "0.1",
            "HINF_ENGINE_IMAGE": "example.com/vllm:1",
            "HINF_ENGINE_IMAGES": '{"cpu": "example.com/vllm-cpu:1"}',
            "HINF_IMAGE_PULL_SECRETS": "a, b",
            "HINF_PRIORITY_CLASS": "high",
            "HINF_WATCH_NAMESPACES": "ml, ml,research,",
            "HINF_POD_NAME": "operator-0",
            "HINF_POD_NAMESPACE": "system",
        },
        "host",
    )
    assert settings.platform.router_pull_policy == "Never"
    assert settings.platform.otlp_endpoint == "http://otel:4318"
    assert settings.platform.trace_ratio == "0.1"
    assert settings.platform.engine_image == "example.com/vllm:1"
    assert settings.platform.engine_images == {"cpu": "example.com/vllm-cpu:1"}
    assert settings.platform.image_pull_secrets == ("a", "b")
    assert settings.platform.priority_class == "high"
    assert settings.namespaces == ("ml", "research")
    assert settings.pod_namespace == "system"
    assert settings.identity.startswith("operator-0_")


def test_two_processes_on_one_machine_are_told_apart():
    assert from_environment(IMAGE, "h").identity != from_environment(IMAGE, "h").identity


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"HINF_OTLP_ENDPOINT": "otel:4318"}, "HINF_OTLP_ENDPOINT", id="no URL"),
        pytest.param({"HINF_TRACE_RATIO": "10%"}, "a share from 0 to 1", id="no share"),
        pytest.param({"HINF_ROUTER_IMAGE": " "}, "HINF_ROUTER_IMAGE is not set", id="no image"),
        pytest.param(
            {"HINF_ROUTER_PULL_POLICY": "always"}, "Always, IfNotPresent or Never", id="pull policy"
        ),
        pytest.param(
            {"HINF_ENGINE_IMAGES": "cpu=x"}, "HINF_ENGINE_IMAGES is not JSON", id="no JSON"
        ),
        pytest.param({"HINF_ENGINE_IMAGES": '["x"]'}, "must be an object", id="a JSON list"),
        pytest.param(
            {"HINF_GPU_PRICES": '{"a10g": 1}'}, "must be USD", id="a price that is a number"
        ),
        pytest.param(
            {"HINF_POOL": '{"gpus": {"a10g": -1}}'}, "not a pool", id="fewer GPUs than none"
        ),
        pytest.param(
            {"HINF_POOL": '{"namespaces": {"a": {"weight": 0}}}'}, "not a pool", id="no weight"
        ),
        pytest.param({"HINF_ENGINE_IMAGES": '{"cpu": 1}'}, "must be an object", id="not an image"),
        pytest.param(
            {"HINF_WATCH_NAMESPACES": "team-*"}, "'team-\\*' is not the name of a namespace", id="*"
        ),
    ],
)
def test_an_unusable_value_is_named(given, said):
    with pytest.raises(SettingsError, match=said):
        from_environment(IMAGE | given, "h")


def test_bad_settings_end_the_program_with_a_sentence_and_2(monkeypatch, capsys):
    monkeypatch.delenv("HINF_ROUTER_IMAGE", raising=False)
    assert program.main([]) == 2
    message = capsys.readouterr().err
    assert message.startswith("hybrid_operator: HINF_ROUTER_IMAGE is not set")
    assert message.count("\n") == 1


def test_no_cluster_ends_the_program_with_a_sentence_and_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HINF_ROUTER_IMAGE", "x")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    assert program.main([]) == 2
    assert "set KUBECONFIG to a kubeconfig file" in capsys.readouterr().err


def test_help_names_every_variable(capsys):
    with pytest.raises(SystemExit):
        program.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in VARIABLES)


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_a_port_that_is_none_is_refused(port, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(["--health-port", port])
    assert ended.value.code == 2
    assert "--health-port" in capsys.readouterr().err


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


def _failing() -> None:
    raise ValueError("first line\nsecond line")


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_record_is_one_line_even_with_a_traceback(form, root_logger, capsys):
    logs.configure(form, "info")
    try:
        _failing()
    except ValueError:
        root_logger.exception("%s: it failed", "ns/x")
    root_logger.debug("not shown")
    sys.stderr.flush()
    (line,) = capsys.readouterr().err.splitlines()
    assert "ns/x: it failed" in line
    assert "second line" in line
    if form == "json":
        assert json.loads(line)["level"] == "error"
