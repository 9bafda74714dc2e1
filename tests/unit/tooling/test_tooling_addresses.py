"""The check for addresses, home paths and secrets. What it must find is put together here."""

from pathlib import Path

import pytest

from tools import addresses, repo

CHECKOUT = Path("/srv/somewhere/checkout")


def found(text: str, name: str = "docs/how.md") -> list[str]:
    return [problem for _, problem in addresses.findings(CHECKOUT / name, text, CHECKOUT)]


REGISTRY = "the address of a package registry"
SETTING = "a setting that names a package registry"
HOME = "a path below a home directory"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("https://" + "pypi.org/simple/", REGISTRY, id="the public index"),
        pytest.param("http://10.0.0.7:3141/root" + "/simple", REGISTRY, id="a mirror of it"),
        pytest.param("https://files." + "pythonhosted.org/a.whl", REGISTRY, id="a wheel's address"),
        pytest.param("https://proxy." + "golang.org", REGISTRY, id="the Go module proxy"),
        pytest.param("--index" + "-url https://example.com", SETTING, id="an index as an option"),
        pytest.param("--find" + "-links /wheels", SETTING, id="a folder of wheels"),
        pytest.param("export GOPROXY" + "=direct", SETTING, id="Go's setting"),
        pytest.param(
            "https://me:" + "secret@example.com", "credentials in an address", id="a password"
        ),
        pytest.param(
            "-----BEGIN RSA PRIVATE" + " KEY-----", "a private key", id="the head of a private key"
        ),
        pytest.param("sk-" + "a1B2" * 9, "an access key", id="an API key"),
        pytest.param("hf_" + "a1B2" * 9, "an access key", id="a Hugging Face token"),
        pytest.param("cd /home" + "/ada/project", HOME, id="a user's home"),
        pytest.param("/root" + "/.pyenv/bin", HOME, id="the superuser's home"),
        pytest.param(f"{CHECKOUT}/Makefile", "the path of this checkout", id="this checkout"),
    ],
)
def test_what_belongs_into_no_file_is_found(text, problem):
    assert found(f"before\n{text}\nafter") == [problem]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://github.com/vllm-project/vllm", id="a project's home page"),
        pytest.param("https://api.openai.com/v1", id="a provider's address"),
        pytest.param("mountPath: /root/.cache/huggingface", id="the model cache inside an image"),
        pytest.param("http://user:$PASSWORD@host", id="a password that is a variable"),
        pytest.param("apiKey: {secretKeyRef: {name: openai, key: api-key}}", id="a reference"),
        pytest.param("Authorization: Bearer sk-test", id="a key that is plainly none"),
    ],
)
def test_what_users_need_is_allowed(text):
    assert found(text) == []


def test_the_line_is_told():
    text = "one\ntwo\n/root" + "/x"
    assert list(addresses.findings(CHECKOUT / "a", text, CHECKOUT)) == [(3, HOME)]


def test_a_test_may_show_that_a_password_in_an_address_is_refused():
    assert found("https://me:" + "secret@example.com", "tests/unit/test_url.py") == []


@pytest.mark.parametrize("name", ["dev", "operator", "router", "bootstrap"])
def test_a_lock_file_holds_hashes_and_no_address(name):
    text = (repo.ROOT / "requirements" / f"{name}.txt").read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert [line for line in text.splitlines() if line.startswith(("-", "/"))] == []
