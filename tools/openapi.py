"""The router's API as an OpenAPI document.

    python -m tools.openapi [--check]      write docs/reference/openapi.json, or compare it

It describes what the router itself asks for. Fields that it passes on untouched belong to the APIs
of the vendors, whose references describe them.
"""

import json
import sys
from typing import Any

from tools import repo

PATH = repo.ROOT / "docs" / "reference" / "openapi.json"

TEXT: dict[str, Any] = {"type": "string"}
MODEL = {"type": "string", "minLength": 1, "description": "One of the names of /v1/models."}
STREAM = {"type": "boolean", "description": "Answer with server-sent events."}
LIMIT = {"type": "integer", "minimum": 1}
MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": ["user", "assistant"]}, "content": TEXT},
}
MESSAGES = {"type": "array", "minItems": 1, "items": MESSAGE}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
ANTHROPIC_ERROR = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": TEXT, "message": TEXT},
        },
        "request_id": TEXT,
    },
}
STATUSES = {
    "400": "The request is malformed, or no backend of this model can be asked for it.",
    "401": "A key is needed, or this one is not known.",
    "403": "The data policy forbids it.",
    "404": "There is no such model.",
    "405": "The path answers other methods.",
    "408": "The request did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "422": "The backend refused the request.",
    "429": "Too many requests; Retry-After says when to come again.",
    "431": "The header is too large.",
    "500": "A fault of the router.",
    "502": "No backend gave an answer that could be used.",
    "503": "No backend serves this model now, or the router is overloaded.",
    "504": "No backend answered in time.",
}
HEADERS = {
    f"x-hybrid-{name}": {"description": text, "schema": TEXT}
    for name, text in {
        "source": "`local` or `api`",
        "model": "the model that answered, as its backend calls it",
        "reason": "why it was asked",
        "attempts": "how many backends were tried",
        "dropped": "fields that its backend does not know",
    }.items()
}


def answered(schema: dict[str, Any], *, streams: bool, error: str) -> dict[str, Any]:
    """Return the responses of an operation that a model answers."""
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if streams:
        content["text/event-stream"] = {}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
    answer = {"description": "The answer.", "headers": headers, "content": content}
    return {"200": answer, **{status: refused(status, error) for status in STATUSES}}


def refused(status: str, error: str) -> dict[str, Any]:
    """Return the response for an error of this form."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    return {"description": STATUSES[status], "content": content}


def posted(
    summary: str,
    fields: dict[str, Any],
    required: list[str],
    answer: list[str],
    *,
    error: str = "Error",
) -> dict[str, Any]:
    """Return the path of a surface: its fields, and those that every answer has."""
    body = {"type": "object", "required": required, "properties": fields}
    said = {"type": "object", "required": answer}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": answered(said, streams="stream" in fields, error=error),
        }
    }


def got(summary: str, schema: dict[str, Any], *, kind: str, keyed: bool = False) -> dict[str, Any]:
    """Return the path of something that is read."""
    responses: dict[str, Any] = {
        "200": {"description": summary, "content": {kind: {"schema": schema}}}
    }
    wanted = {"401", "404", "405", "431"} if keyed else {"405", "431"}
    for status in sorted(wanted):
        responses[status] = refused(status, "Error")
    found: dict[str, Any] = {"summary": summary, "responses": responses}
    return {"get": found if keyed else {**found, "security": []}}


def paths() -> dict[str, Any]:
    """Return every path that the router answers."""
    common = {"model": MODEL, "stream": STREAM}
    limited = {**common, "max_tokens": LIMIT}
    chat = {**limited, "messages": MESSAGES}
    named = {"type": "object", "required": ["id", "object", "owned_by"]}
    listed = {"type": "object", "properties": {"data": {"type": "array", "items": named}}}
    one = got("One model.", named, kind="application/json", keyed=True)
    one["get"]["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": TEXT}]
    messages = {"error": "AnthropicError"}
    return {
        "/v1/chat/completions": posted(
            "OpenAI's chat completions.", chat, ["model", "messages"], ["choices"]
        ),
        "/v1/completions": posted(
            "OpenAI's completions.", {**limited, "prompt": TEXT}, ["model", "prompt"], ["choices"]
        ),
        "/v1/embeddings": posted(
            "OpenAI's embeddings.", {"model": MODEL, "input": TEXT}, ["model", "input"], ["data"]
        ),
        "/v1/responses": posted(
            "OpenAI's responses.", {**common, "input": TEXT}, ["model", "input"], ["output"]
        ),
        "/v1/messages": posted(
            "Anthropic's messages.",
            chat,
            ["model", "messages", "max_tokens"],
            ["content", "stop_reason"],
            **messages,
        ),
        "/v1/messages/count_tokens": posted(
            "The tokens of a message.",
            {"model": MODEL, "messages": MESSAGES},
            ["model", "messages"],
            ["input_tokens"],
            **messages,
        ),
        "/api/v1/chat": posted(
            "A bare prompt, answered by `auto`.",
            {"prompt": {"type": "string", "pattern": "\\S"}, "user_id": TEXT},
            ["prompt"],
            ["source", "content", "provider"],
        ),
        "/v1/feedback": judged(),
        "/v1/models": got("The models.", listed, kind="application/json", keyed=True),
        "/v1/models/{id}": one,
        **health(),
    }


def judged() -> dict[str, Any]:
    """Return the path on which clients say how good an answer was."""
    fields = {
        "request_id": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "description": "The answer's x-request-id, or its x-hybrid-feedback-id.",
        },
        "score": {
            "anyOf": [{"enum": ["good", "bad"]}, {"type": "number", "minimum": 0, "maximum": 1}]
        },
        "reason": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
    }  # fmt: skip
    path = posted("How good an answer was.", fields, ["request_id", "score"], ["recorded"])
    del path["post"]["responses"]["200"]["headers"]
    return path


def health() -> dict[str, Any]:
    """Return the paths that say how the router is."""
    plain = "text/plain"
    ready = got("Whether it may get requests.", TEXT, kind=plain)
    ready["get"]["responses"]["503"] = {
        "description": "No table is in force yet, or the router ends.",
        "content": {plain: {"schema": TEXT}},
    }
    return {
        "/healthz": got("Whether it lives.", TEXT, kind=plain),
        "/readyz": ready,
        "/metrics": got("Metrics for Prometheus.", TEXT, kind=plain),
    }


def document() -> dict[str, Any]:
    """Return the whole document."""
    keys = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hybrid Inference router",
            "version": "1",
            "description": "Fields that are not listed pass to the backend, or are translated.",
        },
        "security": [{"bearer": []}, {"x-api-key": []}, {}],
        "paths": paths(),
        "components": {
            "headers": HEADERS,
            "schemas": {"Error": ERROR, "AnthropicError": ANTHROPIC_ERROR},
            "securitySchemes": keys,
        },
    }


def text() -> str:
    """Return the document as the file holds it."""
    return json.dumps(document(), indent=1) + "\n"


def main() -> int:
    """Write the file, or with `--check` compare it; return the exit status."""
    if "--check" not in sys.argv[1:]:
        PATH.write_text(text())
        return 0
    if PATH.exists() and PATH.read_text() == text():
        return 0
    print(f"{PATH.relative_to(repo.ROOT)} differs: python -m tools.openapi writes it")
    return 1


if __name__ == "__main__":
    sys.exit(main())
