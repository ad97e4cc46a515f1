"""``sandscope.logs``: lines of JSON with the ids of the trace, and the same records by OTLP."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import SANDSCOPE_RUN, OtlpSink, clean_environment, requires_otelcol, run_program
from harness._packages import environment_with

pytestmark = pytest.mark.usefixtures("default_signals")

START = "import sandscope.auto, sandscope, logging, sys\nfrom sandscope import logs\n"
STANDARD = (
    START
    + """
logs.configure()
log = logging.getLogger("app")
log.info("outside")
with sandscope.execution("docker", "run", name="run"):
    log.warning("loaded %s", "model", extra={"load_time": 0.5, "model_path": "m.pt"})
    log.debug("canary")
    try:
        raise LookupError("missing")
    except LookupError:
        log.exception("failed")
"""
)
STRUCTLOG = (
    START
    + """
import structlog
structlog.configure(**logs.structlog_settings())
log = structlog.get_logger()
log.info("outside")
with sandscope.execution("docker", "run", name="run"):
    log.warning("loaded", load_time=0.5, model_path="m.pt")
    log.debug("canary")
    try:
        raise LookupError("missing")
    except LookupError:
        log.exception("failed")
"""
)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


def run(sink: OtlpSink, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)
    done = run_program(program, way=(), environment=environment)
    assert done.returncode == 0, done.stderr
    return done


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def sent(sink: OtlpSink) -> dict[str, Any]:
    """Return the program's own records by their text."""
    own = [record for record in sink.logs if not record.event_name]
    found = {record.body.string_value: record for record in own}
    assert len(found) == len(own)
    return found


def attributes(record: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.double_value for a in record.attributes}


@pytest.mark.parametrize("recorder", ["auto", "python", "direct"])
def test_records_of_logging_are_joined_to_the_trace(sink: OtlpSink, recorder: str) -> None:
    outside, loaded, failed = lines(run(sink, STANDARD, SANDSCOPE_RECORDER=recorder).stderr)
    span = sink.span("run")
    assert "trace_id" not in outside
    assert loaded.pop("timestamp").endswith("Z")
    assert loaded == {
        "level": "warning",
        "logger": "app",
        "event": "loaded model",
        "load_time": 0.5,
        "model_path": "m.pt",
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
    }
    assert failed["exception"].endswith("LookupError: missing")
    records = sent(sink)
    assert set(records) == {"outside", "loaded model", "failed"}
    assert (records["loaded model"].trace_id, records["loaded model"].span_id) == (
        span.trace_id,
        span.span_id,
    )
    assert attributes(records["loaded model"]) == {"load_time": 0.5, "model_path": "m.pt"}
    assert records["loaded model"].severity_text == "WARN"
    assert attributes(records["failed"])["exception.type"] == "LookupError"
    assert "canary" not in str([sink.logs, sink.spans])


def test_events_of_structlog_are_joined_to_the_trace(sink: OtlpSink) -> None:
    outside, loaded, failed = lines(run(sink, STRUCTLOG, **environment_with("structlog==25.5.0")).stdout)
    span = sink.span("run")
    assert "trace_id" not in outside
    assert loaded.pop("timestamp").endswith("Z")
    assert loaded == {
        "level": "warning",
        "event": "loaded",
        "load_time": 0.5,
        "model_path": "m.pt",
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
    }
    assert failed["exception"].endswith("LookupError: missing")
    records = sent(sink)
    assert set(records) == {"outside", "loaded", "failed"}
    assert (records["loaded"].trace_id, records["loaded"].span_id) == (span.trace_id, span.span_id)
    assert attributes(records["loaded"]) == {"load_time": 0.5, "model_path": "m.pt"}
    assert attributes(records["failed"])["exception.message"] == "missing"
    assert "canary" not in str([sink.logs, sink.spans])


def test_without_structlog_it_says_what_to_install(sink: OtlpSink) -> None:
    program = (
        START
        + "sys.modules['structlog'] = None\n"
        + "try: logs.structlog_settings()\nexcept sandscope.SandscopeError as error: print(error)"
    )
    assert "Run `pip install structlog`" in run(sink, program).stdout


def test_whatever_a_program_passes_is_a_line(sink: OtlpSink) -> None:
    program = (
        START
        + """
class Hostile:
    def __str__(self): raise RuntimeError("no")
    __repr__ = __str__
circle = []
circle.append(circle)
logs.configure()
for value in (Hostile(), float("nan"), circle, {(1, 2): 3}, "\\ud800", b"x", None, "x" * 100_000):
    logging.getLogger("app").info("said", extra={"value": value, "number": 1})
"""
    )
    done = run(sink, program)
    assert [line["number"] for line in lines(done.stderr)] == [1] * 8
    assert lines(done.stderr)[0]["value"] == "<Hostile>"
    assert len([record for record in sink.logs if record.body.string_value == "said"]) == 8


def test_a_forked_child_logs_in_the_trace(sink: OtlpSink) -> None:
    program = (
        START
        + """
import os
logs.configure()
with sandscope.execution("docker", "run", name="run"):
    logging.info("parent")
    pid = os.fork()
    if pid == 0:
        logging.info("child")
        sys.exit()
    os.waitpid(pid, 0)
"""
    )
    done = run(sink, program, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="subprocess")
    span = sink.span("run")
    assert {line["trace_id"] for line in lines(done.stderr)} == {span.trace_id.hex()}
    assert {name: record.trace_id for name, record in sent(sink).items()} == {
        "parent": span.trace_id,
        "child": span.trace_id,
    }


def test_disabled_the_lines_remain(sink: OtlpSink) -> None:
    done = run(sink, STANDARD, OTEL_SDK_DISABLED="true")
    assert [line["event"] for line in lines(done.stderr)] == ["outside", "loaded model", "failed"]
    assert sink.requests == 0


def test_only_lines_if_asked_for(sink: OtlpSink) -> None:
    done = run(sink, STANDARD.replace("logs.configure()", "logs.configure(send=False, stream=sys.stdout)"))
    assert lines(done.stdout)[1]["trace_id"] == sink.span("run").trace_id.hex()
    assert sent(sink) == {}


def test_what_another_handler_sends_is_not_sent_twice(sink: OtlpSink) -> None:
    variables = environment_with("opentelemetry-instrumentation-logging==0.66b2")
    run(sink, STANDARD, **variables)
    assert set(sent(sink)) == {"outside", "loaded model", "failed"}


def test_a_collector_that_is_away_does_not_matter() -> None:
    with OtlpSink() as gone:
        pass
    done = run(gone, STANDARD, SANDSCOPE_EXIT_TIMEOUT="1")
    assert [json.loads(line)["event"] for line in done.stderr.splitlines() if line.startswith("{")] == [
        "outside",
        "loaded model",
        "failed",
    ]


@pytest.mark.collector
def test_they_arrive_in_the_collector(tmp_path: Path) -> None:
    requires_otelcol()
    program = tmp_path / "app.py"
    program.write_text(STANDARD)
    done = run_program(
        program, way=SANDSCOPE_RUN, environment=clean_environment(SANDSCOPE_DATA=str(tmp_path / "data"))
    )
    assert done.returncode == 0, done.stderr
    loaded = next(json.loads(line) for line in done.stderr.splitlines() if '"loaded model"' in line)
    assert f'"traceId":"{loaded["trace_id"]}"' in (tmp_path / "data" / "logs.jsonl").read_text()
