"""Under gunicorn and uvicorn: each worker records its executions once, all under one service name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from harness import BIN, PATIENCE, STOCK, OtlpSink, clean_environment, free_ports
from harness._packages import environment_with

if not hasattr(os, "fork"):
    pytest.skip("gunicorn needs fork", allow_module_level=True)

APP = """
import subprocess
def answer():
    return subprocess.run(["/bin/echo", "hello"], capture_output=True).stdout
def wsgi(environ, start_response):
    body = answer()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer()})
"""
GUNICORN = ("gunicorn", "app:wsgi", "--workers", "3", "--bind", "127.0.0.1:{port}")
SERVERS = {
    "sync": GUNICORN,
    "preload": (*GUNICORN, "--preload"),
    "gthread": (*GUNICORN, "--worker-class", "gthread", "--threads", "4"),
    "uvicorn": ("uvicorn", "app:asgi", "--workers", "3", "--lifespan", "off", "--port", "{port}"),
}
REQUESTS = 60


@pytest.mark.parametrize("way", ["run", "stock"])
@pytest.mark.parametrize("server", SERVERS)
def test_the_sum_over_all_workers_is_exact(server: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with OtlpSink() as sink:
        run = (str(BIN / "sandscope"), "run", "--collector", sink.endpoint, "--")
        start = [*(run if way == "run" else STOCK), sys.executable, "-m", *SERVERS[server]]
        with _serving(start, sink, tmp_path) as address, ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda _: _get(address), range(REQUESTS)))
    assert answers == [b"hello\n"] * REQUESTS
    count = REQUESTS + 1  # one more to see that the server is ready
    assert sink.names() == ["echo"] * count
    assert sink.total("sandbox.executions") == len(sink.logs) == count
    assert {resource["service.name"] for resource in sink.resources} == {"web"}


def _get(address: str) -> bytes:
    answer: bytes = urlopen(address, timeout=PATIENCE).read()  # noqa: S310 -- of this machine
    return answer


@contextmanager
def _serving(start: list[str], sink: OtlpSink, folder: Path) -> Iterator[str]:
    """Run a server until the ``with`` block ends, and stop it as an operator would."""
    port = free_ports(["web"])["web"]
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_SERVICE_NAME="web",
        **environment_with("gunicorn==23.0.0", "uvicorn==0.38.0"),
    )
    command = [argument.format(port=port) for argument in start]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/"
            _wait_for(address, process, folder)
            yield address
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            _get(address)
        except URLError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        else:
            return
