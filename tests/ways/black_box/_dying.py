"""Programs that die, and what arrives of their executions."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import (
    PATIENCE,
    SANDSCOPE_RUN,
    STOCK,
    OtlpSink,
    clean_environment,
    run_program,
)
from sandscope._deferred._compiled import python_reason

BLACK_BOX = [
    pytest.mark.skipif(sys.platform != "linux", reason="black boxes are for Linux"),
    pytest.mark.usefixtures("default_signals"),
]
COUNT = 40
RECORDERS = ["python"] if python_reason else ["auto", "python"]
PROGRAM = """
import ctypes, os, signal, subprocess, sys, threading, time
import sandscope
def run(count):
    for _ in range(count):
        with sandscope.execution("judge", "run", name="ended"):
            pass
def kill():  # not by a function that exports first
    signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
def crash():
    ctypes.string_at(0)
"""


def dying_program(end: str, count: int = COUNT) -> str:
    return f"""{PROGRAM}
run({count} // 2)
time.sleep(0.5)  # these are sent
run({count} - {count} // 2)
with sandscope.execution("judge", "run", name="running"):
    {end}
"""


def environment_of(sink: OtlpSink, **variables: str) -> dict[str, str]:
    return clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_SERVICE_NAME="mine", **variables)


def of_judge(records: list[Any]) -> list[Any]:
    return [record for record in records if attribute_of(record, "sandbox.runtime") == "judge"]


def attribute_of(record: Any, name: str) -> str | None:
    found = [attribute.value.string_value for attribute in record.attributes if attribute.key == name]
    return found[0] if found else None


def span_ids(sink: OtlpSink) -> list[bytes]:
    return [span.span_id for span in of_judge(sink.spans)]


def boxes_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.box"))


def recover(folder: Path, sink: OtlpSink) -> subprocess.CompletedProcess[str]:
    command = [SANDSCOPE_RUN[0], "recover", str(folder)]
    return subprocess.run(
        command, env=environment_of(sink), capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )


def killed_box(folder: Path, sink: OtlpSink, program: str = "", **variables: str) -> Path:
    """Run a program that is killed, and return its black box."""
    environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(folder), **variables)
    run = run_program(program or dying_program("kill()"), environment=environment)
    assert run.returncode == -signal.SIGKILL, run.stderr
    (box,) = boxes_in(folder)
    return box


@contextmanager
def started(
    program: str, sink: OtlpSink, folder: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(folder), **variables)
    command = [*STOCK, sys.executable, "-c", program]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
