"""The compiled modules: the list names what is there, and a run that expects them has them."""

import importlib
import os

import pytest

from tools.compile import EXPECTED, MODULES, SOURCE


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_compiled_where_the_run_expects_it_and_plain_elsewhere(name):
    assert (SOURCE / "hybrid_router" / f"{name}.py").exists()
    module = importlib.import_module(f"hybrid_router.{name.replace('/', '.')}")
    assert str(module.__file__).endswith(".so" if EXPECTED in os.environ else ".py")
