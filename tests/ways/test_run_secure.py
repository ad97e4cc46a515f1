"""``sandscope run`` and ``up`` with `secure` and `mutual-tls`: programs get what they need to send."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import (
    BIN,
    PATIENCE,
    clean_environment,
    collector_ports,
    requires_otelcol,
    run_program,
    wait_until,
)
from sandscope._collector import _certificates
from sandscope._collector._credentials import Credentials

pytestmark = pytest.mark.collector
PROGRAM = """
import os, subprocess, sys
subprocess.run(['true'], check=True)
print({k: v for k, v in os.environ.items() if k.startswith('OTEL_EXPORTER')} | {'no_proxy': os.environ.get('no_proxy')})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with certificates; its name needs quotes in a shell."""
    folder = tmp_path / "the certificates"
    _certificates.make(folder)
    return folder


@pytest.fixture
def variables(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    requires_otelcol()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return {
        "SANDSCOPE_CERTIFICATES": str(folder),
        "SANDSCOPE_DATA": str(tmp_path / "data"),
        **collector_ports().environment,
    }


def _run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    way = (str(BIN / "sandscope"), "run", *words, "--with", "local", "--")
    return run_program(PROGRAM, way=way, environment=clean_environment(**variables))


def _signals(data: Path) -> list[str]:
    files = [data / f"{signal}.jsonl" for signal in ("traces", "metrics", "logs")]
    return [file.stem for file in files if file.exists() and "subprocess" in file.read_text()]


@pytest.mark.parametrize(
    ("overlays", "protocol", "recorder"),
    [
        ("secure", "http/protobuf", "auto"),
        ("secure", "http/protobuf", "python"),
        ("secure", "http/protobuf", "direct"),
        ("secure", "grpc", "auto"),
        ("mutual-tls", "grpc", "direct"),
        ("secure mutual-tls", "http/protobuf", "auto"),
    ],
)
def test_a_program_reaches_the_collector_of_its_run(
    overlays: str, protocol: str, recorder: str, variables: dict[str, str], tmp_path: Path
) -> None:
    options = [word for name in overlays.split() for word in ("--with", name)]
    done = _run(*options, **variables, SANDSCOPE_RECORDER=recorder, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert done.returncode == 0
    assert "https://localhost:" in done.stderr
    assert "Cannot deliver" not in done.stderr
    assert _signals(tmp_path / "data") == ["traces", "metrics", "logs"]
    assert (tmp_path / "the certificates" / "token").read_text() not in done.stderr


def test_a_trace_around_the_program_is_delivered_too(variables: dict[str, str], tmp_path: Path) -> None:
    done = _run("--trace", "--with", "secure", **variables)
    assert done.returncode == 0
    names = re.findall(r'"name":"([^"]+)"', (tmp_path / "data" / "traces.jsonl").read_text())
    assert {name for name in names if "_" not in name} == {"true", "python"}
    assert "Cannot deliver" not in done.stderr


def test_no_other_endpoint_gets_the_token(variables: dict[str, str], folder: Path) -> None:
    done = _run(
        *("--with", "secure"),
        **variables,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces",
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=a,Authorization=Bearer%20of%20another",
        OTEL_EXPORTER_OTLP_LOGS_HEADERS="x-tenant=b",
        http_proxy="http://127.0.0.1:9",
        no_proxy="example.org",
        SANDSCOPE_EXIT_TIMEOUT="1",
    )
    given = eval(done.stdout)  # noqa: S307 -- what the program above prints
    token = (folder / "token").read_text()
    assert {name for name, value in given.items() if value and token in value} == {
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    }
    assert given["OTEL_EXPORTER_OTLP_METRICS_HEADERS"] == f"x-tenant=a,authorization=Bearer%20{token}"
    assert given["OTEL_EXPORTER_OTLP_LOGS_HEADERS"] == f"x-tenant=b,authorization=Bearer%20{token}"
    assert given["OTEL_EXPORTER_OTLP_HEADERS"] == "x-tenant=a,Authorization=Bearer%20of%20another"
    assert "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" not in given
    assert given["no_proxy"] == "example.org,localhost"


def test_the_page_for_prometheus_has_its_scheme(variables: dict[str, str]) -> None:
    for overlay, scheme in (("secure", "https://localhost"), ("mutual-tls", "http://127.0.0.1")):
        done = _run("--with", overlay, "--with", "prometheus", **variables)
        assert re.search(rf"metrics are on {scheme}:\d+/metrics", done.stderr)


def test_up_says_what_to_set(variables: dict[str, str], folder: Path, tmp_path: Path) -> None:
    environment = clean_environment(**variables)
    command = [
        str(BIN / "sandscope"),
        "up",
        "--with",
        "secure",
        "--with",
        "mutual-tls",
        "--with",
        "local",
        "--no-page",
    ]
    try:
        for _ in range(2):  # the second says the same of the one that runs
            up = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
            )
            assert (folder / "token").read_text() not in up.stdout
            (export,) = re.findall(r"(export .*) for your programs", up.stdout)
        script = f'{export}\nexec {BIN / "opentelemetry-instrument"} {sys.executable} -c "$PROGRAM"'
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            env={**environment, "PROGRAM": PROGRAM},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert "Cannot deliver" not in done.stderr
        assert wait_until(lambda: len(_signals(tmp_path / "data")) == 3)
        assert (folder / "token").read_text() not in (tmp_path / "data" / "up.json").read_text()
        assert json.loads((tmp_path / "data" / "up.json").read_text())["endpoint"].startswith(
            "https://localhost:"
        )
    finally:
        subprocess.run(
            [str(BIN / "sandscope"), "down"],
            env=environment,
            timeout=PATIENCE,
            check=False,
            capture_output=True,
        )


def test_a_shell_is_told_the_files_and_not_the_token(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "ca.pem", tmp_path / "token", None)
    (tmp_path / "token").write_text("secret-1\n")
    assert "secret-1" not in str(credentials)
    assert credentials.variables("TRACES", {})["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] == (
        "authorization=Bearer%20secret-1"
    )
