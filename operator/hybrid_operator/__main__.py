"""`python -m hybrid_operator`: reads its settings, connects, and runs until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from hybrid_operator import logs
from hybrid_operator.kube.client import Kube, connect
from hybrid_operator.kube.kubeconfig import ConnectError
from hybrid_operator.metrics.connections import Connections
from hybrid_operator.metrics.fetch import MAX_BYTES, Direct, Proxied
from hybrid_operator.settings import VARIABLES, OperatorSettings, SettingsError, from_environment
from hybrid_operator.wiring import Endpoints, Operator

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

log = logging.getLogger("hybrid_operator")

FAILED, USAGE_ERROR = 1, 2
HEALTH_PORT, METRICS_PORT = 8080, 9090
GARBAGE = 10_000
"""Objects more than a moment ago, at which cycles are looked for. Python's 700 are made by a dozen
scrapes, and to look through caches of thousands of children so often is a fifth of the CPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator; return 0 after SIGTERM or SIGINT, 1 after a failure, 2 for bad settings."""
    options = _parser().parse_args(arguments)
    logs.configure(options.log_format, options.log_level)
    gc.set_threshold(GARBAGE)
    try:
        settings = from_environment(os.environ, socket.gethostname())
        return asyncio.run(_run(settings, Endpoints(options.health_port, options.metrics_port)))
    except (SettingsError, ConnectError) as error:
        sys.stderr.write(f"hybrid_operator: {error}\n")
        return USAGE_ERROR


async def _run(settings: OperatorSettings, endpoints: Endpoints) -> int:
    connection = connect()
    async with connection.http:
        kube = Kube(connection.http)
        namespace = settings.pod_namespace or connection.namespace
        with contextlib.closing(Connections(MAX_BYTES)) as pods:
            fetch = Direct(pods) if connection.inside else Proxied(kube)
            operator = Operator(kube, fetch, settings, namespace)
            return await _until_stopped(operator.run(endpoints))


async def _until_stopped(work: Coroutine[None, None, None]) -> int:
    """Run `work` until SIGTERM or SIGINT, then cancel and await it; a failure ends it too."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")
        return 0
    except Exception as failure:  # whatever it is, it ends the process with a sentence
        for line in _sentences(failure):
            log.error("stopped: %s", line)  # noqa: TRY400  the sentence, not the traceback
        log.debug("how it came to that", exc_info=failure)
        return FAILED
    return 0


def _sentences(failure: BaseException) -> list[str]:
    if isinstance(failure, BaseExceptionGroup):
        return [line for part in failure.exceptions for line in _sentences(part)]
    return [str(failure) or type(failure).__name__]


def _parser() -> argparse.ArgumentParser:
    variables = "\n".join(f"  {name:24} {meaning}" for name, meaning in VARIABLES.items())
    parser = argparse.ArgumentParser(
        prog="python -m hybrid_operator",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "The Hybrid Inference operator. It follows HybridInference resources and keeps\n"
            "what they ask for.\n\n"
            "In a pod it uses the pod's service account. Elsewhere it uses KUBECONFIG, or\n"
            "~/.kube/config:\n\n"
            "  kubectl apply -f crds/\n"
            "  HINF_ROUTER_IMAGE=example.com/hybrid-router:0.1.0 python -m hybrid_operator\n\n"
            "Several may run at once: one leads, by a Lease, and the others stand by."
        ),
        epilog=f"environment:\n{variables}",
    )
    parser.add_argument(
        "--health-port",
        type=_port,
        default=HEALTH_PORT,
        metavar="PORT",
        help="port of /healthz, 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-port",
        type=_port,
        default=METRICS_PORT,
        metavar="PORT",
        help="port of /metrics, 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--log-format", choices=("plain", "json"), default="plain", help="default: %(default)s"
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="default: %(default)s",
    )
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:  # noqa: PLR2004  the highest port
        raise argparse.ArgumentTypeError(f"{text} is not a port from 0 to 65535")
    return number


if __name__ == "__main__":
    sys.exit(main())
