"""Benchmarks and soaks that are ended from outside leave none of their processes running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.ending import CUT_SHORT
from tests.support.vllm import ROOT

PROGRAM = """
import asyncio, signal, sys, time
from pathlib import Path
import uvloop
from tests.support.ending import in_order
from tests.support.vllm import start

def child():
    started = start([sys.executable, "-c", "import time; time.sleep(600)"], 0, Path(sys.argv[1]))
    print(started.popen.pid, flush=True)
    return started

def plain():
    started = child()
    try:
        time.sleep(600)
    finally:
        started.kill()

async def within():
    started = child()
    try:
        await asyncio.sleep(600)
    finally:
        started.kill()

def looping():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within())

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts it in the background
sys.exit(in_order({"plain": plain, "looping": looping}[sys.argv[2]]))
"""


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "number"),
    [("plain", signal.SIGTERM), ("looping", signal.SIGTERM), ("looping", signal.SIGINT)],
)
def test_a_driver_that_is_ended_ends_what_it_started(
    kind: str, number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "log"), kind]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        time.sleep(0.1)  # until it sleeps
        driver.send_signal(number)
        assert driver.wait(30) == CUT_SHORT
        assert not is_there(child)
    finally:
        driver.kill()
        driver.communicate()
