"""The peak of a child's memory, in own programs: the kernel reports the parent's until the child's is higher."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from harness import PATIENCE, clean_environment

MIB = 1 << 20

PROGRAM = """
import json, subprocess, sys
from sandscope.instrumentation.testing import Telemetry
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

telemetry, instrumentor = Telemetry("deferred"), SubprocessInstrumentor()
instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope))
held = b"x" * int(sys.argv[1])
subprocess.run([sys.executable, "-S", "-c", "held = b'x' * " + sys.argv[2]])
while not telemetry.spans():
    pass
print(json.dumps(dict(telemetry.spans()[0].attributes)))
"""
LARGER_PARENT = """
import subprocess, sys
held = b"x" * (400 << 20)
subprocess.run([sys.executable, *sys.argv[1:]], check=True, close_fds=False)
"""


def _recorded(own: int, child: int, *, larger_parent: bool = False) -> dict[str, Any]:
    """Return the attributes of a child that fills some bytes, started by a program that holds some itself."""
    words = [sys.executable, *(["-c", LARGER_PARENT] * larger_parent), "-c", PROGRAM, str(own), str(child)]
    run = subprocess.run(words, env=clean_environment(), capture_output=True, timeout=PATIENCE, check=True)
    attributes: dict[str, Any] = json.loads(run.stdout)
    return attributes


@pytest.mark.parametrize("larger_parent", [False, True])
def test_that_of_a_larger_child_is_exact(larger_parent: bool) -> None:
    attributes = _recorded(0, 256 * MIB, larger_parent=larger_parent)
    assert attributes["sandbox.process.memory.source"] == "exit"
    assert 256 * MIB < attributes["sandbox.process.memory.peak"] < 300 * MIB


def test_that_of_a_smaller_child_is_not_the_parents() -> None:
    attributes = _recorded(256 * MIB, 0)
    assert attributes.get("sandbox.process.memory.source") != "exit"
    assert attributes.get("sandbox.process.memory.peak", 0) < 128 * MIB
