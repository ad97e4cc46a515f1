"""Agents send to a real broker, gateways read from it; what dies on the way loses nothing."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from collector._spans import execution, send_spans, spans_in
from collector.test_signals import send_all, values
from harness import collector_ports, complete_lines, wait_until
from harness._kafka import Broker
from sandscope._collector import CollectorProcess, Composition

pytestmark = [pytest.mark.collector, pytest.mark.xdist_group("kafka")]
SIGNALS = ("traces", "metrics", "logs")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


class Chain:
    """An agent, and gateways with files; each test has topics of its own."""

    def __init__(self, otelcol: Path, folder: Path, running: ExitStack) -> None:
        self._otelcol, self._folder, self._running = otelcol, folder, running

    def collector(self, name: str, *overlays: str) -> CollectorProcess:
        """Start a Collector; one that is started again under the same name has the same files and ports."""
        ports = collector_ports()
        process = CollectorProcess(
            Composition.of(*overlays), data=self._folder / name, ports=ports, otelcol=self._otelcol
        )
        return self._running.enter_context(process)

    def spans(self, *gateways: str) -> list[tuple[str, str]]:
        """Return trace id and span id of each span in the files of these gateways."""
        found = []
        for name in gateways:
            file = self._folder / name / "traces.jsonl"
            for line in complete_lines(file):
                for group in values(json.loads(line), "spans"):
                    found += [(span["traceId"], span["spanId"]) for span in group]
        return found


@pytest.fixture
def chain(broker: Broker, otelcol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    monkeypatch.setenv("SANDSCOPE_KAFKA_BROKERS", broker.address)
    monkeypatch.setenv("SANDSCOPE_KAFKA_TOPICS", tmp_path.name)
    with ExitStack() as running:
        yield Chain(otelcol, tmp_path, running)


def test_all_signals_reach_the_files_of_the_gateway(chain: Chain, tmp_path: Path) -> None:
    agent = chain.collector("agent", "kafka")
    trace = send_all(agent.endpoint)
    chain.collector("gateway", "gateway", "local")  # started later: it also reads what was sent before
    for name in SIGNALS:
        file = tmp_path / "gateway" / f"{name}.jsonl"
        assert wait_until(lambda file=file: file.is_file() and trace in file.read_text()), name


def test_all_spans_of_a_trace_reach_the_same_gateway(chain: Chain) -> None:
    agent = chain.collector("agent", "kafka")
    chain.collector("one", "gateway", "local")
    chain.collector("two", "gateway", "local")
    program = _Program(agent.endpoint)
    assert wait_until(lambda: _both_receive(program, chain))
    known = set(chain.spans("one", "two"))
    sent = program.make(traces=50, spans=4)
    assert wait_until(lambda: sent <= set(chain.spans("one", "two")))
    traces = [{trace for trace, span in set(chain.spans(name)) - known} for name in ("one", "two")]
    assert all(traces)
    assert not traces[0] & traces[1]


def test_gateways_sample_whole_traces_whose_spans_come_from_several_agents(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_SHARE", "0")
    agents = [chain.collector(name, "kafka").ports.otlp_http for name in ("agent-1", "agent-2")]
    for name in ("one", "two"):
        chain.collector(name, "gateway", "sampling", "local")
    files = [tmp_path / name / "traces.jsonl" for name in ("one", "two")]

    def ready() -> bool:
        for _ in range(8):
            send_spans(agents[0], execution("warm-up", secrets.token_hex(16), "RE"))
        return all(spans_in(file) for file in files)

    assert wait_until(ready)
    traces = [secrets.token_hex(16) for _ in range(30)]
    for number, trace in enumerate(traces):
        send_spans(agents[0], execution("sibling", trace))
        send_spans(agents[1], execution("last", trace, "RE" if number % 2 else "OK"))

    def arrived(file: Path) -> list[str]:
        return sorted(each["traceId"] for each in spans_in(file) if each["name"] != "warm-up")

    failed = sorted(2 * traces[1::2])
    assert wait_until(lambda: sorted(arrived(files[0]) + arrived(files[1])) == failed)
    assert not set(arrived(files[0])) & set(arrived(files[1]))


def test_nothing_is_lost_if_the_broker_and_a_gateway_die_under_load(
    chain: Chain, broker: Broker, tmp_path: Path
) -> None:
    agent = chain.collector("agent", "kafka")
    gateway = chain.collector("gateway", "gateway", "local")
    program = _Program(agent.endpoint)
    stop, sent = threading.Event(), set[tuple[str, str]]()

    def load() -> None:
        while not stop.is_set():
            sent.update(program.make(traces=5, spans=2))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        assert wait_until(lambda: chain.spans("gateway"))
        broker.kill()
        time.sleep(1)  # what is sent meanwhile waits in the agent
        broker.start()
        assert gateway.pid is not None
        os.kill(gateway.pid, signal.SIGKILL)
        chain.collector("gateway-2", "gateway", "local")
        time.sleep(1)
    finally:
        stop.set()
        thread.join()
    assert wait_until(lambda: sent <= set(chain.spans("gateway", "gateway-2"))), (
        f"{len(sent - set(chain.spans('gateway', 'gateway-2')))} of {len(sent)} spans are lost"
    )


class _Program:
    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
        self._tracer = self._provider.get_tracer("test")

    def make(self, *, traces: int, spans: int) -> set[tuple[str, str]]:
        """Make traces of a root and its children, each span in a request of its own; return their ids."""
        made = set()
        for _ in range(traces):
            with self._tracer.start_as_current_span("root") as root:
                made.add(_ids(root))
                for _ in range(spans - 1):
                    with self._tracer.start_as_current_span("child") as child:
                        made.add(_ids(child))
        return made


def _ids(span: object) -> tuple[str, str]:
    context = span.get_span_context()  # type: ignore[attr-defined]
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


def _both_receive(program: _Program, chain: Chain) -> bool:
    program.make(traces=8, spans=1)
    return bool(chain.spans("one") and chain.spans("two"))
