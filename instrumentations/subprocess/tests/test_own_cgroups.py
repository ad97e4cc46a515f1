"""Children in cgroups with limits, where the machine lets a test make some.

A test that reaches a limit first checks that the limit holds: else it would use up the machine.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandscope_instrumentation_subprocess._evidence._cgroup import locate, read_membership

MIB = 1 << 20
LIMIT = 48 * MIB
ONE_RECORDER = pytest.mark.parametrize("recorder_kind", ["deferred"])
pytestmark = [ONE_RECORDER, pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")]

# Never more than three times the limit, should it not hold after all.
ALLOCATE = "x = []\nfor _ in range(144): x.append(bytearray(b'x') * (1 << 20))"


def _make(controller: str) -> Path:
    """Make a cgroup below that of this process, or below the root, and return its folder."""
    folder = getattr(locate(read_membership("self") or b"0::/\n"), controller)
    top = Path(folder or f"/sys/fs/cgroup/{controller}")
    made = top / f"sandscope-{uuid.uuid4().hex[:12]}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup below {top}: {error.strerror}; the tests of a fake tree remain")
    return made


def _limit(folder: Path, names: tuple[str, ...], value: int) -> None:
    """Set a limit, and skip the test unless it has taken hold."""
    name = next((name for name in names if (folder / name).exists()), None)
    if name is None:
        pytest.skip(f"the controller of {names[0]} is not enabled for new cgroups here")
    try:
        (folder / name).write_text(str(value))
    except OSError as error:
        pytest.skip(f"cannot set {name}: {error.strerror}")
    if (folder / name).read_text().strip() != str(value):
        pytest.skip(f"{name} has not taken hold")


def _swap_is_limited(folder: Path) -> bool:
    swap = Path("/proc/swaps").read_text().splitlines()[1:]
    return not swap or (folder / "memory.swap.max").exists()


def _enter(folder: Path) -> Callable[[], None]:
    def enter() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))

    return enter


def _check_that_children_get_in(folder: Path) -> None:
    result = subprocess.run(
        ["cat", "/proc/self/cgroup"], preexec_fn=_enter(folder), capture_output=True, text=True, check=True
    )
    if folder.name not in result.stdout:
        pytest.skip("children do not get into the cgroup")


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return the folder of a new cgroup with a limit of memory."""
    folder = _make("memory")
    try:
        _limit(folder, ("memory.max", "memory.limit_in_bytes"), LIMIT)
        if not _swap_is_limited(folder):
            pytest.skip("what does not fit would be swapped out")
        if (folder / "memory.swap.max").exists():
            (folder / "memory.swap.max").write_text("0")
        _check_that_children_get_in(folder)
        yield folder
    finally:
        folder.rmdir()


@pytest.fixture
def pids() -> Iterator[Path]:
    """Return the folder of a new cgroup with a limit of processes."""
    folder = _make("pids")
    try:
        _limit(folder, ("pids.max",), 1)
        _check_that_children_get_in(folder)
        yield folder
    finally:
        folder.rmdir()


def test_the_kernel_kills_a_child_for_lack_of_memory(memory: Path, python: Any, ended: Any) -> None:
    result = subprocess.run(python(ALLOCATE), preexec_fn=_enter(memory), check=False)
    assert result.returncode == -9
    assert ended.verdict() == ("MLE", "kernel", "mle_kernel_oom", "memory")
    attributes = ended.one()
    assert "sandbox.verdict.basis" not in attributes
    assert LIMIT // 2 < attributes["sandbox.cgroup.memory.peak"] <= LIMIT
    assert len(ended.telemetry.points("sandbox.cgroup.memory.peak")) == 1


def test_a_second_child_in_the_same_cgroup_is_not_blamed(memory: Path, python: Any, ended: Any) -> None:
    subprocess.run(python(ALLOCATE), preexec_fn=_enter(memory), check=False)
    subprocess.run(["/bin/sh", "-c", "kill -9 $$"], preexec_fn=_enter(memory), check=False)
    causes = {child["process.executable.name"]: child["sandbox.verdict.cause"] for child in ended.all(2)}
    assert causes.pop("sh") == "sig_unattributed"
    assert set(causes.values()) == {"mle_kernel_oom"}


def test_a_child_of_a_shell_is_killed_for_lack_of_memory(memory: Path, python: Any, ended: Any) -> None:
    script = '"$0" -c "$1"; exit $?'
    subprocess.run(["/bin/sh", "-c", script, *python(ALLOCATE)[::2]], preexec_fn=_enter(memory), check=False)
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
    subprocess.run(python("x = bytearray(b'x') * (8 << 20)"), preexec_fn=_enter(memory), check=True)
    assert ended.verdict()[0] == "OK"
    assert 8 * MIB < ended.one()["sandbox.cgroup.memory.peak"] < LIMIT


def test_the_kernel_refuses_a_process(pids: Path, python: Any, ended: Any) -> None:
    code = "import os\npid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)"
    result = subprocess.run(python(code), preexec_fn=_enter(pids), check=False, stderr=subprocess.DEVNULL)
    assert result.returncode == 1
    assert ended.verdict() == ("PLE", "kernel", "ple_cgroup_pids", "process")
    assert ended.one()["sandbox.verdict.basis"] == "inferred"


def test_a_refused_process_that_the_child_survives(pids: Path, python: Any, ended: Any) -> None:
    code = "import os\ntry: os.fork()\nexcept OSError: pass"
    subprocess.run(python(code), preexec_fn=_enter(pids), check=True)
    assert ended.verdict()[0] == "OK"
    ((point, count),) = ended.telemetry.points("sandbox.limit.violations")
    assert (point["sandbox.limit"], count) == ("process", 1)
    events = [event.name for event in ended.telemetry.spans()[0].events]
    assert events == ["sandbox.resource"]


def test_a_child_in_the_cgroup_of_the_program_has_no_usage_of_its_own(ended: Any) -> None:
    subprocess.run(["/bin/sh", "-c", "sleep 0.1; exit 3"], check=False)
    assert not [name for name in ended.one() if name.startswith("sandbox.cgroup")]
