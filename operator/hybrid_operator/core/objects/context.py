"""What every builder needs besides the part of the resource that it renders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_operator.core.engine.defaults import CURRENT, EngineDefaults

if TYPE_CHECKING:
    from hybrid_operator.core.state import Owner, Settings


@dataclass(frozen=True, slots=True)
class Context:
    """Whose children are built, on which platform, with which defaults."""

    owner: Owner
    settings: Settings
    defaults: EngineDefaults = CURRENT
