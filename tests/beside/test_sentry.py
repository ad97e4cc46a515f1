"""Beside sentry-sdk, which gets OpenTelemetry's spans by a span processor, and patches subprocess itself."""

from __future__ import annotations

import pytest

from beside._executions import AUTO, EXECUTIONS, OUTPUT, PREPARE, SPANS, execution_logs, executions
from harness import STOCK, OtlpSink, clean_environment, run_program
from harness._packages import environment_with

SENTRY = """
import sentry_sdk
from sentry_sdk.transport import Transport
kept = []
class Keep(Transport):
    def capture_envelope(self, envelope):
        kept.extend(item.payload.json for item in envelope.items if item.type == "transaction")
def init(**options):
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", release="1", traces_sample_rate=1.0, transport=Keep, **options
    )
"""
WITH_OTEL = """
init(instrumenter="otel")
from opentelemetry import trace
from sentry_sdk.integrations.opentelemetry import SentrySpanProcessor
trace.get_tracer_provider().add_span_processor(SentrySpanProcessor())
with trace.get_tracer("mine").start_as_current_span("outer"):
    run_all()
(transaction,) = kept
print(sorted(span["description"] for span in transaction["spans"]))
"""
WITHOUT = """
init()
with sentry_sdk.start_transaction(name="outer"):
    run_all()
(transaction,) = kept
print(sum(span["op"] == "subprocess" for span in transaction["spans"]))
"""
WRAPPER = {"OTEL_PYTHON_DISTRO": "sandscope", "OTEL_PYTHON_CONFIGURATOR": "sandscope"}
"""sentry-sdk[opentelemetry] requires opentelemetry-distro."""


@pytest.mark.parametrize(
    ("program", "way", "shown"),
    [
        pytest.param(SENTRY + PREPARE + WITH_OTEL, STOCK, SPANS, id="wrapper"),
        pytest.param(SENTRY + AUTO + PREPARE + WITH_OTEL, (), SPANS, id="auto-last"),
        pytest.param(SENTRY + PREPARE + WITHOUT, STOCK, 3, id="without-opentelemetry"),
    ],
)
def test_sentry_gets_what_it_would_and_the_counts_are_exact(
    program: str, way: tuple[str, ...], shown: object
) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            **(WRAPPER if way else {}),
            **environment_with("sentry-sdk[opentelemetry]==2.75.0"),
        )
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{OUTPUT}{shown}\n"
    assert [name for name in sink.names() if name != "outer"] == SPANS
    assert execution_logs(sink) == len(SPANS)
    assert executions(sink) == EXECUTIONS
