"""An LLM API that does as its model's name says; runs in a pod, needs nothing but Python.

Models: `ok` answers, streamed too; `status-NNN` answers with that status and OpenAI's envelope;
`garbage` sends 200 and something that is no JSON; `silent` closes the connection without a word.
GET /counts returns how often each model was asked.
"""

import collections
import http.server
import json
import threading
import time

WORDS = ("the", " scripted", " provider", " answers")
USAGE = {"prompt_tokens": 7, "completion_tokens": len(WORDS), "total_tokens": 7 + len(WORDS)}
counts: collections.Counter[str] = collections.Counter()
lock = threading.Lock()


def chunk(delta, reason=None):
    """Return one event of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "ok"}
    return f"data: {json.dumps(body | {'choices': [choice]})}\n\n".encode()


def completion():
    """Return an answer in one piece."""
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "ok"}
    return body | {"choices": [choice], "usage": USAGE}


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer /counts, and /v1/models for whoever looks whether we are there."""
        if self.path == "/counts":
            self.reply(200, dict(counts))
        else:
            self.reply(200, {"object": "list", "data": [{"id": "ok", "object": "model"}]})

    def do_POST(self):
        """Do as the model's name says."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model = body["model"]
        with lock:
            counts[model] += 1
        if model.startswith("status-"):
            status = int(model.removeprefix("status-"))
            error = {
                "message": f"scripted {status}",
                "type": "scripted",
                "param": None,
                "code": None,
            }
            self.reply(status, {"error": error})
        elif model == "garbage":
            self.send(200, "application/json", b"<html>this is no JSON")
        elif model == "silent":
            self.close_connection = True
        elif body.get("stream"):
            self.stream()
        else:
            self.reply(200, completion())

    def stream(self):
        """Send the words one by one."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(chunk({"role": "assistant", "content": ""}))
        for word in WORDS:
            self.wfile.write(chunk({"content": word}))
            time.sleep(0.05)
        self.wfile.write(chunk({}, "stop") + b"data: [DONE]\n\n")
        self.close_connection = True

    def reply(self, status, value):
        """Send JSON."""
        self.send(status, "application/json", json.dumps(value).encode())

    def send(self, status, kind, body):
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()  # noqa: S104  in a pod
