"""What the Collector has acknowledged is on disk: whatever happens to it or to a store, it reaches the store."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from threading import Event

import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from harness import OtlpSink, collector_ports, free_ports, small_disk, wait_until
from sandscope import SandscopeError
from sandscope._collector import CollectorProcess, Composition, FolderInUseError
from sandscope._collector._collector_process import environment_for
from sandscope._collector._log_lines import problems

pytestmark = pytest.mark.collector
FULL = 600_000
"""Bytes of a queue that is soon full."""


@pytest.fixture
def store() -> int:
    """Return the port of a store that is down; the Collector sends log records to it."""
    return free_ports(["store"])["store"]


@pytest.fixture
def collector(
    store: int, otelcol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CollectorProcess]:
    """Run a Collector with a store."""
    monkeypatch.setenv("SANDSCOPE_LOKI_ENDPOINT", f"http://127.0.0.1:{store}")
    collector = CollectorProcess(
        Composition.of("loki", "local"), data=tmp_path / "data", ports=collector_ports(), otelcol=otelcol
    )
    with collector:
        yield collector


def send(collector: CollectorProcess, body: str, size: int = 0) -> int:
    """Send a log record, and return the status of the answer."""
    record = LogRecord()
    record.body.string_value = body + "." * size
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.append(record)
    connection = HTTPConnection("127.0.0.1", collector.ports.otlp_http, timeout=20)
    try:
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/logs", request.SerializeToString(), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def kill(collector: CollectorProcess) -> None:
    assert collector.pid is not None
    os.kill(collector.pid, signal.SIGKILL)
    assert wait_until(lambda: collector.pid is None)
    collector.stop()


def bodies(sink: OtlpSink) -> list[str]:
    return [record.body.string_value for record in sink.logs]


def test_a_store_is_down_while_the_collector_is_killed_and_started_again(
    collector: CollectorProcess, store: int
) -> None:
    assert [send(collector, f"before {number}") for number in range(20)] == [200] * 20
    kill(collector)
    collector.start()
    assert [send(collector, f"after {number}") for number in range(20)] == [200] * 20
    sent = {f"{when} {number}" for when in ("before", "after") for number in range(20)}
    with OtlpSink(port=store) as sink:
        assert wait_until(lambda: set(bodies(sink)) == sent)
        assert len(bodies(sink)) == 40


def test_a_collector_that_is_killed_under_load_has_what_it_has_acknowledged(
    collector: CollectorProcess, store: int
) -> None:
    acknowledged: list[str] = []
    done = Event()

    def load() -> None:
        for number in count():
            if done.is_set():
                return
            with suppress(OSError, HTTPException):  # it is away
                if send(collector, str(number)) == 200:
                    acknowledged.append(str(number))

    with OtlpSink(port=store) as sink, ThreadPoolExecutor() as pool:
        loading = pool.submit(load)
        try:
            for _ in range(3):
                enough = len(acknowledged) + 50
                assert wait_until(lambda enough=enough: len(acknowledged) >= enough)
                kill(collector)
                collector.start()
        finally:
            done.set()
        loading.result()
        assert len(acknowledged) >= 150
        assert wait_until(lambda: set(bodies(sink)) >= set(acknowledged))
    on_disk = (collector.data / "logs.jsonl").read_text()
    assert [body for body in acknowledged if f'"stringValue":"{body}"' not in on_disk] == []


def test_a_collector_that_is_stopped_keeps_what_it_has_not_sent_and_says_so(
    collector: CollectorProcess, store: int
) -> None:
    assert send(collector, "kept") == 200
    collector.stop()
    (said,) = (text for text in problems(collector.log, errors_only=True) if "loki" in text)
    assert said.endswith("records that were not sent: 1. If its queue is on disk, the next start sends them")
    with OtlpSink(port=store) as sink:
        collector.start()
        assert wait_until(lambda: bodies(sink) == ["kept"])


def test_a_dead_store_stops_no_other(collector: CollectorProcess) -> None:
    assert send(collector, "everywhere") == 200
    assert "everywhere" in (collector.data / "logs.jsonl").read_text()


def test_the_queues_are_private(collector: CollectorProcess) -> None:
    send(collector, "secret")
    queues = collector.data / "queues"
    assert stat.S_IMODE(queues.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in queues.iterdir()} == {0o600}


@pytest.mark.parametrize("fsync", ["false", "true"])
def test_a_full_queue_is_told_to_the_sender_as_something_that_passes(
    fsync: str, otelcol: Path, tmp_path: Path, store: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_LOKI_ENDPOINT", f"http://127.0.0.1:{store}")
    monkeypatch.setenv("SANDSCOPE_QUEUE_SIZE", str(FULL))
    monkeypatch.setenv("SANDSCOPE_QUEUE_FSYNC", fsync)
    composition = Composition.of("loki")
    with CollectorProcess(composition, data=tmp_path, ports=collector_ports(), otelcol=otelcol) as collector:
        taken = 0
        while (status := send(collector, f"{taken} ", size=60_000)) == 200:
            taken += 1
        assert status == 503
        assert taken == FULL // 60_000 - 1
        with OtlpSink(port=store) as sink:
            assert wait_until(lambda: len(bodies(sink)) == taken)
            assert wait_until(lambda: send(collector, "again") == 200)


def test_on_a_full_disk_the_collector_refuses_and_keeps_what_it_has_taken(
    otelcol: Path, tmp_path: Path, store: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_LOKI_ENDPOINT", f"http://127.0.0.1:{store}")
    with (
        small_disk(tmp_path / "disk", "4m") as disk,
        CollectorProcess(
            Composition.of("loki"), data=disk / "data", ports=collector_ports(), otelcol=otelcol
        ) as collector,
    ):
        answers = {str(number): send(collector, f"{number} ", size=10_000) for number in range(600)}
        assert set(answers.values()) == {200, 503}
        taken = {name for name, status in answers.items() if status == 200}
        with OtlpSink(port=store) as sink:
            assert wait_until(lambda: {body.split()[0] for body in bodies(sink)} == taken)
            assert len(bodies(sink)) == len(taken)
            assert wait_until(lambda: send(collector, "again") == 200)


def test_another_collector_in_the_same_folder_is_named_and_nothing_hangs(
    collector: CollectorProcess, otelcol: Path
) -> None:
    with pytest.raises(FolderInUseError, match="another Collector writes its files there"):
        CollectorProcess(
            Composition.of("loki"), data=collector.data, ports=collector_ports(), otelcol=otelcol
        ).start()


def test_a_collector_that_was_started_without_sandscope_is_noticed_too(
    otelcol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composition, ports = Composition.of("jaeger"), collector_ports()
    command = [str(otelcol), *composition.arguments]
    with subprocess.Popen(command, env=environment_for(ports, tmp_path), stderr=subprocess.DEVNULL) as other:
        try:
            assert wait_until(lambda: any(tmp_path.glob("queues/*")))
            with pytest.raises(FolderInUseError, match=r"queues': another Collector uses it\."):
                CollectorProcess(composition, data=tmp_path, ports=collector_ports(), otelcol=otelcol).start()
        finally:
            other.kill()


def test_a_damaged_queue_is_named(collector: CollectorProcess) -> None:
    send(collector, "lost")
    kill(collector)
    (file,) = (collector.data / "queues").iterdir()
    content = file.read_bytes()
    file.write_bytes(os.urandom(len(content)))
    with pytest.raises(SandscopeError, match=r"Cannot use '.*queues': a file in it is damaged"):
        collector.start()


def test_no_overlay_acknowledges_what_is_only_in_memory() -> None:
    overlays = Composition.of("local").files[1].parent
    files = [
        yaml.safe_load(file.read_text()) for file in [overlays.parent / "base.yaml", *overlays.iterdir()]
    ]
    processors = {name for file in files for name in file.get("processors", {})}
    assert [name for name in processors if name.split("/")[0] == "batch"] == []
    exporters = [each for file in files for each in (file.get("exporters") or {}).values() if each]
    queues = [each["sending_queue"] for each in exporters if "sending_queue" in each]
    assert len(queues) >= 5
    assert {queue["storage"] for queue in queues} == {"file_storage/queues"}


def test_no_overlay_leaves_out_the_extension_of_the_queues() -> None:
    overlays = Composition.of("local").files[1].parent
    services = [yaml.safe_load(file.read_text()).get("service", {}) for file in overlays.iterdir()]
    lists = [service["extensions"] for service in services if "extensions" in service]
    assert all("file_storage/queues" in names for names in lists)
