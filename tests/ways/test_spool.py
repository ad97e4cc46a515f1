"""What the Collector does not take now is kept on disk, and arrives once, sent by this process or by another."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import BIN, PATIENCE, SANDSCOPE_RUN, STOCK, OtlpSink, clean_environment, free_ports, wait_until
from sandscope._spool import _batch_file

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)

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


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


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


@pytest.mark.parametrize(("recorder", "status"), [("auto", 429), ("python", 503), ("direct", 503)])
def test_a_collector_that_refuses_for_a_while(recorder: str, status: int, spool: Path) -> None:
    with OtlpSink(status=status) as sink:
        with Running(environment_of(sink.endpoint, spool, SANDSCOPE_RECORDER=recorder)) as program:
            program.do("run(700)")
            assert wait_until(lambda: sum(map(_spans, requests(spool, "span"))) == 700)
            assert len(list(spool.glob("*/*-span.otlp"))) >= 2
            program.do("run(5)")
            sink._status = 200
            assert wait_until(lambda: len(sink.spans) >= 705 and len(sink.logs) >= 705 and not files(spool))
            program.do("run(5)")
        check(sink, 710)
        assert files(spool) == []
    told = program.said.splitlines()
    assert len(told) == 2, told
    assert f"is kept in {spool}, and sent later" in told[0]
    assert "delivered again" in told[1]
    kept = {
        tuple(attribute.value.string_value for attribute in point.attributes): point.as_int
        for point in sink.points("sandscope.spool.records")
    }
    assert kept["span", "kept"] == kept["span", "delivered"] >= 700
    waiting = sink.points("sandscope.spool.requests")
    assert waiting
    assert not any(point.as_int or point.as_double for point in waiting)


@pytest.mark.parametrize(("way", "recorder"), [(STOCK, "auto"), ((), "python"), ((), "direct")])
def test_what_is_unsent_at_the_end_is_sent_by_the_next_process(
    recorder: str, way: tuple[str, ...], spool: Path
) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool, SANDSCOPE_RECORDER=recorder)
        with Running(environment, way) as program:
            program.do("run(3)")
        assert program.said.count("\n") == 1
        assert f"kept in {spool}" in program.said
        assert kinds(spool) == {"span.otlp", "log.otlp", "metric"}
        sink._status = 200
        with Running(environment, way) as program:
            program.do("run(2)")
            assert wait_until(lambda: not files(spool))
        assert program.said == ""
    check(sink, 5)


def test_only_this_user_can_read_what_is_kept_and_it_is_what_would_be_sent(spool: Path) -> None:
    endpoint = absent().replace("http://", "http://user:CANARY-1@")
    environment = environment_of(
        endpoint,
        spool,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=CANARY-2",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    with Running(environment) as program:
        program.do("run(1, 'name')")
    kept = files(spool)
    assert kept
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        content = _batch_file.read(path)
        assert content is not None
        assert b"CANARY" not in path.read_bytes() + content[0] + str(path).encode()
    (request,) = requests(spool, "span")
    (group,) = ExportTraceServiceRequest.FromString(request).resource_spans
    assert [span.name for scope in group.scope_spans for span in scope.spans] == ["name"]


def test_it_is_sent_only_where_it_was_to_go_and_by_the_same_service_or_recover(spool: Path) -> None:
    with OtlpSink(status=503) as sink, OtlpSink() as other:
        environment = environment_of(sink.endpoint, spool, OTEL_SERVICE_NAME="one")
        with Running(environment) as program:
            program.do("run(3)")
        sink._status = 200
        with Running({**environment, "OTEL_SERVICE_NAME": "two"}) as program:
            program.do("run(1)")
        elsewhere = recover(environment_of(other.endpoint, spool))
        assert elsewhere.returncode == 0
        assert "for other endpoints" in elsewhere.stderr
        assert (len(other.spans), len(sink.spans)) == (0, 1)
        result = recover(environment)
        assert result.returncode == 0
        assert "records that had been kept" in result.stderr
    check(sink, 4)
    assert files(spool) == []


def test_the_oldest_is_sent_first(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            for number in range(4):
                program.do(f"run(1, '{number}')")
                assert wait_until(lambda: len(list(spool.glob("*/*-span.otlp"))) == number + 1)  # noqa: B023
        sink._status = 200
        assert recover(environment).returncode == 0
    assert [span.name for span in sink.spans] == [str(number) for number in range(4)]


def test_what_is_rejected_for_good_is_not_kept_and_not_repeated(spool: Path) -> None:
    with OtlpSink(status=400) as sink:
        with Running(environment_of(sink.endpoint, spool)) as program:
            program.do("run(3)")
            assert wait_until(lambda: sink.requests >= 2)
        assert not spool.exists()
    assert program.said.count("\n") == 1
    assert "code: 400" in program.said


def test_what_is_rejected_when_it_is_sent_again_is_removed(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            program.do("run(3)")
        sink._status = 400
        result = recover(environment)
        assert result.returncode == 0
        assert "the Collector does not take" in result.stderr
        assert files(spool) == []


def test_what_was_kept_before_the_process_was_killed_is_recovered_once(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            program.do("run(300)")
            assert wait_until(lambda: len(list(spool.glob("*/*-span.otlp"))) >= 1)
            assert wait_until(lambda: sum(map(_spans, requests(spool, "span"))) == 300)
            assert wait_until(lambda: any(spool.glob("*/*-metric-last.otlp")))
            program.kill()
        sink._status = 200
        assert recover(environment).returncode == 0
        assert recover(environment).returncode == 0
    check(sink, 300)


def test_sandscope_run_sends_at_its_end_what_its_program_has_kept(spool: Path) -> None:
    written = spool.parent / "pid"
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool, SANDSCOPE_BLACK_BOX="off")
        with Running(environment, SANDSCOPE_RUN) as program:
            program.do("run(3)")
            program.do(f"open({str(written)!r}, 'w').write(str(os.getpid()))")
            assert wait_until(lambda: kinds(spool) == {"span.otlp", "log.otlp", "metric"})
            with program.stopped():  # nobody else can send it: the program is dead when the Collector is back
                os.kill(int(written.read_text()), signal.SIGKILL)
                sink._status = 200
        assert "records that had been kept" in program.said
    check(sink, 3)
    assert files(spool) == []


def kinds(spool: Path) -> set[str]:
    return {each.name.split("-")[2] for each in files(spool)}


def _spans(request: bytes) -> int:
    return sum(
        len(scope.spans)
        for group in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in group.scope_spans
    )


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_forked_children_and_the_workers_of_a_pool(temporality: str, spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(
            sink.endpoint, spool, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality
        )
        with Running(environment) as program:
            program.do("run(10)")
            assert wait_until(lambda: files(spool))
            program.do("forked(5)")
            program.do("pool(6)")
            program.do("run(10)")
        assert len(program.said.splitlines()) <= 1, program.said
        sink._status = 200
        assert recover(environment).returncode == 0
    check(sink, 31)


def test_two_processes_do_not_send_the_same(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            for _ in range(20):
                program.do("run(2); time.sleep(0.25)")
        assert len(files(spool)) > 10
        sink._status, sink._delay = 200, 0.05
        alone = without_boxes(environment)
        both = [subprocess.Popen(RECOVER, env=alone, stderr=subprocess.DEVNULL) for _ in range(2)]
        for each in both:
            each.wait(2 * PATIENCE)
        sink._delay = 0
        recover(environment)
    check(sink, 40)


def test_a_collector_that_hangs_when_the_program_ends(spool: Path) -> None:
    with OtlpSink() as sink:
        environment = environment_of(sink.endpoint, spool, **SHORT)
        sink.answers = {"/v1/traces": "hang", "/v1/logs": "hang", "/v1/metrics": "hang"}
        with Running(environment) as program:
            program.do("run(2000)")
        sink.answers = {}
        assert recover(environment).returncode == 0
    check(sink, 2000)


@pytest.mark.parametrize("obstacle", ["no folder", "full"])
def test_if_nothing_can_be_kept_one_line_says_so(obstacle: str, spool: Path) -> None:
    if obstacle == "no folder":
        spool.parent.joinpath("file").touch()
        spool = spool.parent / "file" / "spool"
    with Running(environment_of(absent(), spool, **SHORT)) as program:
        if obstacle == "full":
            program.do("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))")
        program.do("run(3)")
        program.do("run(3)")
    told = [line for line in program.said.splitlines() if "Cannot deliver" not in line]
    assert len(told) == 1, program.said
    assert f"Cannot keep telemetry in {spool}" in told[0]
    assert not [path for path in spool.glob("*/*") if path.is_file()]


def test_nothing_is_kept_if_the_sdk_or_the_spool_is_off(spool: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"SANDSCOPE_SPOOL": "off", "XDG_STATE_HOME": str(state)}):
        with Running({**environment_of(absent(), spool, **SHORT), **off}) as program:
            program.do("run(3)")
        assert not spool.exists()
        assert not state.exists()


def test_by_default_nothing_is_kept_unless_there_may_be_a_collector(tmp_path: Path) -> None:
    state = tmp_path / "state"
    default = {"XDG_STATE_HOME": str(state), "SANDSCOPE_SPOOL": "", **SHORT}
    with Running(clean_environment(**default)) as program:  # nobody has said where there is one
        program.do("run(3)")
    assert not state.exists()
    with Running(clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=absent(), **default)) as program:
        program.do("run(3)")
    assert files(state / "sandscope" / "spool")
    assert stat.S_IMODE((state / "sandscope" / "spool").stat().st_mode) == 0o700


def test_nothing_is_written_while_the_collector_answers(spool: Path) -> None:
    with OtlpSink() as sink:
        with Running(environment_of(sink.endpoint, spool)) as program:
            program.do("run(300)")
            program.do("assert not any(name.startswith('sandscope._spool._backlog') for name in sys.modules)")
        assert not spool.exists()
    check(sink, 300)
    names: set[Any] = {metric.name for metric in sink.metrics}
    assert not any(name.startswith("sandscope.spool") for name in names)
