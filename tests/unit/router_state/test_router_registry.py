"""What is in force: tables, replicas, secrets; and that nothing is lost when they change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.breaker import Outcome
from hybrid_router.discovery.endpoints import Address
from hybrid_router.discovery.registry import Pool, Registry, Source
from hybrid_router.discovery.secrets import SecretMissing, Secrets
from hybrid_router.discovery.tables import TableFile, Tables
from hybrid_router.table import (
    Backend,
    Model,
    Policy,
    RouteTable,
    SecretRef,
    Service,
    TableError,
    Target,
    encode,
)
from hybrid_router.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = "http://a:1/v1", "http://b:1/v1", "http://c:1/v1"


def table(*urls: str, generation: int = 1, **backend: object) -> RouteTable:
    engine = Backend(trust="internal", urls=urls or (A, B), **backend)  # type: ignore[arg-type]
    return RouteTable(
        generation=generation,
        models={"m": Model(targets=(Target(backend="engine", model="m"),))},
        backends={"engine": engine},
        policy=Policy(breaker_failures=2),
    )


def serving(of: RouteTable) -> Registry:
    registry = Registry(Metrics())
    registry.offer(encode(of), "file")
    return registry


def urls(pool: Pool) -> list[str]:
    return [replica.url for replica in pool.replicas]


def fail(pool: Pool, url: str, now: float = 0.0) -> None:
    """Open the breaker of one replica."""
    replica = next(r for r in pool.replicas if r.url == url)
    for _ in range(2):
        replica.acquire(1)
        replica.release(1, Outcome.FAILED, now)


def test_before_any_table_nothing_is_ready_and_nothing_breaks() -> None:
    registry = Registry(Metrics())
    assert not registry.ready
    assert registry.pool("engine").pick(0.0, ()) is None
    assert not registry.available("engine")


def test_a_new_table_keeps_the_state_of_the_replicas_that_stay() -> None:
    registry = serving(table(A, B))
    pool = registry.pool("engine")
    fail(pool, A)
    busy = pool.pick(0.0, ())
    assert busy is not None
    busy.acquire(500)
    registry.offer(encode(table(B, C, A, generation=2, cooldown=30.0)), "file")
    pool = registry.pool("engine")
    assert urls(pool) == [B, C, A]
    assert {r.url: (r.outstanding, r.breaker.closed) for r in pool.replicas} == {
        A: (0, False),
        B: (500, True),
        C: (0, True),
    }
    assert all(r.breaker.cooldown == 30.0 for r in pool.replicas)


def test_a_replica_that_is_gone_finishes_its_requests_and_gets_no_new_ones() -> None:
    registry = serving(table(A, max_concurrency=2))
    replica = registry.pool("engine").pick(0.0, ())
    assert replica is not None
    replica.acquire(10)
    registry.offer(encode(table(B, generation=2, max_concurrency=2)), "file")
    pool = registry.pool("engine")
    assert urls(pool) == [B]
    assert pool.in_flight == 1
    replica.release(10, Outcome.OK, 0.0)
    assert (replica.outstanding, pool.in_flight) == (0, 0)


def test_a_backend_that_is_gone_has_an_empty_pool() -> None:
    registry = serving(table())
    registry.offer(encode(RouteTable(generation=2)), "file")
    assert registry.pool("engine").pick(0.0, ()) is None


def test_a_backend_that_moves_outside_shares_nothing_with_the_one_inside() -> None:
    registry = serving(table(A))
    inside = registry.pool("engine")
    outside = Backend(trust="external", urls=(A,))
    registry.offer(encode(RouteTable(generation=2, backends={"engine": outside})), "file")
    assert registry.pool("engine") is not inside
    assert inside.backend.trust == "internal"


def test_a_table_that_cannot_be_served_changes_nothing() -> None:
    registry = serving(table())
    before = registry.table_hash
    with pytest.raises(TableError):
        registry.offer(b'{"version": 2}', "file")
    assert registry.ready
    assert registry.table_hash == before
    assert urls(registry.pool("engine")) == [A, B]


@pytest.mark.parametrize(
    ("offers", "generation"),
    [
        pytest.param([("file", 1), ("file", 2)], 2, id="a file alone moves on"),
        pytest.param([("file", 2), ("file", 1)], 1, id="a file alone may move back: its owner did"),
        pytest.param([("file", 1), ("watch", 2)], 2, id="the watch brings news"),
        pytest.param([("watch", 2), ("file", 1)], 2, id="a slow volume takes nothing back"),
        pytest.param([("watch", 2), ("file", 2)], 2, id="nor does it replace an equal generation"),
        pytest.param([("watch", 2), ("file", 3)], 3, id="a volume may be faster than the watch"),
        pytest.param(
            [("watch", 2), ("file", 3), ("file", 2)], 3, id="and is still not to be taken back"
        ),
        pytest.param(
            [("file", 7), ("watch", 1)], 1, id="a resource made anew starts again, by the watch"
        ),
    ],
)
def test_which_of_two_tables_is_in_force(offers: list[tuple[Source, int]], generation: int) -> None:
    registry = Registry(Metrics())
    for number, (source, of) in enumerate(offers):
        marked = RouteTable(generation=of, name=f"{number}-{source}")
        registry.offer(encode(marked), source)
    assert registry.table.generation == generation


def test_the_same_table_again_is_no_change() -> None:
    registry = serving(table())
    heard: list[RouteTable] = []
    registry.listen(heard.append)
    assert not registry.offer(encode(table()), "file")
    assert registry.offer(encode(table(C, generation=2)), "file")
    assert heard == [table(C, generation=2)]


def test_a_replica_with_an_open_breaker_is_not_picked() -> None:
    pool = serving(table(A, B)).pool("engine")
    fail(pool, A)
    picked = {replica.url for _ in range(50) if (replica := pool.pick(1.0, ())) is not None}
    assert picked == {B}


def test_the_probe_of_a_replica_is_picked_once() -> None:
    pool = serving(table(A)).pool("engine")
    fail(pool, A)
    assert pool.pick(9.9, ()) is None
    assert pool.wait(4.0) == 6.0
    assert pool.pick(10.0, ()) is not None
    assert pool.pick(10.0, ()) is None
    assert not pool.available(10.0)


def test_the_wait_of_a_pool_is_that_of_its_first_replica_to_return() -> None:
    pool = serving(table(A, B)).pool("engine")
    assert pool.wait(0.0) == 0.0
    fail(pool, A)
    assert pool.wait(0.0) == 0.0
    fail(pool, B, now=3.0)
    assert pool.wait(3.0) == 7.0


@given(
    st.lists(st.sampled_from([A, B, C]), unique=True, min_size=1),
    st.frozensets(st.sampled_from([A, B, C])),
    st.frozensets(st.sampled_from([A, B, C])),
)
def test_no_excluded_and_no_open_replica_is_ever_picked(
    present: list[str], excluded: frozenset[str], broken: frozenset[str]
) -> None:
    pool = serving(table(*present)).pool("engine")
    for url in broken & set(present):
        fail(pool, url)
    usable = set(present) - excluded - broken
    picked = pool.pick(1.0, excluded)
    assert (picked is not None and picked.url in usable) or (picked is None and not usable)
    assert pool.available(1.0) == bool(set(present) - broken)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.sampled_from(list(Outcome))), max_size=20))
def test_outstanding_tokens_end_at_zero_however_requests_end(
    requests: list[tuple[int, Outcome]],
) -> None:
    pool = serving(table(A)).pool("engine")
    replica = pool.replicas[0]
    for tokens, _ in requests:
        replica.acquire(tokens)
    for tokens, outcome in requests:
        replica.release(tokens, outcome, 0.0)
    assert (replica.outstanding, pool.in_flight) == (0, 0)


def test_endpoints_of_services_that_no_backend_names_are_not_kept() -> None:
    registry = serving(table())
    registry.locate("default", "other", [Address("10.0.0.1", (("http", 80),))])
    assert registry._addresses == {}


@pytest.mark.parametrize(
    ("port", "url"),
    [
        pytest.param("metrics", "http://10.0.0.1:9000/v1", id="a port by its name"),
        pytest.param(None, "http://10.0.0.1:8000/v1", id="the first port without a name"),
        pytest.param("grpc", None, id="no address for a port that is not there"),
    ],
)
def test_the_port_of_a_service(port: str | None, url: str | None) -> None:
    at = Service(namespace="default", name="engine", port=port)
    registry = serving(RouteTable(backends={"engine": Backend(trust="internal", service=at)}))
    address = Address("10.0.0.1", (("http", 8000), ("metrics", 9000)))
    registry.locate("default", "engine", [address])
    assert urls(registry.pool("engine")) == ([url] if url else [])


# Secrets.


def external(ref: SecretRef, auth: str = "bearer") -> RouteTable:
    key = Backend(trust="external", urls=("http://p/v1",), api_key=ref, auth=auth)  # type: ignore[arg-type]
    free = Backend(trust="internal", urls=(A,))
    return RouteTable(backends={"provider": key, "engine": free})


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        pytest.param("bearer", (b"authorization", b"Bearer sk-1"), id="as a bearer token"),
        pytest.param("api-key", (b"api-key", b"sk-1"), id="in Azure's header"),
        pytest.param("x-api-key", (b"x-api-key", b"sk-1"), id="in Anthropic's header"),
    ],
)
def test_how_a_key_travels(tmp_path: Path, auth: str, header: tuple[bytes, bytes]) -> None:
    file = tmp_path / "key"
    file.write_text("sk-1\n")
    pool = serving(external(SecretRef(file=str(file)), auth)).pool("provider")
    assert pool.auth_header() == header


def test_a_backend_without_a_key_sends_none() -> None:
    assert serving(table()).pool("engine").auth_header() is None


def test_a_missing_secret_shuts_its_own_backend_and_opens_it_when_it_appears(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    metrics = Metrics()
    registry = Registry(metrics)
    registry.offer(encode(external(SecretRef(file=str(file)))), "file")
    provider, engine = registry.pool("provider"), registry.pool("engine")
    with pytest.raises(SecretMissing, match=str(file)):
        provider.auth_header()
    assert provider.pick(0.0, ()) is None
    assert not provider.available(0.0)
    assert engine.available(0.0)
    assert b'hinf_router_secret_missing{backend="provider"} 1.0' in metrics.render()
    file.write_text("sk-2")
    registry.poll()
    assert provider.auth_header() == (b"authorization", b"Bearer sk-2")
    assert provider.available(0.0)
    assert b'hinf_router_secret_missing{backend="provider"} 0.0' in metrics.render()
    file.unlink()
    registry.poll()
    assert not provider.available(0.0)


def test_a_secret_that_rotates_through_a_swapped_symlink_is_read_again(tmp_path: Path) -> None:
    for name, key in (("v1", "sk-1"), ("v2", "sk-2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(key)
    data = tmp_path / "..data"
    data.symlink_to("v1")
    (tmp_path / "key").symlink_to("..data/key")
    registry = serving(external(SecretRef(file=str(tmp_path / "key"))))
    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").rename(data)
    registry.poll()
    assert registry.pool("provider").auth_header() == (b"authorization", b"Bearer sk-2")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty secret is missing"),
        pytest.param(b" \n", id="white space is missing"),
        pytest.param(b"sk\r\nx-evil: 1", id="a secret that would split a header is missing"),
        pytest.param("schlüssel".encode(), id="a secret that is not ASCII is missing"),
    ],
)
def test_a_secret_that_cannot_be_sent(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    secrets = Secrets()
    secrets.follow([SecretRef(file=str(file))])
    with pytest.raises(SecretMissing):
        secrets.value(SecretRef(file=str(file)))


def test_a_secret_from_the_environment() -> None:
    secrets = Secrets({"OPENAI_API_KEY": "sk-3"})
    secrets.follow([SecretRef(env="OPENAI_API_KEY"), SecretRef(env="OTHER")])
    assert secrets.value(SecretRef(env="OPENAI_API_KEY")) == b"sk-3"
    with pytest.raises(SecretMissing, match="OTHER"):
        secrets.value(SecretRef(env="OTHER"))


def test_a_missing_ca_file_shuts_the_backend_instead_of_trusting_less(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    private = Backend(trust="external", urls=("https://p/v1",), ca_file=str(ca))
    registry = serving(RouteTable(backends={"provider": private}))
    assert registry.pool("provider").pick(0.0, ()) is None
    ca.write_text("not a certificate")
    registry.poll()
    assert registry.pool("provider").pick(0.0, ()) is None


def test_plain_http_needs_no_tls_and_https_verifies() -> None:
    plain = serving(table()).pool("engine").replicas[0]
    assert plain.tls is None
    at = Backend(trust="external", urls=("https://p/v1",))
    secure = serving(RouteTable(backends={"p": at})).pool("p").replicas[0]
    assert secure.tls is not None
    assert secure.tls.check_hostname


# Tables in files.


def test_a_table_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    registry = Registry(Metrics())
    source = TableFile(str(file), Tables(registry, Metrics().table_error))
    source.poll()
    assert not registry.ready
    file.write_bytes(encode(table()))
    source.poll()
    assert registry.table == table()
    file.write_bytes(encode(table(C, generation=22)))
    source.poll()
    assert registry.table.generation == 22
    file.unlink()
    source.poll()
    assert registry.table.generation == 22


def test_a_bad_table_file_is_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "table.json"
    file.write_bytes(b"{")
    metrics = Metrics()
    source = TableFile(str(file), Tables(Registry(metrics), metrics.table_error))
    source.poll()
    source.poll()
    file.write_bytes(b"{")
    source.poll()
    assert caplog.text.count("cannot be served") == 1
    assert b'hinf_router_table_errors_total{source="file"} 1.0' in metrics.render()


def test_available_asks_the_present_moment() -> None:
    registry = serving(table(A))
    assert registry.available("engine")
    fail(registry.pool("engine"), A, now=time.monotonic())
    assert not registry.available("engine")
