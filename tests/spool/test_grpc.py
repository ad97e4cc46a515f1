"""The spool keeps requests of exporters that use gRPC as it keeps those that use HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc import StatusCode

from deferred._grpc_sink import GrpcSink
from harness import wait_until
from ways.spool._running import Running, absent, environment_of, files, kinds, recover

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)


@pytest.fixture
def sink() -> Iterator[GrpcSink]:
    with GrpcSink() as sink:
        yield sink


def _environment(endpoint: str, spool: Path, **variables: str) -> dict[str, str]:
    return environment_of(endpoint, spool, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **variables)


def _check(sink: GrpcSink, executions: int) -> None:
    """Check that everything has arrived, once."""
    assert len({span.span_id for span in sink.spans}) == len(sink.spans) == executions
    assert len(sink.logs) == executions
    last = {
        tuple(map(str, point.attributes)): point.as_int
        for metric in sink.metrics
        if metric.name == "sandbox.executions"
        for point in metric.sum.data_points
    }
    assert sum(last.values()) == executions


@pytest.mark.parametrize("recorder", ["auto", "python", "direct"])
@pytest.mark.parametrize(
    ("status", "retry_after"), [(StatusCode.UNAVAILABLE, None), (StatusCode.RESOURCE_EXHAUSTED, 1)]
)
def test_what_is_refused_for_a_while_is_kept_and_sent(
    status: StatusCode, retry_after: int | None, recorder: str, sink: GrpcSink, tmp_path: Path
) -> None:
    sink.refuses, sink.retry_after = status, retry_after
    with Running(_environment(sink.endpoint, tmp_path, SANDSCOPE_RECORDER=recorder)) as program:
        program.do("run(700)")
        assert wait_until(lambda: kinds(tmp_path) >= {"span.otlp", "log.otlp"})
        sink.refuses = None
        assert wait_until(lambda: len(sink.spans) >= 700 and len(sink.logs) >= 700 and not files(tmp_path))
        program.do("run(5)")
    _check(sink, 705)
    assert files(tmp_path) == []
    told = program.said.splitlines()
    assert len(told) == 2, told
    assert f"{status.name}" in told[0]
    assert f"is kept in {tmp_path}, and sent later" in told[0]
    assert "delivered again" in told[1]


def test_what_is_unsent_at_the_end_is_sent_by_the_next_process_or_by_recover(
    sink: GrpcSink, tmp_path: Path
) -> None:
    sink.refuses = StatusCode.UNAVAILABLE
    environment = _environment(sink.endpoint, tmp_path)
    for _ in range(2):
        with Running(environment) as program:
            program.do("run(3)")
    sink.refuses = None
    with Running(environment) as program:
        program.do("run(1)")
        assert wait_until(lambda: not files(tmp_path))
    sink.refuses = StatusCode.UNAVAILABLE
    with Running(environment) as program:
        program.do("forked(2)")
        program.do("run(1)")
    sink.refuses = None
    assert recover(environment).returncode == 0
    assert files(tmp_path) == []
    assert len({span.span_id for span in sink.spans}) == len(sink.spans) == len(sink.logs) == 10


def test_a_collector_that_was_never_there(tmp_path: Path) -> None:
    endpoint = absent()
    with Running(_environment(endpoint, tmp_path)) as program:
        program.do("run(3)")
    assert f"is kept in {tmp_path}, and sent later" in program.said
    assert files(tmp_path)
    elsewhere = recover(environment_of(endpoint, tmp_path))  # to the same port, by HTTP
    assert "for other endpoints" in elsewhere.stderr


@pytest.mark.parametrize("status", [StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED])
def test_what_is_rejected_for_good_is_removed(status: StatusCode, sink: GrpcSink, tmp_path: Path) -> None:
    """A request that is too large is refused as one of too many would be, but without a hint to try again."""
    sink.refuses = StatusCode.UNAVAILABLE
    environment = _environment(sink.endpoint, tmp_path)
    with Running(environment) as program:
        program.do("run(3)")
    assert files(tmp_path)
    sink.refuses = status
    result = recover(environment)
    assert result.returncode == 0
    assert "the Collector does not take" in result.stderr
    assert files(tmp_path) == []


def test_if_nothing_can_be_kept_the_exporter_tries_again(sink: GrpcSink, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sink.refuses = StatusCode.UNAVAILABLE
    with Running(_environment(sink.endpoint, tmp_path / "file" / "spool")) as program:
        program.do("run(3)")
        assert wait_until(lambda: sink.requests >= 6)
        sink.refuses = None
        assert wait_until(lambda: len(sink.spans) == 3)
    assert len(sink.logs) == 3
    assert "Cannot keep telemetry" in program.said
