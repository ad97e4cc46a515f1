"""What a program records while the Collector is killed or stopped is in the Collector's files afterwards."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import collector_ports, complete_lines, wait_until
from sandscope._collector import CollectorProcess, Composition
from ways.spool._running import Running, environment_of, files, recover

pytestmark = [pytest.mark.collector, pytest.mark.usefixtures("otelcol")]
Start = Callable[..., CollectorProcess]

AWAY = float(os.environ.get("SANDSCOPE_TEST_AWAY", "3"))
"""Seconds for which the Collector is away."""
BUSY = "run(20); time.sleep(0.05)"


def _span_ids(folder: Path) -> Counter[str]:
    return Counter(
        span["spanId"]
        for line in complete_lines(folder / "traces.jsonl")
        for group in json.loads(line)["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    )


def _executions(folder: Path) -> int:
    """Return the last value of the counter of executions, summed over its time series."""
    last: dict[str, int] = {}
    for line in complete_lines(folder / "metrics.jsonl"):
        for group in json.loads(line)["resourceMetrics"]:
            for scope in group["scopeMetrics"]:
                for metric in scope["metrics"]:
                    if metric["name"] == "sandbox.executions":
                        for point in metric["sum"]["dataPoints"]:
                            key = json.dumps([group["resource"], point["attributes"]], sort_keys=True)
                            last[key] = int(point["asInt"])
    return sum(last.values())


def _busy(program: Running, seconds: float) -> int:
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        program.do(BUSY)
        count += 20
    return count


def _report(what: str, sent: int, ids: Counter[str], seconds: float) -> None:
    twice = sum(ids.values()) - len(ids)
    sys.stderr.write(
        f"{what}: sent {sent}, in store {len(ids)}, lost {sent - len(ids)}, twice {twice}, {seconds:.1f} s\n"
    )


@pytest.fixture(params=["http/protobuf", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _environment(collector: CollectorProcess, protocol: str, spool: Path, **variables: str) -> dict[str, str]:
    endpoint = collector.address(collector.ports.otlp_grpc) if protocol == "grpc" else collector.endpoint
    return environment_of(endpoint, spool, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **variables)


def test_a_collector_that_is_killed(protocol: str, otelcol: Path, tmp_path: Path) -> None:
    ports, spool, data = collector_ports(), tmp_path / "spool", tmp_path / "data"
    start = lambda: CollectorProcess(Composition.of("local"), data=data, ports=ports, otelcol=otelcol)  # noqa: E731
    with start() as collector:
        environment = _environment(collector, protocol, spool)
        with Running(environment) as program:
            sent = _busy(program, 1)
            assert wait_until(lambda: _span_ids(data))
            assert collector.pid is not None
            os.kill(collector.pid, signal.SIGKILL)
            assert wait_until(lambda: collector.pid is None)
            sent += _busy(program, AWAY)
            assert wait_until(lambda: files(spool))
            with start():
                back = time.monotonic()
                assert wait_until(lambda: not files(spool))
                recovered = time.monotonic() - back
                sent += _busy(program, 1)
                assert wait_until(lambda: len(_span_ids(data)) == sent)
                program.end()
    ids = _span_ids(data)
    _report("killed", sent, ids, recovered)
    assert len(ids) == sum(ids.values()) == sent
    assert _executions(data) == sent


def test_a_collector_that_is_stopped(protocol: str, start: Start, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    collector = start("local")
    environment = _environment(collector, protocol, spool, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert collector.pid is not None
    with Running(environment) as program:
        sent = _busy(program, 1)
        assert wait_until(lambda: _span_ids(collector.data))
        os.kill(collector.pid, signal.SIGSTOP)
        try:
            sent += _busy(program, AWAY)
            assert wait_until(lambda: files(spool))
        finally:
            os.kill(collector.pid, signal.SIGCONT)
        back = time.monotonic()
        assert wait_until(lambda: not files(spool))
        recovered = time.monotonic() - back
        sent += _busy(program, 1)
    assert wait_until(lambda: len(_span_ids(collector.data)) == sent)
    ids = _span_ids(collector.data)
    _report("stopped", sent, ids, recovered)
    assert sum(ids.values()) - sent <= 512, (
        "only the request to which the answer was lost may have arrived twice"
    )
    assert _executions(collector.data) == sent


def test_a_program_that_ends_while_the_collector_is_away(protocol: str, start: Start, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    collector = start("local")
    environment = _environment(collector, protocol, spool, SANDSCOPE_EXIT_TIMEOUT="1")
    assert collector.pid is not None
    os.kill(collector.pid, signal.SIGSTOP)
    try:
        with Running(environment) as program:
            program.do("run(100)")
    finally:
        os.kill(collector.pid, signal.SIGCONT)
    assert recover(environment).returncode == 0
    assert wait_until(lambda: len(_span_ids(collector.data)) == 100)
    assert _executions(collector.data) == 100
