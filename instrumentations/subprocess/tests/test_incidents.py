"""Timeouts, signals, limits and violations, as events of the span and as log records in the child's trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

Python = Callable[[str], list[str]]


def incidents(ended: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return name, severity and attributes of the log records; each is an event of the only span as well."""
    (span,) = ended.telemetry.spans()
    records = [log.log_record for log in ended.telemetry.logs()]
    found = [record for record in records if record.event_name != "sandbox.execution"]
    assert all(r.span_id == span.context.span_id and r.trace_id == span.context.trace_id for r in found)
    assert [event.name for event in span.events] == [record.event_name for record in found]
    assert all(span.start_time <= event.timestamp for event in span.events)
    name = span.attributes["process.executable.name"]
    assert all(record.attributes["process.executable.name"] == name for record in found)
    return [(r.event_name, r.severity_text, dict(r.attributes)) for r in found]


def names(ended: Any) -> list[str]:
    """Return the names of the incidents."""
    return [name for name, _, _ in incidents(ended)]


def test_nothing_happened(ended: Any) -> None:
    subprocess.run(["false"], check=False)
    ended.one()
    assert incidents(ended) == []


def test_a_timeout_the_signal_after_it_and_the_limit(ended: Any) -> None:
    before = time.time_ns()
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "600"], timeout=0.6, check=False)
    ended.one()
    (timeout, sent, limit) = incidents(ended)
    assert timeout[:2] == ("sandbox.timeout", "WARN")
    assert 0.2 < timeout[2]["sandbox.timeout.waited"] < 30
    assert sent[:2] == ("sandbox.signal", "INFO")
    assert sent[2]["sandbox.process.signal"] == "SIGKILL"
    assert sent[2]["sandbox.signal.after_timeout"] is True
    assert limit[:2] == ("sandbox.resource", "WARN")
    assert limit[2]["sandbox.limit"] == "wall"
    records = {log.log_record.event_name: log.log_record for log in ended.telemetry.logs()}
    assert before < records["sandbox.timeout"].timestamp <= records["sandbox.signal"].timestamp
    assert records["sandbox.signal"].timestamp <= time.time_ns()


def test_a_signal_without_a_timeout(ended: Any) -> None:
    child = subprocess.Popen(["sleep", "600"])
    child.terminate()
    child.wait()
    ended.one()
    ((name, _, attributes),) = incidents(ended)
    assert name == "sandbox.signal"
    assert attributes["sandbox.process.signal"] == "SIGTERM"
    assert attributes["sandbox.signal.after_timeout"] is False


def test_a_timeout_that_the_program_waits_out(ended: Any, gate: Any) -> None:
    child = subprocess.Popen(["cat"], stdin=gate.input)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.6)  # at least half of its life, also if this process had to wait before
    gate.open()
    child.wait()
    assert ended.verdict()[0] == "OK"
    assert names(ended) == ["sandbox.timeout"]


def test_a_program_that_polls_is_not_told_of_each_wait(ended: Any) -> None:
    child = subprocess.Popen(["sleep", "0.5"])
    while True:
        try:
            child.wait(timeout=0.001)
            break
        except subprocess.TimeoutExpired:
            pass
    ended.one()
    assert len(incidents(ended)) <= 16


def test_each_signal_once(ended: Any, python: Python) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "print(flush=True)\n"
        "time.sleep(600)"
    )
    child = subprocess.Popen(python(code), stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    for _ in range(5):
        os.kill(child.pid, signal.SIGUSR1)
    child.kill()
    child.communicate()
    ended.one()
    assert [a["sandbox.process.signal"] for _, _, a in incidents(ended)] == ["SIGUSR1", "SIGKILL"]


def test_a_limit_of_the_kernel(ended: Any, python: Python) -> None:
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "import tempfile; file = tempfile.TemporaryFile(buffering=0)\n"
        "while True: file.write(b'x')"
    )
    subprocess.run(python(code), check=False)
    assert ended.verdict()[0] == "FSE"
    ((name, severity, attributes),) = incidents(ended)
    assert (name, severity) == ("sandbox.resource", "WARN")
    assert attributes["sandbox.limit"] == "output"


def test_a_signal_that_a_signal_handler_sends(ended: Any) -> None:
    """The handler interrupts the program anywhere, also where it holds a lock of the SDK."""
    child = subprocess.Popen(["sleep", "600"])
    previous = signal.signal(signal.SIGALRM, lambda *_: child.kill())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        child.wait()
    finally:
        signal.signal(signal.SIGALRM, previous)
    ended.one()
    assert "sandbox.signal" in names(ended)


def test_no_text_of_the_user_is_told(ended: Any) -> None:
    canary = "canary-0123456789"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", f"import time; time.sleep(600) # {canary}"],
            env={"SECRET": canary},
            timeout=0.3,
            check=False,
        )
    ended.one()
    assert canary not in repr(incidents(ended))


def test_a_limit_that_the_child_has_survived(ended: Any, python: Python, own_cgroup: Any) -> None:
    own_cgroup.limit(3)
    code = (
        "import os, sys\n"
        "try:\n"
        "    for _ in range(5):\n"
        "        if not os.fork(): os.read(0, 1); os._exit(0)\n"
        "except OSError: sys.exit(0)\n"
        "sys.exit(9)"
    )
    with subprocess.Popen(python(code), preexec_fn=own_cgroup.enter, stdin=subprocess.PIPE) as child:  # noqa: PLW1509
        child.wait()
    assert ended.verdict() == ("OK", "guest", "normal_exit", None)
    found = [attributes for name, _, attributes in incidents(ended) if name == "sandbox.resource"]
    assert [attributes["sandbox.limit"] for attributes in found] == ["process"]
    points = ended.telemetry.points("sandbox.limit.violations")
    assert [(a["sandbox.limit"], count) for a, count in points] == [("process", 1)]


def test_a_second_child_does_not_answer_for_the_first(ended: Any, python: Python, own_cgroup: Any) -> None:
    own_cgroup.limit(1)
    code = "import os\ntry: os.fork()\nexcept OSError: pass"
    subprocess.run(python(code), preexec_fn=own_cgroup.enter, check=True)
    subprocess.run(["true"], preexec_fn=own_cgroup.enter, check=True)
    ended.all(2)
    points = ended.telemetry.points("sandbox.limit.violations")
    assert [(a["sandbox.limit"], count) for a, count in points] == [("process", 1)]


def test_the_numbers_of_a_limit(ended: Any, python: Python) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 3))\nwhile True: pass"
    subprocess.run(python(code), check=False)
    assert ended.verdict()[2] == "tle_cpu_kernel"
    ((_, _, attributes),) = incidents(ended)
    assert attributes["sandbox.resource.limit"] == 1000
    assert attributes["sandbox.resource.usage"] >= 780  # the tolerance of the verdict
    assert attributes["sandbox.resource.percentage"] >= 78
