"""A forked child has its own connections and resource, and can send whatever the parent's readers were doing."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)

from deferred._executions import SDK
from deferred._forked import in_child
from deferred._grpc_sink import GrpcSink
from deferred._programs import Program
from harness import OtlpSink, clean_environment, run_program
from sandscope import _guard

FORKING = """
import os, sys
from opentelemetry import metrics, trace
from sandscope.instrumentation import Scope, Site
from sandscope._recording._choice import get_recorder
recorder = get_recorder(Scope("mine", "1"))
def run(n):
    for _ in range(n):
        recorder.begin(Site("wasmtime", "call", "add")).finish()
    trace.get_tracer("own").start_span("own").end()
    trace.get_tracer_provider().force_flush()
    metrics.get_meter_provider().force_flush()
run(2)
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        run(3)
        run(3)
        sys.exit(0)
    run(4)
    assert os.waitpid(pid, 0)[1] == 0
"""


def _run_forking(**variables: str) -> None:
    environment = clean_environment(PYTHONWARNINGS="ignore::DeprecationWarning", **variables)
    run = run_program(FORKING, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")


def test_each_process_has_http_connections_and_a_resource_of_its_own() -> None:
    with OtlpSink(keep_alive=True) as sink:
        _run_forking(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
    names = sink.names()
    assert (names.count("add"), names.count("own"), len(sink.logs)) == (22, 7, 22)
    by_peer = defaultdict(set)
    for peer, resource in zip(sink.peers, sink.resources, strict=True):
        by_peer[peer].add(resource["service.instance.id"])
    assert len(by_peer) >= 3 * 3, "at least one for each signal of each process"
    if SDK >= (1, 45):
        assert {len(instances) for instances in by_peer.values()} == {1}
        assert len(set.union(*by_peer.values())) == 3


def test_children_send_by_grpc() -> None:
    with GrpcSink() as sink:
        _run_forking(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    names = [span.name for span in sink.spans]
    assert (names.count("add"), names.count("own"), len(sink.logs)) == (22, 7, 22)


def test_a_childs_records_carry_the_resource_of_its_own_spans() -> None:
    program = Program()
    program.run(1)
    program.pipeline.flush()

    def child() -> tuple[str, str]:
        program.run(1)
        program.pipeline.flush()
        own: Any = program.tracer_provider.get_tracer("own").start_span("own")
        return own.resource.to_json(), program.spans.arrived[-1].resource.to_json()

    of_span, of_execution = in_child(child)
    assert of_span == of_execution
    if SDK >= (1, 45):
        assert of_execution != program.spans.arrived[-1].resource.to_json()


def test_a_fork_while_a_reader_collects_leaves_the_child_free_to_collect() -> None:
    program = Program()
    parent, collecting, over = os.getpid(), threading.Event(), threading.Event()

    def slow(_options: CallbackOptions) -> Iterable[Observation]:
        if os.getpid() == parent:
            collecting.set()
            over.wait(30)
        return []

    program.meter_provider.get_meter("own").create_observable_gauge("slow", [slow])
    thread = threading.Thread(target=program.executions)
    thread.start()
    assert collecting.wait(10)

    def child() -> tuple[float, dict[str, int]]:
        program.run(3)
        return program.executions(), _guard.counts()

    try:
        assert in_child(child, 10) == (3, {})
    finally:
        over.set()
        thread.join(10)
    program.run(2)
    assert program.executions() == 2


class _Exporter(MetricExporter):
    """Is slow in the process that created it."""

    def __init__(self) -> None:
        super().__init__()
        self.made_in = os.getpid()
        self.exporting, self.over = threading.Event(), threading.Event()
        self.exported: list[int] = []

    def export(self, *_args: object, **_more: object) -> MetricExportResult:
        self.exporting.set()
        if os.getpid() == self.made_in:
            self.over.wait(30)
        self.exported.append(os.getpid())
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_more: object) -> None:
        pass


@pytest.mark.parametrize("interval", [60_000, float("inf")], ids=["with ticker", "without"])
def test_a_fork_while_a_reader_exports_leaves_the_child_free_to_export(interval: float) -> None:
    exporter = _Exporter()
    program = Program(readers=[PeriodicExportingMetricReader(exporter, interval)])
    program.run(1)
    thread = threading.Thread(target=program.meter_provider.force_flush)
    thread.start()
    assert exporter.exporting.wait(10)

    def child() -> bool:
        program.run(1)
        program.meter_provider.force_flush()
        return exporter.exported == [os.getpid()]

    try:
        assert in_child(child, 10) is True
    finally:
        exporter.over.set()
        thread.join(10)
        program.meter_provider.shutdown()
