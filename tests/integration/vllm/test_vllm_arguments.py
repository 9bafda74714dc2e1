"""Every argv that is rendered is parsed by the newest vLLM's own parser, abbreviations refused."""

from __future__ import annotations

import pytest

from tests.vllm_args import releases

pytestmark = pytest.mark.timeout(1200)  # the first time, vLLM is installed


def test_the_newest_parser_takes_every_argv_that_is_rendered():
    home = releases.environment()
    assert releases.failures(home, releases.newest(home)) == []
