"""The controls that children are under, compared with those that the user expects."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import lacking, wait_until
from sandscope import SandscopeError
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._measures._controls import Controls

ALL = ("namespace", "cgroup", "capability", "seccomp", "no_new_privs")
expects_all = pytest.mark.parametrize("settings", [{"controls": ALL}])

NEW_NAMESPACE = "libc.unshare(0x10000000 | 0x04000000)"  # of users and host names: needs no privileges
NO_NEW_PRIVS = "libc.prctl(38, 1, 0, 0, 0)"
FILTER = """
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]
allow = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(allow))), 0, 0)
"""
NO_CAPABILITIES = """
header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))
libc.capset(header, ctypes.create_string_buffer(24))
"""
CODE = {
    "namespace": NEW_NAMESPACE,
    "capability": NO_CAPABILITIES,
    "seccomp": f"{NO_NEW_PRIVS}\n{FILTER}",
    "no_new_privs": NO_NEW_PRIVS,
}


def under(*controls: str) -> str:
    """Return Python code that puts its own process under controls."""
    code = ["import ctypes, struct, sys", "libc = ctypes.CDLL(None)", *(CODE[each] for each in controls)]
    return "\n".join(code)


def counted(ended: Any) -> dict[str, float]:
    """Return the number of missing controls by name."""
    return {a["sandbox.control"]: n for a, n in ended.telemetry.points("sandbox.control.degraded")}


def is_root() -> bool:
    """Return whether the tests have capabilities, which children inherit."""
    return "CapEff:\t0000000000000000" not in Path("/proc/self/status").read_text()


def test_without_the_setting_nothing_is_known(ended: Any) -> None:
    subprocess.run(["true"], check=True)
    assert "sandbox.control.missing" not in ended.one()
    assert counted(ended) == {}


@expects_all
def test_a_child_without_controls(ended: Any, gate: Any) -> None:
    missing = tuple(each for each in ALL if each != "capability" or is_root())
    child = subprocess.Popen(["cat"], stdin=gate.input)
    controls = ended.registry.get(child.pid).samples._controls
    assert wait_until(lambda: controls.missing == missing)
    gate.open()
    child.wait()
    assert ended.one()["sandbox.control.missing"] == missing
    assert ended.verdict()[0] == "OK"
    assert counted(ended) == dict.fromkeys(missing, 1)
    (span,) = ended.telemetry.spans()
    (log,) = [log for log in ended.telemetry.logs() if log.log_record.event_name == "sandbox.control"]
    assert log.log_record.span_id == span.context.span_id
    assert log.log_record.severity_text == "WARN"
    assert log.log_record.body == f"cat: without {', '.join(missing)}"
    assert [event.name for event in span.events] == ["sandbox.control"]


@expects_all
@pytest.mark.parametrize("control", sorted(CODE))
def test_a_control_that_the_child_has_put_itself_under(
    ended: Any, gate: Any, python: Callable[[str], list[str]], control: str
) -> None:
    child = subprocess.Popen(python(f"{under(control)}\nsys.stdin.read()"), stdin=gate.input)
    controls = ended.registry.get(child.pid).samples._controls
    wait_until(lambda: control not in controls.missing, timeout=20)
    gate.open()
    child.wait()
    missing = ended.one()["sandbox.control.missing"]
    if control == "namespace" and "namespace" in missing and not is_root():
        lacking("namespaces of users are disabled: set kernel.unprivileged_userns_clone=1")
    assert control not in missing


@expects_all
def test_a_child_that_ends_at_once(ended: Any, python: Callable[[str], list[str]]) -> None:
    """What the kernel still knows of a zombie is enough."""
    subprocess.run(python(f"{under('capability', 'seccomp')}\nimport os\nos._exit(0)"), check=True)
    assert {"capability", "seccomp", "no_new_privs"}.isdisjoint(ended.one()["sandbox.control.missing"])


@pytest.mark.parametrize("settings", [{"controls": ("cgroup",)}])
def test_a_cgroup_of_its_own(ended: Any, own_cgroup: Any) -> None:
    subprocess.run(["sleep", "0.2"], preexec_fn=own_cgroup.enter, check=True)
    assert "sandbox.control.missing" not in ended.one()
    assert counted(ended) == {}


@expects_all
def test_bubblewrap(ended: Any) -> None:
    program = shutil.which("bwrap") or lacking("bwrap is missing: apt-get install bubblewrap")
    options = [
        *("--ro-bind", "/", "/", "--proc", "/proc", "--unshare-all", "--unshare-user", "--cap-drop", "ALL")
    ]
    done = subprocess.run([program, *options, "sleep", "0.5"], capture_output=True, check=False)
    if done.returncode:
        lacking(f"bwrap cannot make a sandbox here: {done.stderr!r}")
    assert ended.one()["sandbox.control.missing"] == ("cgroup", "seccomp")


@expects_all
@pytest.mark.parametrize("command", [["bwrap", "--version"], ["nice", "--version"]])
def test_a_wrapper_whose_program_was_never_seen_is_not_known(ended: Any, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        lacking(f"{command[0]} is missing")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert "sandbox.control.missing" not in ended.one()
    assert counted(ended) == {}


def test_a_process_that_cannot_be_read_is_not_known() -> None:
    controls = Controls("program", ALL)
    controls.take(2**22 + 1)
    controls.take_zombie(2**22 + 1)
    assert set(controls.missing) <= {"namespace", "cgroup"}


def test_an_unknown_control_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_SUBPROCESS_CONTROLS", "cgroup,firewall")
    with pytest.raises(SandscopeError, match="firewall"):
        SubprocessInstrumentor().instrument()


def test_the_filter_of_the_tests_is_allowed_here() -> None:
    """Otherwise, the tests above would fail for another reason than the instrumentation's."""
    pid = os.fork()
    if pid == 0:
        exec(under("seccomp"), {"ctypes": ctypes})  # noqa: S102 -- the code of the tests
        os._exit(0 if "Seccomp:\t2" in Path("/proc/self/status").read_text() else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_zombie_is_read_before_another_thread_finds_that_it_may_be_reaped() -> None:
    read: list[int | None] = []
    child = Child(1, Any, Any)  # type: ignore[arg-type] # neither is used
    samples: Any = SimpleNamespace(take_zombie=lambda _pid: read.append(child.exit_time))
    child.samples = samples
    child.mark_exited()
    child.mark_exited()
    assert read == [None]
    assert child.exit_time is not None
