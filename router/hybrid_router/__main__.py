"""`hinf-router`: one process that serves one RouteTable."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from hybrid_router.classify.build import ClassifierSource
from hybrid_router.discovery.cluster import ClusterDiscovery, ConfigMapRef
from hybrid_router.discovery.kube import Access, KubeAPI, NotInClusterError
from hybrid_router.discovery.outside import unreachable
from hybrid_router.discovery.registry import Registry
from hybrid_router.discovery.tables import TableFile, Tables
from hybrid_router.endpoints.routes import Routes
from hybrid_router.keys import KeyRing
from hybrid_router.memory import trim
from hybrid_router.pipeline import Pipeline
from hybrid_router.server.server import Server
from hybrid_router.table import RouteTable, TableError, content_hash, decode
from hybrid_router.telemetry.access import AccessLog
from hybrid_router.telemetry.metrics import Metrics
from hybrid_router.telemetry.tracing import Tracer, Tracing, TracingError
from hybrid_router.upstream.client import UpstreamClient
from hybrid_router.upstream.proxy import Proxies, ProxyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_log = logging.getLogger("hybrid_router")

GOOD, FAILED, BAD_INPUT = 0, 1, 2
"""Exit codes."""

MAX_PORT = 65_535
GC_ALLOCATIONS = 50_000
"""Between two looks of the garbage collector at young objects; Python's own 700 are made by a few
requests, and reference counting frees nearly all of them."""
POLL_SECONDS = 0.5
"""How often the table's file, secrets and client keys are looked at."""

DESCRIPTION = """\
Serve the OpenAI API from local models and from an external one, as a RouteTable says.

Explicit model names go to their model. The alias `auto` is classified: local when the
classifier is confident enough, else the external API, each the failover of the other.
"""

EPILOG = """\
a first table:
  {
    "version": 1,
    "models": {"auto": {"classified": true, "targets": [
      {"backend": "local", "model": "llama-3-8b"}, {"backend": "openai", "model": "gpt-4o"}]}},
    "backends": {
      "local":  {"trust": "internal", "urls": ["http://127.0.0.1:8000/v1"], "engine": "vllm"},
      "openai": {"trust": "external", "urls": ["https://api.openai.com/v1"],
                 "apiKey": {"env": "OPENAI_API_KEY"}}}
  }

then:
  hinf-router --check --table table.json
  hinf-router --table table.json --host 127.0.0.1
  curl -i http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}'

The answer's headers say where it came from and why: x-hybrid-source, x-hybrid-reason.
OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318 sends a span per request and attempt there.
The table is read again when it changes. SIGTERM and SIGINT let requests under way finish.
Exit code 0: ended as asked; 1: could not serve; 2: bad options or a bad table.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    p = argparse.ArgumentParser(
        "hinf-router",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--table", metavar="FILE", help="the RouteTable, as JSON")
    p.add_argument(
        "--watch-configmap",
        metavar="NAMESPACE/NAME[:KEY]",
        type=_config_map,
        help="in Kubernetes: follow the RouteTable in this ConfigMap (key table.json); with "
        "--table, the file serves the start",
    )
    p.add_argument(
        "--check",
        action="store_true",
        help="only say whether the table is good, and what of it cannot be reached from here",
    )
    p.add_argument(
        "--host",
        default="0.0.0.0",  # noqa: S104  a server's default in a pod; the help shows another
        help="address to listen at (default %(default)s)",
    )
    p.add_argument(
        "--port", type=_port, default=8080, help="port; 0 takes a free one (default %(default)s)"
    )
    p.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="of the messages on stderr (default %(default)s)",
    )
    p.add_argument(
        "--access-log",
        default="off",
        choices=("off", "on"),
        help="one JSON line per request on stdout, never with prompts or keys "
        "(default %(default)s)",
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    p = parser()
    options = p.parse_args(arguments)
    if options.table is None and (options.check or options.watch_configmap is None):
        p.error("--table FILE is needed: see --help for one to start with")
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        if options.check or options.watch_configmap is None:
            table, digest = _read(options.table)
            if options.check:
                _say(_summary(options.table, table, digest), sys.stdout)
                _warn(table)
                return GOOD
        uvloop.run(_Router(options).run())
    except (TableError, NotInClusterError, ProxyError, TracingError) as error:
        _say(f"hinf-router: {error}", sys.stderr)
        return BAD_INPUT
    except OSError as error:
        _say(f"hinf-router: {error.strerror or error}", sys.stderr)
        return FAILED
    return GOOD


class _Router:
    """Owns every part and every task of the process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._metrics = Metrics()
        self._registry = Registry(self._metrics)
        self._tables = Tables(self._registry, self._metrics.table_error)
        self._tracing = Tracing.read(os.environ)
        self._keys = KeyRing()
        self._registry.listen(lambda table: self._keys.configure(table.keys))
        self._file = None
        if options.table is not None:
            self._file = TableFile(options.table, self._tables)

    async def run(self) -> None:
        """Serve until told to stop, then let requests under way finish."""
        stop = asyncio.Event()
        _on_signals(stop)
        client = UpstreamClient(Proxies(os.environ))
        self._poll()
        classifier = ClassifierSource(self._registry, client, self._metrics)
        access_log = self._access_log()
        pipeline = Pipeline(
            self._registry, client, self._metrics, self._keys, classifier, access_log
        )
        self._tables.prepare = pipeline.gates.prepare
        if self._tracing is not None:
            pipeline.tracer = Tracer(self._tracing, client, self._metrics)
        server = Server(Routes(pipeline), self._registry.table.limits)
        self._registry.listen(lambda table: setattr(server, "limits", table.limits))
        discovery = self._discovery(client)
        port = server.start(self._options.host, self._options.port)
        _settle_memory()
        _log.info("serving at http://%s:%d", self._options.host, port)
        tasks = [asyncio.create_task(self._keep_polling(), name="poll files")]
        if discovery is not None:
            tasks.append(asyncio.create_task(discovery.run(), name="follow the cluster"))
        try:
            await _first(stop, tasks)
            await server.drain(self._registry.table.limits.drain_timeout)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await pipeline.close()
            await classifier.close()
            await client.close()

    def _access_log(self) -> AccessLog:
        """Return the log; it is on where the command line or the table in force says so."""
        always = self._options.access_log == "on"
        log = AccessLog(sys.stdout.buffer, on=always or self._registry.table.access_log)
        self._registry.listen(lambda table: setattr(log, "on", always or table.access_log))
        return log

    def _discovery(self, client: UpstreamClient) -> ClusterDiscovery | None:
        """Return what follows the cluster; None outside of one.

        Raises:
            NotInClusterError: a ConfigMap is to be watched, and there is no cluster.
        """
        config_map = self._options.watch_configmap
        try:
            access = Access.from_environment()
        except NotInClusterError:
            if config_map is not None:
                raise
            if self._registry.services():
                _log.warning("the table names Services, and this is no cluster: use urls instead")
            return None
        return ClusterDiscovery(KubeAPI(access, client), self._registry, self._tables, config_map)

    def _poll(self) -> None:
        if self._file is not None:
            self._file.poll()
        self._registry.poll()
        self._keys.poll()

    async def _keep_polling(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._poll()


def _settle_memory() -> None:
    """Leave what is there for good out of garbage collection, and collect less often."""
    gc.collect()
    trim()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)


async def _first(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the signal to stop; a task that ends before it is a fault, and is raised."""
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        waiting.cancel()


def _on_signals(stop: asyncio.Event) -> None:
    """Stop gracefully at the first SIGTERM or SIGINT; the second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def stopping() -> None:
        _log.info("stopping: requests under way may finish; once more to end at once")
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to {MAX_PORT}")
    return int(text)


def _config_map(text: str) -> ConfigMapRef:
    try:
        return ConfigMapRef.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _read(path: str) -> tuple[RouteTable, str]:
    """Read and check a table's file.

    Raises:
        TableError: it cannot be read, or is no table; the message names the file.
    """
    try:
        document = Path(path).read_bytes()
        return decode(document), content_hash(document)
    except OSError as error:
        raise TableError(f"table {path} cannot be read: {error.strerror}") from None
    except TableError as error:
        raise TableError(f"table {path} cannot be served: {error}") from None


def _say(text: str, stream: TextIO) -> None:
    stream.write(f"{text}\n")


def _warn(table: RouteTable) -> None:
    """Say what of a good table is missing here; in a cluster that is for the probes to find."""
    try:
        Access.from_environment()
    except NotInClusterError:
        for each in unreachable(table, os.environ):
            _say(f"warning: {each}", sys.stderr)
        if any(each.service for each in table.backends.values()):
            _say("`hinf render table --local -f FILE` writes a table for here", sys.stderr)


def _summary(path: str, table: RouteTable, digest: str) -> str:
    models, backends = len(table.models), len(table.backends)
    return f"{path}: good, hash {digest}, {models} models, {backends} backends"


if __name__ == "__main__":
    sys.exit(main())
