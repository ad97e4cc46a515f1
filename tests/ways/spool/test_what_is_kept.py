"""What is kept on disk, who can read it, and what is never kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import OtlpSink, clean_environment, wait_until
from sandscope._spool import _batch_file
from ways.spool._running import (
    SHORT,
    Running,
    absent,
    check,
    environment_of,
    files,
    recover,
    requests,
)

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)


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
