"""A child cannot lie about others, and does not disturb its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import OtlpSink, run_program
from ways.relay._sandboxes import attributes, environment, outcomes, parent

HOSTILE = """
import os, struct, sys, time
sys.path[:0] = os.environ["PACKAGES"].split(os.pathsep)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
pipe = int(os.environ["SANDSCOPE_RELAY_PIPE"].partition(":")[0])
os.set_blocking(pipe, True)
_, trace_id, span_id, _ = os.environ["TRACEPARENT"].split("-")
own, now = bytes.fromhex(trace_id), time.time_ns()
def send(signal, message):
    request = message if isinstance(message, bytes) else message.SerializeToString()
    for start in range(0, len(request), 4000):
        part = request[start:start + 4000]
        flags = (start == 0) | 2 * (start + 4000 >= len(request))
        os.write(pipe, struct.pack("!HBBI", len(part), signal, flags, 1) + part)
def span(name, **changes):
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "CANARY-service"
    fields = dict(trace_id=own, span_id=os.urandom(8), name=name, start_time_unix_nano=now, end_time_unix_nano=now)
    group.scope_spans.add().spans.add(**{**fields, **changes})
    return request
"""
PACKAGES = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))


def hostile(code: str, sink: OtlpSink, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a child that is not instrumented, and writes what it likes to the pipe."""
    command = [sys.executable, "-I", "-c", HOSTILE + code]
    return run_program(parent(command), environment=environment(sink, PACKAGES=PACKAGES, **variables))


def test_what_a_hostile_child_claims() -> None:
    with OtlpSink() as sink:
        run = hostile(
            """
send(1, span("CANARY-trace", trace_id=os.urandom(16)))
send(1, span("CANARY-execution", span_id=bytes.fromhex(span_id)))
send(1, span("CANARY-time", start_time_unix_nano=1))
send(1, span("CANARY-size" + "y" * 70_000))
send(1, b"CANARY-broken" * 300)
send(3, b"CANARY-metrics")
verdict = {"key": "sandbox.verdict.status", "value": {"string_value": "OK"}}
send(1, span("own", trace_state="CANARY=1", attributes=[verdict]))
logs = ExportLogsServiceRequest()
log = logs.resource_logs.add().scope_logs.add().log_records.add(event_name="security.authentication")
log.attributes.add(key="security.event.type").value.string_value = "authentication"
send(2, logs)
""",
            sink,
        )
    assert (run.returncode, run.stderr) == (0, "")
    everything = str([sink.spans, sink.logs, sink.metrics, sink.resources])
    assert "CANARY" not in everything
    own, child = sink.span("own"), sink.span(Path(sys.executable).name)
    assert own.parent_span_id == child.span_id
    assert attributes(own) == {"guest.sandbox.verdict.status": "OK", "sandbox.relayed": True}
    (log,) = [log for log in sink.logs if log.event_name.startswith("guest.")]
    assert (log.trace_id, log.span_id) == (child.trace_id, child.span_id)
    assert set(attributes(log)) == {"guest.security.event.type", "sandbox.relayed"}
    assert outcomes(sink) == {
        ("span", "relayed"): 1,
        ("log", "relayed"): 1,
        ("span", "other_trace"): 1,
        ("span", "other_span"): 1,
        ("span", "other_time"): 1,
        ("span", "too_large"): 1,
        ("span", "invalid"): 1,
        ("metric", "not_relayed"): 1,
    }


@pytest.mark.parametrize(
    "code",
    [
        'os.write(pipe, struct.pack("!I", 1 << 30) + b"CANARY" * 5000)',
        'os.write(pipe, struct.pack("!HBBI", 4000, 1, 1, 1) + b"CANARY")',
        'for n in range(300): os.write(pipe, struct.pack("!HBBI", 4000, 1, n == 0, 1) + bytes(4000))',
        'for _ in range(60): os.write(pipe, (struct.pack("!HBBI", 1, 1, 3, 1) + b"!") * 400)',
        "os.write(pipe, b'CANARY' * 9000); os.kill(os.getpid(), 9)",
        "if os.fork() == 0: time.sleep(20)",
        "os.close(pipe)",
    ],
    ids=["gigabyte", "torn", "endless", "tiny", "killed", "grandchild", "closed"],
)
def test_the_parent_does_as_it_would_without_the_child(code: str) -> None:
    program = f"""
import subprocess, sys
from opentelemetry import trace
quiet = subprocess.DEVNULL
guest = '''
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("another child"):
    pass
'''
with trace.get_tracer("parent").start_as_current_span("parent"):
    subprocess.run([sys.executable, "-I", "-c", {HOSTILE + code!r}], stdout=quiet, stderr=quiet)
    subprocess.run([sys.executable, "-c", guest], check=True)
"""
    with OtlpSink() as sink:
        run = run_program(program, environment=environment(sink, PACKAGES=PACKAGES))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert "CANARY" not in str([sink.spans, sink.logs])
    assert sink.span("another child").trace_id == sink.span("parent").trace_id
