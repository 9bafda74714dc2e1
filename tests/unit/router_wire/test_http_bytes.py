"""What the router answers to bytes, one row per sentence."""

import asyncio

import pytest

from tests.support.routers import backend, request, router, table
from tests.support.upstreams import Upstream

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
PATH = "/v1/chat/completions"


def post(*headers: str, body: bytes = CHAT, version: str = "1.1", target: str = PATH) -> bytes:
    lines = [f"POST {target} HTTP/{version}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


LENGTH = f"Content-Length: {len(CHAT)}"

REFUSED = [
    pytest.param(
        post("Host: a", LENGTH, "Transfer-Encoding: chunked"),
        400,
        id="a length together with a transfer coding is refused",
    ),
    pytest.param(
        post("Host: a", "Transfer-Encoding: chunked", LENGTH),
        400,
        id="a transfer coding together with a length is refused",
    ),
    pytest.param(
        post("Host: a", LENGTH, "Content-Length: 3"), 400, id="two different lengths are refused"
    ),
    pytest.param(post("Host: a", LENGTH, LENGTH), 400, id="two equal lengths are refused"),
    pytest.param(
        post("Host: a", f"Content-Length: {len(CHAT)}, {len(CHAT)}"),
        400,
        id="a list of lengths is refused",
    ),
    pytest.param(post("Host: a", "Content-Length: +5"), 400, id="a signed length is refused"),
    pytest.param(post("Host: a", "Content-Length: 0x5"), 400, id="a hexadecimal length is refused"),
    pytest.param(
        post("Host: a", "Content-Length: 99999999999999999999999"),
        400,
        id="a length beyond 64 bits is refused",
    ),
    pytest.param(post(LENGTH), 400, id="a missing host is refused in HTTP 1.1"),
    pytest.param(post("Host: a", "Host: a", LENGTH), 400, id="two hosts are refused"),
    *(
        pytest.param(post(f"Host: {host}", LENGTH), 400, id=f"{host!r} is no host")
        for host in ("a b", "user@a", "a, b", "a/b", "a:8x", "a\x7f", "[::1", "a:b:c")
    ),
    pytest.param(
        b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="two spaces in the request line"
    ),
    pytest.param(
        b"GET http://a?x=/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        404,
        id="a query is no path, not even behind an authority",
    ),
    pytest.param(
        post("Host: a", LENGTH, "Content-Encoding: gzip", body=b""),
        415,
        id="a compressed body is refused",
    ),
    pytest.param(
        post("Host: a", "X: 1", " folded", LENGTH), 400, id="a folded header line is refused"
    ),
    pytest.param(
        post("Host : a", LENGTH), 400, id="a space between header name and colon is refused"
    ),
    pytest.param(
        b"POST / HTTP/1.1\nHost: a\r\n\r\n", 400, id="a bare LF after the request line is refused"
    ),
    pytest.param(
        b"POST / HTTP/1.1\nHost: a\n\n", 400, id="a head with bare LF only is refused at once"
    ),
    pytest.param(
        b"GET /healthz HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        400,
        id="a bare LF between headers is refused",
    ),
    pytest.param(
        b"GET /healthz HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        400,
        id="a bare CR between headers is refused",
    ),
    pytest.param(
        b"GET /healthz HTTP/1.1\r\nHost: a\x00b\r\n\r\n", 400, id="a NUL in a header is refused"
    ),
    pytest.param(
        post("Host: a", "Transfer-Encoding: gzip, chunked"),
        400,
        id="a transfer coding other than chunked is refused",
    ),
    pytest.param(
        post("Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        400,
        id="two transfer codings are refused",
    ),
    pytest.param(
        post("Host: a", "Transfer-Encoding: chunked", version="1.0"),
        400,
        id="a transfer coding is refused in HTTP 1.0",
    ),
    pytest.param(b"GET /healthz\r\n\r\n", 505, id="HTTP 0.9 is refused"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\n", 505, id="the preface of HTTP 2 is refused"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, id="a TLS handshake is refused"),
    pytest.param(b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="an unknown method is refused"),
    pytest.param(
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a raw byte in the target is refused"
    ),
    pytest.param(
        post("Host: a", "Expect: a miracle", LENGTH), 417, id="an unknown expectation is refused"
    ),
    pytest.param(
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        414,
        id="a target above the limit is refused",
    ),
    pytest.param(
        b"GET /" + b"a" * 20_000, 414, id="a target above the limit is refused before it ends"
    ),
    pytest.param(
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        431,
        id="a header above the limit is refused",
    ),
    pytest.param(
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20_000,
        431,
        id="a header above the limit is refused before it ends",
    ),
]

BAD_CHUNKS = [
    pytest.param(b"zz\r\n", id="a size that is not hexadecimal"),
    pytest.param(b"-1\r\n", id="a negative size"),
    pytest.param(b"0x5\r\n", id="a size with a prefix"),
    pytest.param(b" 5\r\n", id="a space before the size"),
    pytest.param(b"5 \r\n", id="a space after the size"),
    pytest.param(b"\r\n", id="an empty size"),
    pytest.param(b"ffffffffffffffff1\r\n", id="a size beyond 64 bits"),
    pytest.param(b"5\nhello\r\n0\r\n\r\n", id="a size that ends with a bare LF"),
    pytest.param(b"5\nhello", id="a size that ends with a bare LF, at once"),
    pytest.param(b"5\r\nhello\r\n0\n\n", id="a last chunk that ends with a bare LF, at once"),
    pytest.param(b"2\r\nhello\r\n0\r\n\r\n", id="more data than the size says"),
    pytest.param(b"5\r\nhello0\r\n\r\n", id="no line end after the data"),
    pytest.param(b"5;" + b"a" * 2000 + b"\r\n", id="an extension of 2 KB"),
    pytest.param(b"5;a=\x00\r\nhello\r\n0\r\n\r\n", id="a NUL in an extension"),
    pytest.param(b"0\r\nbad trailer\r\n\r\n", id="a trailer without a colon"),
    pytest.param(b"0\r\nX: " + b"a" * 1000 + b"\r\n" + b"Y: a\r\n" * 2000, id="endless trailers"),
    pytest.param(b"1\r\n{\r\n" * 5000, id="thousands of one-byte chunks"),
]


@pytest.mark.parametrize(("data", "status"), REFUSED)
async def test_refused(data, status):
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        connection = await r.connect()
        await connection.send(data)
        reply = await connection.reply()
        assert reply.status == status
        assert set(reply.error) == {"message", "type", "param", "code"}
        assert reply.headers["connection"] == "close"
        assert await connection.ended()
        assert up.received == []
        await connection.close()


@pytest.mark.parametrize("chunks", BAD_CHUNKS)
async def test_chunks_are_refused(chunks):
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        reply = await r.raw(post("Host: a", "Transfer-Encoding: chunked", body=chunks))
        assert reply.status == 400
        assert up.received == []


ANSWERED = [
    pytest.param(post("Host: a", LENGTH), id="a plain request"),
    pytest.param(b"\r\n" + post("Host: a", LENGTH), id="an empty line before the request"),
    pytest.param(post("hOsT: a", LENGTH.upper()), id="header names in any case"),
    *(
        pytest.param(post(f"Host: {host}", LENGTH), id=f"the host {host!r}")
        for host in ("", "[::1]:80", "router.ns.svc:8080", "a_b~%20", "a:")
    ),
    pytest.param(
        post("Host: a", LENGTH, "Content-Encoding: identity"), id="a body that is not encoded"
    ),
    pytest.param(post("Host: a", LENGTH, target=PATH + "?x=1"), id="a query"),
    pytest.param(post("Host: a", LENGTH, target="http://b" + PATH), id="an absolute target"),
    pytest.param(
        post("Host: a", LENGTH, "Connection: Upgrade", "Upgrade: h2c"),
        id="an upgrade is declined by answering in HTTP 1.1",
    ),
    pytest.param(
        post(
            "Host: a",
            "Transfer-Encoding: Chunked",
            body=b"5\r\n" + CHAT[:5] + b"\r\n%x;a=b\r\n" % len(CHAT[5:]) + CHAT[5:] + b"\r\n"
            b"0\r\nX-Trailer: content-length\r\nContent-Length: 99\r\n\r\n",
        ),
        id="chunks with an extension and trailers",
    ),
    pytest.param(post(LENGTH, version="1.0"), id="HTTP 1.0 without a host"),
]


@pytest.mark.parametrize("data", ANSWERED)
@pytest.mark.parametrize("size", [pytest.param(0, id="at once"), pytest.param(1, id="bytewise")])
async def test_answered(data, size):
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        connection = await r.connect()
        for at in range(0, len(data), size or len(data)):
            await connection.send(data[at : at + (size or len(data))])
            await asyncio.sleep(0)
        reply = await connection.reply()
        assert (reply.status, reply.json()["object"]) == (200, "chat.completion")
        assert up.received[0].json()["messages"] == [{"role": "user", "content": "hi"}]
        await connection.close()


async def test_http_1_0_ends_with_its_answer_and_gets_no_chunks():
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        body = CHAT.replace(b"}]}", b'}],"stream":true}')
        reply = await r.raw(post(f"Content-Length: {len(body)}", version="1.0", body=body))
        assert "transfer-encoding" not in reply.headers
        assert reply.headers["connection"] == "close"
        assert reply.events()[-1] == "[DONE]"


async def test_pipelined_requests_are_answered_in_their_order():
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        connection = await r.connect()
        await connection.send(
            request("POST", PATH, CHAT, "X-Request-Id: one")
            + request("GET", "/healthz", b"", "X-Request-Id: two")
            + request("POST", PATH, CHAT, "X-Request-Id: three")
            + request("GET", "/nowhere", b"", "X-Request-Id: four")
            + request("GET", "/v1/models", b"", "X-Request-Id: five")
        )
        replies = [await connection.reply() for _ in range(5)]
        ids = [x.headers["x-request-id"] for x in replies]
        assert ids == ["one", "two", "three", "four", "five"]
        assert [x.status for x in replies] == [200, 200, 200, 404, 200]
        await connection.close()


async def test_a_thousand_pipelined_requests_are_all_answered():
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        connection = await r.connect()
        connection.writer.write(request("GET", "/healthz") * 1000)
        for _ in range(1000):
            assert (await connection.reply()).status == 200
        await connection.close()


async def test_a_client_that_sends_ahead_is_not_read_beyond_a_bound():
    gate = asyncio.Event()

    async def waits(talk):
        await gate.wait()
        await talk.send(b"HTTP/1.1 204 X\r\n\r\n")

    async with Upstream(waits) as up, router(table({"local": backend(up.url)})) as r:
        connection = await r.connect()
        connection.writer.transport.set_write_buffer_limits(high=1)
        connection.writer.write(request("POST", PATH, CHAT))
        ahead = request("POST", PATH, b" " * 1_000_000)
        for _ in range(40):
            connection.writer.write(ahead)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.writer.drain(), 0.3)
        held = next(iter(r.server._connections))
        assert len(held._buffer) < 512 * 1024
        gate.set()
        connection.writer.transport.abort()


async def test_head_gets_the_headers_of_get_and_no_body():
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        connection = await r.connect()
        await connection.send(request("HEAD", "/healthz") + request("GET", "/healthz"))
        first = await connection.reply(head_only=True)
        second = await connection.reply()
        assert (first.status, first.headers["content-length"]) == (200, "3")
        assert second.body == b"ok\n"
        await connection.close()


async def test_expect_continue_is_answered_before_the_body_is_sent():
    async with Upstream() as up, router(table({"local": backend(up.url)})) as r:
        connection = await r.connect()
        await connection.send(post("Host: a", LENGTH, "Expect: 100-continue", body=b""))
        assert (await connection.reply()).status == 100
        await connection.send(CHAT)
        assert (await connection.reply()).status == 200
        await connection.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(
            post("Host: a", "Content-Length: 99999999", "Expect: 100-continue", body=b""),
            413,
            id="too large a body",
        ),
        pytest.param(
            post("Host: a", LENGTH, "Expect: 100-continue", body=b"", target="/v1/audio/speech"),
            404,
            id="an unknown path",
        ),
    ],
)
async def test_expect_continue_is_refused_without_a_continue(data, status):
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        assert (await r.raw(data)).status == status


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        pytest.param("GET", "/v1/chat/completions", "POST", id="GET on chat"),
        pytest.param("DELETE", "/v1/models", "GET, HEAD", id="DELETE on models"),
        pytest.param("OPTIONS", "/healthz", "GET, HEAD", id="OPTIONS on health"),
        pytest.param("DELETE", "/v1/models/m", "GET, HEAD", id="DELETE on one model"),
    ],
)
async def test_a_wrong_method_is_405_and_says_which_is_right(method, path, allow):
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        reply = await r.raw(request(method, path))
        assert (reply.status, reply.headers["allow"]) == (405, allow)
        assert reply.error["code"] == "method_not_allowed"


async def test_a_refused_small_request_leaves_the_connection_usable():
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        connection = await r.connect()
        await connection.send(request("POST", "/v1/images", b"{}") + request("GET", "/healthz"))
        assert (await connection.reply()).status == 404
        assert (await connection.reply()).status == 200
        await connection.close()


async def test_a_client_that_sends_a_refused_large_body_still_reads_the_answer():
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        connection = await r.connect()
        size = 40_000_000
        connection.writer.write(post("Host: a", f"Content-Length: {size}", body=b""))
        for _ in range(size // 1_000_000):
            connection.writer.write(b" " * 1_000_000)
            await asyncio.sleep(0)
        reply = await connection.reply()
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        connection.writer.transport.abort()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("abc-DEF_123", True, id="a sane one is kept"),
        pytest.param("x" * 128, True, id="the longest one is kept"),
        pytest.param("x" * 129, False, id="one too long is replaced"),
        pytest.param("a b", False, id="one with a space is replaced"),
        pytest.param('a"b', False, id="one with a quote is replaced"),
    ],
)
async def test_request_ids(given, kept):
    async with router(table({"local": backend("http://127.0.0.1:1/v1")})) as r:
        reply = await r.get("/healthz", f"X-Request-Id: {given}")
        assert (reply.headers["x-request-id"] == given) is kept
        assert len(reply.headers["x-request-id"]) > 8
