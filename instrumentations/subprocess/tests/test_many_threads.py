"""Children that many threads start in every way: each ends as without instrumentation, and is counted once."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

THREADS, CHILDREN = 64, 1500
EXIT_CODES = range(4)

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def _command(code: int) -> list[str]:
    return ["/bin/sh", "-c", f"exit {code}"]


def _polled(code: int) -> int:
    process = subprocess.Popen(_command(code))
    while process.poll() is None:
        time.sleep(0.001)
    return process.returncode


def _posix_spawned(code: int) -> int:
    pid = os.posix_spawn("/bin/sh", _command(code), os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _forked(code: int) -> int:
    pid = os.fork()
    if not pid:
        os.execv("/bin/sh", _command(code))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


WAYS: tuple[Callable[[int], int], ...] = (
    lambda code: subprocess.run(_command(code), check=False).returncode,
    lambda code: subprocess.run(_command(code), check=False, capture_output=True).returncode,
    lambda code: subprocess.run(_command(code), check=False, timeout=600).returncode,
    lambda code: subprocess.Popen(_command(code)).wait(),
    lambda code: os.spawnv(os.P_WAIT, "/bin/sh", _command(code)),
    lambda code: os.waitstatus_to_exitcode(os.system(f"exit {code}")),
    _polled,
    _posix_spawned,
    _forked,
)


def test_each_child_has_its_status_and_is_counted_once(ended: Any) -> None:
    chance = random.Random(1500)  # noqa: S311 -- the same each time
    asked = [(chance.choice(WAYS), chance.choice(EXIT_CODES)) for _ in range(CHILDREN)]
    with ThreadPoolExecutor(THREADS) as threads:
        codes = list(threads.map(lambda each: each[0](each[1]), asked))
    assert codes == [code for _, code in asked]
    ended.all(CHILDREN)
    recorded: Counter[str] = Counter()
    for attributes, count in ended.telemetry.points("sandbox.executions"):
        recorded[attributes["sandbox.verdict.cause"]] += count
    assert recorded == {
        "normal_exit": codes.count(0),
        "re_nonzero_exit": CHILDREN - codes.count(0),
    }
