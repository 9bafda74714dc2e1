"""The data path runs on uvloop in production, and here."""

import asyncio
import ssl
import subprocess
from typing import cast

import pytest
import uvloop

from tests.support.upstreams import response


def pytest_asyncio_loop_factories(config, item):  # noqa: ARG001  pytest passes by name
    """Run each test once, on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return a key and a certificate of `localhost`, made by openssl's command."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


@pytest.fixture
async def tls_port(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    context.set_alpn_protocols(["h2", "http/1.1"])

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader, writer):
        serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol().encode()
                writer.write(response(200, spoken))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()  # a loop that closes during a TLS goodbye hangs

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    await asyncio.sleep(0)
