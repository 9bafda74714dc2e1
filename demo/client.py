"""A client inside the cluster: sends requests one after the other and prints what came back.

Runs in a pod as `python3 -c SOURCE REQUESTS`, so it needs nothing but Python. REQUESTS is a JSON
list of {"url", "body"}; without a body it is a GET. Prints a JSON list of {"status", "headers",
"body", "ms"}; a connection that fails has status 0 and the error as its body.
"""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

TIMEOUT_S = 90


def send(url: str, body: object) -> tuple[int, dict[str, str], str]:
    """Send one request on a connection of its own; return status, headers and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        if body is None:
            connection.request("GET", parts.path)
        else:
            content = {"content-type": "application/json"}
            connection.request("POST", parts.path, json.dumps(body), content)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read().decode(errors="replace")
    except OSError as error:
        return 0, {}, str(error)
    finally:
        connection.close()


def main() -> None:
    """Send what the argument lists."""
    answers = []
    for request in json.loads(sys.argv[1]):
        began = time.monotonic()
        status, headers, text = send(request["url"], request.get("body"))
        ms = round((time.monotonic() - began) * 1000)
        answers.append({"status": status, "headers": headers, "body": text, "ms": ms})
    sys.stdout.write(json.dumps(answers))


main()
