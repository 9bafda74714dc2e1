"""A stand-in for torchvision, which is no part of vLLM's environment for CPUs."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock


class _NoTorchvision(MetaPathFinder, Loader):
    """Finds torchvision and everything below it; encoders of images import it.

    Only their text models are built here.
    """

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        mine = name.split(".", maxsplit=1)[0] == "torchvision"
        return ModuleSpec(name, self, is_package=True) if mine else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__dict__["__getattr__"] = lambda name: MagicMock(name=name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def install() -> None:
    """Let imports find it from now on."""
    sys.meta_path.append(_NoTorchvision())
