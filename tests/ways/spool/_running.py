"""A program that records while the Collector is away, and what it leaves in the spool."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import BIN, PATIENCE, OtlpSink, clean_environment, free_ports
from sandscope._spool import _batch_file

START = """
import sandscope.auto
import multiprocessing, os, sys, time
import sandscope
from opentelemetry import metrics, trace
def run(count=1, name="run"):
    for _ in range(count):
        with sandscope.execution("docker", "run", name=name):
            pass
def forked(count):
    child = os.fork()
    if not child:
        run(count)
        sys.exit()
    os.waitpid(child, 0)
def pool(count):
    with multiprocessing.get_context("fork").Pool(2) as workers:
        workers.map(run, [1] * count)
        workers.close()
        workers.join()
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
"""A program that does what it reads."""
SHORT = {"SANDSCOPE_EXIT_TIMEOUT": "1"}


class Running:
    """The program, which runs while a ``with`` block lasts."""

    def __init__(self, environment: Mapping[str, str], way: tuple[str, ...] = ()) -> None:
        self._program = subprocess.Popen(
            [*way, sys.executable, "-c", START],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def do(self, line: str) -> None:
        """Let the program execute a line, and wait until it has."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{line}\n")
        self._program.stdin.flush()
        assert self._program.stdout.readline() == "done\n", self._program.communicate()[1]

    def kill(self) -> None:
        self._program.send_signal(signal.SIGKILL)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the process that has been started."""
        self._program.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._program.send_signal(signal.SIGCONT)

    def __enter__(self) -> Running:
        return self

    def end(self) -> None:
        """Let the program end."""
        try:
            lines = self._program.communicate(timeout=2 * PATIENCE)[1].splitlines(keepends=True)
            self.said = "".join(line for line in lines if "Waiting up to" not in line)  # on a busy machine
        finally:
            self._program.kill()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._program.returncode is None:
            self.end()


def environment_of(endpoint: str, spool: Path, **variables: str) -> dict[str, str]:
    variables.setdefault("SANDSCOPE_EXIT_TIMEOUT", "30")
    return clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, SANDSCOPE_SPOOL=str(spool), **variables)


def files(spool: Path) -> list[Path]:
    return sorted(spool.glob("*/*.otlp"))


def requests(spool: Path, kind: str) -> Iterator[bytes]:
    for path in files(spool):
        if f"-{kind}" in path.name:
            found = _batch_file.read(path)
            assert found is not None
            yield found[0]


RECOVER = [str(BIN / "sandscope"), "recover"]


def without_boxes(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for `RECOVER` in which it finds no black boxes of other programs."""
    folder = Path(environment["SANDSCOPE_SPOOL"]).parent / "no-boxes"
    return {**environment, "SANDSCOPE_BLACK_BOX": str(folder)}


def recover(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        RECOVER,
        env=without_boxes(environment),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


def check(sink: OtlpSink, executions: int) -> None:
    """Check that everything has arrived, once."""
    assert len({span.span_id for span in sink.spans}) == len(sink.spans) == executions
    assert len(sink.logs) == executions
    assert sink.total("sandbox.executions") == executions


def absent() -> str:
    """Return an endpoint at which nothing listens."""
    return f"http://127.0.0.1:{free_ports(['http'])['http']}"


def kinds(spool: Path) -> set[str]:
    return {each.name.split("-")[2] for each in files(spool)}


def spans_in(request: bytes) -> int:
    return sum(
        len(scope.spans)
        for group in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in group.scope_spans
    )
