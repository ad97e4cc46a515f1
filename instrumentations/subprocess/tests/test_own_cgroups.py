"""Children in cgroups with limits, where the machine lets a test make some.

A test that reaches a limit first checks that the limit holds: else it would use up the machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import entering, limited_memory, limited_processes

MIB = 1 << 20
LIMIT = 48 * MIB
ONE_RECORDER = pytest.mark.parametrize("recorder_kind", ["deferred"])
pytestmark = [ONE_RECORDER, pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")]

# Never more than three times the limit, should it not hold after all.
ALLOCATE = "x = []\nfor _ in range(144): x.append(bytearray(b'x') * (1 << 20))"


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return the folder of a new cgroup with a limit of memory."""
    with limited_memory(LIMIT) as folder:
        yield folder


@pytest.fixture
def pids() -> Iterator[Path]:
    """Return the folder of a new cgroup with a limit of processes."""
    with limited_processes(1) as folder:
        yield folder


def test_the_kernel_kills_a_child_for_lack_of_memory(memory: Path, python: Any, ended: Any) -> None:
    result = subprocess.run(python(ALLOCATE), preexec_fn=entering(memory), check=False)
    assert result.returncode == -9
    assert ended.verdict() == ("MLE", "kernel", "mle_kernel_oom", "memory")
    attributes = ended.one()
    assert "sandbox.verdict.basis" not in attributes
    assert LIMIT // 2 < attributes["sandbox.cgroup.memory.peak"] <= LIMIT
    assert len(ended.telemetry.points("sandbox.cgroup.memory.peak")) == 1


def test_a_second_child_in_the_same_cgroup_is_not_blamed(memory: Path, python: Any, ended: Any) -> None:
    subprocess.run(python(ALLOCATE), preexec_fn=entering(memory), check=False)
    subprocess.run(["/bin/sh", "-c", "kill -9 $$"], preexec_fn=entering(memory), check=False)
    causes = {child["process.executable.name"]: child["sandbox.verdict.cause"] for child in ended.all(2)}
    assert causes.pop("sh") == "sig_unattributed"
    assert set(causes.values()) == {"mle_kernel_oom"}


def test_a_child_of_a_shell_is_killed_for_lack_of_memory(memory: Path, python: Any, ended: Any) -> None:
    script = '"$0" -c "$1"; exit $?'
    subprocess.run(
        ["/bin/sh", "-c", script, *python(ALLOCATE)[::2]], preexec_fn=entering(memory), check=False
    )
    assert ended.one()["process.exit.code"] == 137
    assert ended.verdict() == ("MLE", "kernel", "mle_kernel_oom", "memory")
    assert ended.one()["sandbox.verdict.basis"] == "told"


def test_a_child_that_moves_itself(memory: Path, python: Any, ended: Any) -> None:
    """The cgroup is seen while the child runs, however it got there."""
    code = (
        f"import os, time; open('{memory}/cgroup.procs', 'w').write(str(os.getpid())); time.sleep(1)\n"
        + ALLOCATE
    )
    subprocess.run(python(code), check=False)
    assert ended.verdict() == ("MLE", "kernel", "mle_kernel_oom", "memory")
    assert "sandbox.verdict.basis" not in ended.one()


def test_success_in_an_own_cgroup(memory: Path, python: Any, ended: Any) -> None:
    subprocess.run(python("x = bytearray(b'x') * (8 << 20)"), preexec_fn=entering(memory), check=True)
    assert ended.verdict()[0] == "OK"
    assert 8 * MIB < ended.one()["sandbox.cgroup.memory.peak"] < LIMIT


def test_the_kernel_refuses_a_process(pids: Path, python: Any, ended: Any) -> None:
    code = "import os\npid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)"
    result = subprocess.run(python(code), preexec_fn=entering(pids), check=False, stderr=subprocess.DEVNULL)
    assert result.returncode == 1
    assert ended.verdict() == ("PLE", "kernel", "ple_cgroup_pids", "process")
    assert ended.one()["sandbox.verdict.basis"] == "inferred"


def test_a_refused_process_that_the_child_survives(pids: Path, python: Any, ended: Any) -> None:
    code = "import os, time\ntime.sleep(0.3)\ntry: os.fork()\nexcept OSError: pass"  # read before
    subprocess.run(python(code), preexec_fn=entering(pids), check=True)
    assert ended.verdict()[0] == "OK"
    ((point, count),) = ended.telemetry.points("sandbox.limit.violations")
    assert (point["sandbox.limit"], count) == ("process", 1)
    events = [event.name for event in ended.telemetry.spans()[0].events]
    assert events == ["sandbox.resource"]


def test_a_child_in_the_cgroup_of_the_program_has_no_usage_of_its_own(ended: Any) -> None:
    subprocess.run(["/bin/sh", "-c", "sleep 0.1; exit 3"], check=False)
    assert not [name for name in ended.one() if name.startswith("sandbox.cgroup")]
