"""The registry follows a cluster: real list and watch over a real socket."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hybrid_router.discovery.cluster import ClusterDiscovery, ConfigMapRef
from hybrid_router.discovery.kube import Access, KubeAPI, NotInClusterError
from hybrid_router.discovery.reflector import LONGEST_PAUSE, pause
from hybrid_router.discovery.registry import Registry
from hybrid_router.discovery.tables import Tables
from hybrid_router.table import Backend, Model, RouteTable, Service, Target, encode
from hybrid_router.telemetry.metrics import Metrics
from hybrid_router.upstream.client import UpstreamClient
from tests.support.kube_api import FakeKubeAPI, config_map, endpoint, endpoint_slice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SLICES = "endpointslices"
MAPS = "configmaps"


def table(generation: int = 1, *services: str) -> RouteTable:
    names = services or ("engine",)
    return RouteTable(
        generation=generation,
        models={n: Model(targets=(Target(backend=n, model=n),)) for n in names},
        backends={
            n: Backend(trust="internal", service=Service(namespace="default", name=n, port="http"))
            for n in names
        },
    )


def document(of: RouteTable) -> dict[str, str]:
    return {"table.json": encode(of).decode()}


class Router:
    """As much of a router as discovery needs."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.registry = Registry(self.metrics)
        self.tables = Tables(self.registry, self.metrics.table_error)

    def urls(self, backend: str = "engine") -> list[str]:
        return [replica.url for replica in self.registry.pool(backend).replicas]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what must come; the test's own timeout is the limit."""
        while not condition():  # noqa: ASYNC110  whatever the test can see
            await asyncio.sleep(0.005)


@asynccontextmanager
async def following(
    api: FakeKubeAPI, *, watch_table: bool = True, token_file: str | None = None
) -> AsyncIterator[Router]:
    router = Router()
    client = UpstreamClient()
    kube = KubeAPI(Access(api.url, token_file, None), client)
    at = ConfigMapRef("default", "routes") if watch_table else None
    task = asyncio.create_task(ClusterDiscovery(kube, router.registry, router.tables, at).run())
    try:
        yield router
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


@pytest.fixture
async def api() -> AsyncIterator[FakeKubeAPI]:
    async with FakeKubeAPI() as server:
        await server.put(MAPS, config_map("routes", document(table())))
        await server.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.1", ready=True)]))
        yield server


async def test_table_and_endpoints_are_found_at_the_start(api: FakeKubeAPI) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        assert router.registry.ready
        assert router.urls() == ["http://10.0.0.1:8000/v1"]
        assert any("fieldSelector=metadata.name%3Droutes" in target for target in api.requests)


async def test_a_new_table_and_new_endpoints_arrive_by_watch(api: FakeKubeAPI) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        lists = [target for target in api.requests if "watch" not in target]
        await api.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.2", ready=True)]))
        await router.until(lambda: router.urls() == ["http://10.0.0.2:8000/v1"])
        await api.put(MAPS, config_map("routes", document(table(2))))
        await router.until(lambda: router.registry.table.generation == 2)
        assert lists == [target for target in api.requests if "watch" not in target]


async def test_a_service_that_a_new_table_names_is_followed_from_then_on(
    api: FakeKubeAPI,
) -> None:
    await api.put(SLICES, endpoint_slice("other", [endpoint("10.0.1.1")]))
    async with following(api) as router:
        await router.until(router.urls)
        await api.put(MAPS, config_map("routes", document(table(2, "engine", "other"))))
        await router.until(lambda: router.urls("other"))
        assert router.urls() == ["http://10.0.0.1:8000/v1"]


async def test_other_objects_of_the_namespace_are_not_asked_for(api: FakeKubeAPI) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        assert all("Selector=" in target for target in api.requests)


@pytest.mark.parametrize(
    ("conditions", "usable"),
    [
        pytest.param({"ready": True}, True, id="ready is usable"),
        pytest.param({}, True, id="no condition at all is usable"),
        pytest.param({"ready": False}, False, id="not ready is not"),
        pytest.param(
            {"ready": False, "serving": True, "terminating": True},
            False,
            id="shutting down gets nothing new although it still serves",
        ),
        pytest.param(
            {"ready": True, "serving": True, "terminating": True},
            False,
            id="shutting down gets nothing new even if published as ready",
        ),
    ],
)
async def test_which_endpoints_are_used(
    api: FakeKubeAPI,
    conditions: dict[str, bool],
    usable: bool,  # noqa: FBT001  a column
) -> None:
    known = endpoint("10.0.0.9", ready=True)
    await api.put(SLICES, endpoint_slice("engine", [known, endpoint("10.0.0.2", **conditions)]))
    async with following(api) as router:
        await router.until(router.urls)
        assert ("http://10.0.0.2:8000/v1" in router.urls()) is usable


async def test_an_ipv6_endpoint_is_addressed_in_brackets(api: FakeKubeAPI) -> None:
    await api.put(SLICES, endpoint_slice("engine", [endpoint("fd00::7")], family="IPv6"))
    async with following(api) as router:
        await router.until(router.urls)
        assert router.urls() == ["http://[fd00::7]:8000/v1"]


async def test_a_pod_of_a_dual_stack_service_counts_once(api: FakeKubeAPI) -> None:
    six = endpoint_slice("engine", [endpoint("fd00::7")], name="engine-6", family="IPv6")
    await api.put(SLICES, six)
    async with following(api) as router:
        await router.until(router.urls)
        assert router.urls() == ["http://10.0.0.1:8000/v1"]


async def test_a_deleted_slice_takes_its_endpoints_with_it(api: FakeKubeAPI) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        await api.delete(SLICES, "engine-1")
        await router.until(lambda: not router.urls())


async def test_a_cut_connection_is_continued_where_it_was_without_a_new_list(
    api: FakeKubeAPI,
) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        await router.until(lambda: sum("watch" in target for target in api.requests) == 2)
        api.cut()
        await api.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.3")]))
        await router.until(lambda: router.urls() == ["http://10.0.0.3:8000/v1"])
        assert sum("watch" not in target for target in api.requests) == 2


async def test_after_410_gone_everything_is_listed_again(api: FakeKubeAPI) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        await router.until(lambda: sum("watch" in target for target in api.requests) == 2)
        await api.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.4")]))
        await api.compact()
        api.cut()
        await router.until(lambda: sum("watch" not in target for target in api.requests) == 4)
        await api.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.5")]))
        await router.until(lambda: router.urls() == ["http://10.0.0.5:8000/v1"])


async def test_a_bookmark_saves_the_list_after_a_compaction(api: FakeKubeAPI) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        await router.until(lambda: sum("watch" in target for target in api.requests) == 2)
        await api.compact()
        await api.bookmark()
        await api.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.6")]))
        await router.until(lambda: router.urls() == ["http://10.0.0.6:8000/v1"])
        api.cut()
        await router.until(lambda: sum("watch" in target for target in api.requests) >= 4)
        assert sum("watch" not in target for target in api.requests) == 2


async def test_while_the_api_server_is_away_everything_stays_as_it_was(
    api: FakeKubeAPI,
) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        await api.stop()
        await asyncio.sleep(0.3)
        assert router.registry.ready
        assert router.urls() == ["http://10.0.0.1:8000/v1"]
        await api.put(SLICES, endpoint_slice("engine", [endpoint("10.0.0.8")]))
        await api.start()
        await router.until(lambda: router.urls() == ["http://10.0.0.8:8000/v1"])


async def test_a_refusal_is_said_once_and_tried_again(
    api: FakeKubeAPI, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse = 403
    async with following(api) as router:
        await router.until(lambda: len(api.requests) >= 3)
        assert caplog.text.count("403: refused by the test") == 1
        api.refuse = None
        await router.until(router.urls)


async def test_a_token_that_rotates_is_read_again(api: FakeKubeAPI, tmp_path: Path) -> None:
    api.token = "second"
    token = tmp_path / "token"
    token.write_text("first\n")
    async with following(api, token_file=str(token)) as router:
        await router.until(lambda: api.requests)
        assert not router.registry.ready
        token.write_text("second\n")
        await router.until(router.urls)


async def test_a_bad_table_leaves_the_last_good_one_in_force(
    api: FakeKubeAPI, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        await api.put(MAPS, config_map("routes", {"table.json": '{"version": 9}'}))
        await router.until(lambda: "version: 9 is unknown" in caplog.text)
        assert router.registry.table.generation == 1
        assert b'hinf_router_table_errors_total{source="watch"} 1.0' in router.metrics.render()
        await api.put(MAPS, config_map("routes", document(table(3))))
        await router.until(lambda: router.registry.table.generation == 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param({"other": "x"}, "has no key table.json", id="a key that is missing"),
        pytest.param(None, "was deleted", id="a ConfigMap that is deleted"),
    ],
)
async def test_a_table_that_disappears_stays_in_force(
    api: FakeKubeAPI,
    caplog: pytest.LogCaptureFixture,
    data: dict[str, str] | None,
    words: str,
) -> None:
    async with following(api) as router:
        await router.until(router.urls)
        if data is None:
            await api.delete(MAPS, "routes")
        else:
            await api.put(MAPS, config_map("routes", data))
        await router.until(lambda: words in caplog.text)
        assert router.registry.table.generation == 1


async def test_a_file_gives_the_start_and_the_watch_the_newer_table(api: FakeKubeAPI) -> None:
    await api.put(MAPS, config_map("routes", document(table(5))))
    async with following(api) as router:
        router.tables.offer(encode(table(4)), "file")
        assert router.registry.table.generation == 4
        await router.until(lambda: router.registry.table.generation == 5)
        router.tables.offer(encode(table(4)), "file")
        assert router.registry.table.generation == 5


async def test_without_a_watched_table_the_endpoints_of_a_files_table_are_followed(
    api: FakeKubeAPI,
) -> None:
    async with following(api, watch_table=False) as router:
        router.tables.offer(encode(table()), "file")
        await router.until(router.urls)
        assert not any("configmaps" in target for target in api.requests)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        pytest.param(
            {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"},
            "https://10.96.0.1:443",
            id="a pod's own environment",
        ),
        pytest.param(
            {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"},
            "https://[fd00::1]:443",
            id="an IPv6 cluster",
        ),
        pytest.param(
            {"HINF_KUBE_API": "http://127.0.0.1:9/"}, "http://127.0.0.1:9", id="an override"
        ),
    ],
)
def test_where_the_api_server_is(environ: dict[str, str], url: str) -> None:
    assert Access.from_environment(environ).url == url


def test_outside_a_cluster_the_error_says_what_to_do() -> None:
    with pytest.raises(NotInClusterError, match="--watch-configmap"):
        Access.from_environment({})


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param("a/b", ConfigMapRef("a", "b", "table.json"), id="the key has a default"),
        pytest.param("a/b:c.json", ConfigMapRef("a", "b", "c.json"), id="the key can be given"),
    ],
)
def test_config_map_reference(text: str, at: ConfigMapRef) -> None:
    assert ConfigMapRef.parse(text) == at


@pytest.mark.parametrize("text", ["", "name", "/name", "ns/", "a/b/c"])
def test_a_config_map_reference_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAMESPACE/NAME"):
        ConfigMapRef.parse(text)


def test_pauses_grow_are_jittered_and_stay_bounded() -> None:
    assert [pause(n, lambda: 0.5) for n in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert pause(100, lambda: 0.0) == LONGEST_PAUSE / 2
    assert pause(100, lambda: 1.0) == LONGEST_PAUSE * 1.5


async def test_a_table_that_is_not_there_yet_is_waited_for(
    api: FakeKubeAPI, caplog: pytest.LogCaptureFixture
) -> None:
    await api.delete(MAPS, "routes")
    async with following(api) as router:
        await router.until(lambda: "routes is not there; there is none yet" in caplog.text)
        await api.put(MAPS, config_map("routes", document(table(6))))
        await router.until(lambda: router.registry.table.generation == 6)
