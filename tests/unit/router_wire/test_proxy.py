"""HTTP proxies: who is asked through one, and what a proxy that misbehaves leads to."""

import asyncio
import base64

import pytest

from hybrid_router.upstream.client import UpstreamClient, client_context
from hybrid_router.upstream.errors import ConnectFailed, TimedOut
from hybrid_router.upstream.proxy import Proxies, ProxyError

DIRECT = [
    pytest.param("", "api.openai.com", False, id="nothing is excepted by default"),
    pytest.param("openai.com", "api.openai.com", True, id="a name excepts what is below it"),
    pytest.param(".openai.com", "api.openai.com", True, id="with a dot, too"),
    pytest.param("*.openai.com", "api.openai.com", True, id="and with a star"),
    pytest.param("openai.com", "notopenai.com", False, id="a name is no mere suffix"),
    pytest.param("a.b, API.OpenAI.com", "api.openai.com", True, id="case and spaces count nothing"),
    pytest.param("api.openai.com:443", "api.openai.com", True, id="a port that fits"),
    pytest.param("api.openai.com:8443", "api.openai.com", False, id="another port"),
    pytest.param("10.0.0.0/8", "10.96.0.1", True, id="a network excepts its addresses"),
    pytest.param("10.0.0.0/8", "11.96.0.1", False, id="and no others"),
    pytest.param("10.0.0.0/8", "api.openai.com", False, id="nor names"),
    pytest.param("fd00::/8", "fd00::1", True, id="a network of IPv6"),
    pytest.param("[fd00::1]:443", "fd00::1", True, id="an address of IPv6 with a port"),
    pytest.param("*", "api.openai.com", True, id="a star excepts everything"),
]


@pytest.mark.parametrize(("no_proxy", "host", "direct"), DIRECT)
def test_no_proxy(no_proxy, host, direct):
    proxies = Proxies({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert (proxies.to(host, 443) is None) is direct


def test_the_kubernetes_api_is_never_asked_through_a_proxy():
    proxies = Proxies({"https_proxy": "proxy:3128", "KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert proxies.to("10.96.0.1", 443) is None
    assert proxies.to("api.openai.com", 443) is not None


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://user:hunter2@proxy", id="TLS to the proxy"),
        pytest.param("socks5://user:hunter2@proxy", id="SOCKS"),
        pytest.param("http://user:hunter2@:3128", id="no host"),
        pytest.param("http://user:hunter2@proxy:x", id="no port"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(url):
    with pytest.raises(ProxyError) as caught:
        Proxies({"HTTPS_PROXY": url})
    assert "hunter2" not in str(caught.value)


class ConnectProxy:
    """A proxy on loopback that answers as told, and tunnels after a 200."""

    def __init__(self, reply):
        self.reply = reply
        self.asked = []
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.decode())
            writer.write(self.reply)
            if b" 200 " in self.reply:
                host, _, port = head.split(b" ")[1].decode().rpartition(":")
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._copy(reader, far_writer))
                    group.create_task(self._copy(far_reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def _copy(self, reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.transport.abort()


async def ask(proxy, certificate, port, *, seconds=5, credentials=""):
    client = UpstreamClient(Proxies({"HTTPS_PROXY": f"http://{credentials}127.0.0.1:{proxy.port}"}))
    try:
        tls = client_context(str(certificate[1]))
        url = f"https://localhost:{port}/"
        answers = [await client.fetch("GET", url, timeout=seconds, tls=tls) for _ in range(2)]
        return [answer.body for answer in answers]
    finally:
        await client.close()


async def test_a_provider_is_asked_through_a_tunnel_that_is_kept(certificate, tls_port):
    async with ConnectProxy(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n") as proxy:
        bodies = await ask(proxy, certificate, tls_port, credentials="us%40er:pa%3Ass@")
    assert bodies == [b"http/1.1"] * 2
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT localhost:{tls_port} HTTP/1.1\r\n")
    basic = base64.b64encode(b"us@er:pa:ss").decode()
    assert f"proxy-authorization: Basic {basic}\r\n" in asked


REFUSALS = [
    pytest.param(b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n\r\n", "407", id="407"),
    pytest.param(b"HTTP/1.1 502 X\r\ncontent-length: 4\r\n\r\noops", "502", id="502 with a body"),
    pytest.param(b"SSH-2.0-x\r\n\r\n", "not HTTP", id="no proxy at all"),
    pytest.param(b"", "not HTTP", id="a close"),
]


@pytest.mark.parametrize(("reply", "words"), REFUSALS)
async def test_a_proxy_that_refuses_is_no_connection(reply, words, certificate, tls_port):
    async with ConnectProxy(reply) as proxy:
        with pytest.raises(ConnectFailed, match=words):
            await ask(proxy, certificate, tls_port)


async def test_a_silent_proxy_is_waited_for_no_longer_than_a_connection(certificate, tls_port):
    async with ConnectProxy(b"HTTP/1.1 200 X\r\n") as proxy:
        with pytest.raises(TimedOut):
            await ask(proxy, certificate, tls_port, seconds=0.3)
