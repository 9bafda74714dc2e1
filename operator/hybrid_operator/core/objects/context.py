"""What every builder needs besides the part of the resource that it renders."""

from __future__ import annotations

import msgspec

from hybrid_operator.core.engine.defaults import CURRENT, EngineDefaults
from hybrid_operator.core.state import Owner, Settings


class Context(msgspec.Struct, frozen=True):
    """Whose children are built, on which platform, with which defaults."""

    owner: Owner
    settings: Settings
    defaults: EngineDefaults = CURRENT
