"""Every example, rendered: tests/golden/manifests/<example>/ is what a reviewer reads.

`UPDATE_GOLDEN=1 .venv/bin/pytest tests/unit/core/test_golden_manifests.py` writes it anew.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lightkube.codecs import from_dict

from hybrid_operator.core.plan import plan
from tests.support.golden import GOLDEN, ROOT, check_folder
from tests.support.resources import NOW, example

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _readable(obj: Any) -> str:
    # The annotation repeats the pod template, which stands below it.
    annotations = obj["metadata"]["annotations"]
    shown = {
        key: "(the pod template as JSON)" if key == "hybridinference.dev/template" else value
        for key, value in annotations.items()
    }
    document = {**obj, "metadata": {**obj["metadata"], "annotations": shown}}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


def _rendered(name: str) -> tuple[Any, ...]:
    return plan(example(name), NOW).apply


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_becomes_the_manifests_that_were_reviewed(name):
    files = {
        f"{obj['kind'].lower()}-{obj['metadata']['name']}.yaml": _readable(obj)
        for obj in _rendered(name)
    }
    check_folder(GOLDEN / "manifests" / name.removesuffix(".yaml"), files)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_manifest_has_a_field_that_kubernetes_does_not_know(name):
    # A typed client keeps the fields that it knows; whatever is lost on the way was misspelt.
    for obj in _rendered(name):
        assert from_dict(dict(obj)).to_dict() == obj
