"""A short storm of `tests.perf.chaos`; `make test-full` runs the long one."""

from tests.perf.chaos import Chaos


async def test_a_short_storm_loses_doubles_and_leaks_nothing():
    tally = await Chaos(requests=150, concurrency=16, seed=7).run()
    assert tally.wrong == []
    assert sum(tally.seen.values()) >= 150
