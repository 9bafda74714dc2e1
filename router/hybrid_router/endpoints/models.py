"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import msgspec

from hybrid_router.openai.errors import ApiError
from hybrid_router.server.exchange import JSON

if TYPE_CHECKING:
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.table import Model

PREFIX = b"/v1/models/"


class Models:
    """What the table in force serves."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def all(self, exchange: Exchange) -> None:
        """List the models that are to be shown, in the table's order."""
        models = self._registry.table.models
        shown = [_shown(name, model) for name, model in models.items() if model.listed]
        exchange.reply(200, JSON, msgspec.json.encode({"object": "list", "data": shown}))

    def one(self, exchange: Exchange) -> None:
        """Show one model.

        Raises:
            ApiError: 404.
        """
        name = unquote_to_bytes(exchange.request.path.removeprefix(PREFIX)).decode(errors="replace")
        model = self._registry.table.models.get(name)
        if model is None:
            raise ApiError(404, "model_not_found", "this router does not know the model")
        exchange.reply(200, JSON, msgspec.json.encode(_shown(name, model)))


def _shown(name: str, model: Model) -> dict[str, str | int]:
    return {"id": name, "object": "model", "created": 0, "owned_by": model.owned_by}
