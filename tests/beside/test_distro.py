"""Beside opentelemetry-distro and OpenTelemetry's instrumentations of requests, flask and logging."""

from __future__ import annotations

import pytest

from beside._executions import AUTO, execution_logs, executions
from harness import SANDSCOPE_RUN, STOCK, OtlpSink, clean_environment, run_program
from harness._packages import environment_with

WEB = """
import logging, subprocess, threading
import requests
from flask import Flask
from werkzeug.serving import make_server
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask("web")
@app.route("/run")
def run():
    logging.getLogger("web").warning("running")
    return subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout
server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(5):
    print(requests.get(f"http://127.0.0.1:{server.server_port}/run").text.strip())
server.shutdown()
"""
PACKAGES = (
    "opentelemetry-distro==0.66b2",
    *(f"opentelemetry-instrumentation-{name}==0.66b1" for name in ("requests", "flask", "logging")),
    "flask==3.1.3",
)


@pytest.mark.parametrize(
    ("program", "way", "variables"),
    [
        pytest.param(WEB, SANDSCOPE_RUN, {}, id="run"),
        pytest.param(AUTO + WEB, (), {}, id="auto"),
        # Here, the other distro is the first that OpenTelemetry's loader finds. Its default is gRPC.
        pytest.param(WEB, STOCK, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, id="the-other-distro"),
    ],
)
def test_all_instrumentations_work_together(
    program: str, way: tuple[str, ...], variables: dict[str, str]
) -> None:
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables, **environment_with(*PACKAGES)
        )
        run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout) == (0, "hello\n" * 5)
    others = ("sandscope: telemetry goes to", "Configuration of sandscope not loaded")
    said = [line for line in run.stderr.splitlines() if not line.startswith(others)]
    assert said == ["running"] * 5
    assert sink.names() == ["GET"] * 5 + ["GET /run"] * 5 + ["echo"] * 5
    assert len({span.trace_id for span in sink.spans}) == 5
    assert (execution_logs(sink), len(sink.logs)) == (5, 10)
    assert executions(sink) == {"subprocess": 5}
