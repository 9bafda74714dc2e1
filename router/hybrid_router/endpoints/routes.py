"""The app that the server serves: paths, methods and keys, checked before a body is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hybrid_router.anthropic.errors import envelope as anthropic_envelope
from hybrid_router.endpoints.feedback import Feedback
from hybrid_router.endpoints.health import Health
from hybrid_router.endpoints.inference import Inference
from hybrid_router.endpoints.models import PREFIX, Models
from hybrid_router.openai.errors import ApiError
from hybrid_router.server.server import Endpoint

if TYPE_CHECKING:
    from hybrid_router.pipeline import Pipeline
    from hybrid_router.server.exchange import Exchange

_MESSAGES: Final = b"/v1/messages"
_GET: Final[tuple[bytes, ...]] = (b"GET", b"HEAD")

_SURFACES: Final = {
    b"/v1/chat/completions": "chat",
    b"/v1/completions": "completions",
    b"/v1/embeddings": "embeddings",
    b"/v1/responses": "responses",
    b"/v1/messages": "messages",
    b"/v1/messages/count_tokens": "count_tokens",
    b"/api/v1/chat": "simple",
    b"/v1/feedback": "feedback",
    b"/v1/models": "models",
}


class Routes:
    """All endpoints of the router (a `server.server.App`)."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._health = Health(pipeline.registry, pipeline.metrics, pipeline.gates)
        inference = Inference(pipeline)
        models = Models(pipeline.registry)
        feedback = Feedback(pipeline.desk)
        self._one_model = {m: Endpoint(at_once=models.one) for m in _GET}
        self._paths: dict[bytes, dict[bytes, Endpoint]] = {
            b"/v1/chat/completions": {b"POST": Endpoint(in_task=inference.chat)},
            b"/v1/completions": {b"POST": Endpoint(in_task=inference.completions)},
            b"/v1/embeddings": {b"POST": Endpoint(in_task=inference.embeddings)},
            b"/v1/responses": {b"POST": Endpoint(in_task=inference.responses)},
            b"/v1/messages": {b"POST": Endpoint(in_task=inference.messages)},
            b"/v1/messages/count_tokens": {b"POST": Endpoint(in_task=inference.count_tokens)},
            b"/api/v1/chat": {b"POST": Endpoint(in_task=inference.simple)},
            b"/v1/feedback": {b"POST": Endpoint(at_once=feedback.take)},
            b"/v1/models": {m: Endpoint(at_once=models.all) for m in _GET},
            b"/healthz": {m: Endpoint(at_once=self._health.live, always=True) for m in _GET},
            b"/readyz": {m: Endpoint(at_once=self._health.ready, always=True) for m in _GET},
            b"/metrics": {m: Endpoint(at_once=self._health.metrics, always=True) for m in _GET},
        }

    def route(self, exchange: Exchange) -> Endpoint:
        """Return what answers.

        Raises:
            ApiError: 404, 405 or 401.
        """
        request = exchange.request
        if request.path.startswith(_MESSAGES):
            exchange.envelope = anthropic_envelope
        methods = self._paths.get(request.path)
        if methods is None:
            if not request.path.startswith(PREFIX) or request.path == PREFIX:
                raise ApiError(404, "not_found", "there is nothing at this path")
            methods = self._one_model
        endpoint = methods.get(request.method)
        if endpoint is None:
            allow = b", ".join(methods)
            raise ApiError(
                405,
                "method_not_allowed",
                f"this path answers {allow.decode()} only",
                headers=((b"allow", allow),),
            )
        if not endpoint.always:
            self._pipeline.authorize(exchange)
        return endpoint

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        """Count a request that was refused before an endpoint got it."""
        self._pipeline.refused(exchange, _SURFACES.get(exchange.request.path, "other"), error)

    def drain(self) -> None:
        """Be not ready from now on."""
        self._health.draining = True
