"""The overlays `secure` and `mutual-tls`, and programs that send to them by OpenTelemetry's own variables."""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.test_composition import OVERLAYS
from harness import PATIENCE, clean_environment, run_program
from sandscope import SandscopeError
from sandscope._cli.main import main
from sandscope._collector import CollectorProcess, Composition, _certificates, _credentials

Start = Callable[..., CollectorProcess]
PROGRAM = "import subprocess; subprocess.run(['/bin/true'])"
FILES = {
    *("ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem"),
    *("token", "metrics-password", "htpasswd"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with certificates, which the Collector uses."""
    monkeypatch.setenv(_credentials.FOLDER, str(tmp_path / "certificates"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SANDSCOPE_HOST"):
        monkeypatch.delenv(name, raising=False)
    _certificates.make(tmp_path / "certificates")
    return tmp_path / "certificates"


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_everything_listens_on_loopback_by_default(name: str) -> None:
    file = Composition.of("local").files[0] if name == "base" else Composition.of(name).files[1]
    text = re.sub(r"\$\{env:SANDSCOPE_HOST:-([^}]*)\}", r"\1", file.read_text())
    content = yaml.safe_load(re.sub(r"\$\{env:\w+:-(\d+)\}", r"\1", text))
    given = [content.get(kind, {}) for kind in ("receivers", "extensions")] + [
        {
            key: value
            for key, value in content.get("exporters", {}).items()
            if key.split("/")[0] == "prometheus"
        }
    ]
    listening = list(_endpoints(given))
    assert all(ipaddress.ip_address(each.rsplit(":", 1)[0]).is_loopback for each in listening), listening


def _endpoints(node: Any) -> Any:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "endpoint":
                yield str(value).removeprefix("http://")
            yield from _endpoints(value)
    elif isinstance(node, list):
        for each in node:
            yield from _endpoints(each)


def test_secrets_are_for_their_owner_and_are_never_replaced_or_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    command = ["collector", "certificates", "--folder", str(folder), "--host", "otel.example.org"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == FILES
    assert folder.stat().st_mode & 0o777 == 0o700
    secret = [folder / name for name in FILES if not name.endswith(".pem") or "key" in name]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secret)
    assert "server.pem  valid until" in said
    assert "DNS:otel.example.org" in said
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(command) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert main([*command, "--renew"]) == 0
    renewed = {path.name for path in folder.iterdir() if path.read_bytes() != before[path.name]}
    assert renewed == {"server.pem", "server-key.pem", "client.pem", "client-key.pem"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secret)
    said += capsys.readouterr().out
    assert (folder / "token").read_text() not in said
    assert (folder / "metrics-password").read_text() not in said


def test_an_expired_certificate_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _expire(folder)
    assert main(["collector", "certificates"]) == 1
    assert "server.pem  EXPIRED" in capsys.readouterr().out


def _expire(folder: Path) -> None:
    """Make the Collector's certificate one that has expired."""
    request = _certificates._openssl(
        "req", "-new", "-key", str(folder / "server-key.pem"), "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    )  # fmt: skip
    (folder / "request").write_bytes(request)

    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndir={folder}\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\n"
        f"serial={folder}/serial\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n"
    )

    _certificates._openssl(
        *("ca", "-batch", "-notext", "-create_serial", "-config", str(folder / "ca.cnf")),
        *(
            "-cert",
            str(folder / "ca.pem"),
            "-keyfile",
            str(folder / "ca-key.pem"),
            "-in",
            str(folder / "request"),
        ),
        *("-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-out", str(folder / "server.pem")),
    )


@pytest.mark.parametrize("host", ["https://x", "a b", "x:4318", "", "x\nDNS:y", "a,DNS:b", "-x"])
def test_what_is_no_host_is_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(SandscopeError, match="not the name or address of a host"):
        _certificates.make(tmp_path, [host])
    assert not any(tmp_path.iterdir())


def test_without_the_key_of_the_authority_nothing_is_signed(folder: Path) -> None:
    (folder / "ca-key.pem").unlink()
    _certificates.make(folder)  # nothing is missing
    with pytest.raises(SandscopeError, match="key of the authority"):
        _certificates.make(folder, renew=True)


def _variables(collector: CollectorProcess, folder: Path, overlay: str, protocol: str) -> dict[str, str]:
    port = collector.ports.otlp_grpc if protocol == "grpc" else collector.ports.otlp_http
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(folder / "ca.pem"),
        "SANDSCOPE_EXIT_TIMEOUT": "2",
    }
    if overlay == "secure":
        return variables | {
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{(folder / 'token').read_text()}"
        }
    return variables | {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(folder / "client.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(folder / "client-key.pem"),
    }


def _sent(collector: CollectorProcess) -> int:
    file = collector.data / "traces.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.collector
@pytest.mark.parametrize("overlay", ["secure", "mutual-tls"])
def test_opentelemetrys_variables_are_honoured(overlay: str, start: Start, folder: Path) -> None:
    collector = start(overlay, "local")
    for number, (protocol, recorder) in enumerate(
        [
            ("http/protobuf", "auto"),
            ("http/protobuf", "python"),
            ("http/protobuf", "direct"),
            ("grpc", "auto"),
        ],
        1,
    ):
        variables = _variables(collector, folder, overlay, protocol) | {"SANDSCOPE_EXIT_TIMEOUT": "20"}
        ended = run_program(PROGRAM, environment=clean_environment(**variables, SANDSCOPE_RECORDER=recorder))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert _sent(collector) == number


WRONG: dict[str, tuple[str, str, dict[str, str | None], str]] = {
    "authority": (
        *("secure", "http/protobuf", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "other/ca.pem"}),
        r"certificate verify failed: .*Set OTEL_EXPORTER_OTLP_CERTIFICATE",
    ),
    "token": (
        *("secure", "http/protobuf", {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20canary-token"}),
        r"code: 401, reason: Unauthorized\. .*Set OTEL_EXPORTER_OTLP_HEADERS",
    ),
    "no token by gRPC": (
        *("secure", "grpc", {"OTEL_EXPORTER_OTLP_HEADERS": None}),
        r"UNAUTHENTICATED\. .*Set OTEL_EXPORTER_OTLP_HEADERS",
    ),
    "no certificate": (
        *("mutual-tls", "http/protobuf"),
        {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": None, "OTEL_EXPORTER_OTLP_CLIENT_KEY": None},
        r"(alert certificate required|EOF [a-z ]+|reset by peer|pipe)\. .*OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    ),
    "certificate of another": (
        *("mutual-tls", "http/protobuf"),
        {
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "other/client.pem",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": "other/client-key.pem",
        },
        r"(alert [a-z ]+|EOF [a-z ]+|reset by peer|pipe)\. .*OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    ),
    "expired": ("secure", "http/protobuf", {}, r"certificate has expired\. .*certificates --renew"),
}


@pytest.mark.collector
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_in_one_line(wrong: str, start: Start, folder: Path, tmp_path: Path) -> None:
    overlay, protocol, changes, said = WRONG[wrong]
    _certificates.make(tmp_path / "other")
    if wrong == "expired":
        _expire(folder)
    collector = start(overlay, "local")
    variables = _variables(collector, folder, overlay, protocol)
    for name, value in changes.items():
        if value is None:
            del variables[name]
        else:
            variables[name] = str(tmp_path / value) if value.startswith("other/") else value
    ended = run_program(PROGRAM, environment=clean_environment(**variables))
    assert ended.returncode == 0
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("sandscope: Waiting")]
    assert len(lines) == 1, ended.stderr
    assert re.search(f"Cannot deliver telemetry to https://localhost:.*{said}", lines[0]), lines[0]
    assert "canary-token" not in ended.stderr
    assert (folder / "token").read_text() not in ended.stderr
    assert _sent(collector) == 0
    assert (folder / "token").read_text() not in collector.log.read_text()


@pytest.mark.collector
def test_a_bundle_of_requests_is_named_because_it_wins(start: Start, folder: Path, tmp_path: Path) -> None:
    _certificates.make(tmp_path / "other")
    collector = start("secure")
    variables = _variables(collector, folder, "secure", "http/protobuf")
    variables["REQUESTS_CA_BUNDLE"] = str(tmp_path / "other" / "ca.pem")
    ended = run_program(PROGRAM, environment=clean_environment(**variables))
    assert (
        "OTEL_EXPORTER_OTLP_CERTIFICATE to the certificate of the Collector's authority, and unset REQUESTS_CA_BUNDLE."
        in ended.stderr
    )


@pytest.mark.collector
def test_the_page_for_prometheus_needs_the_password(start: Start, folder: Path) -> None:
    collector = start("prometheus", "secure")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    page = f"https://localhost:{collector.ports.prometheus}/metrics"
    password = (folder / "metrics-password").read_text()
    for given, status in ((password, 200), ("wrong", 401), (None, 401)):
        request = urllib.request.Request(page)
        if given is not None:
            request.add_header(
                "Authorization", "Basic " + base64.b64encode(f"prometheus:{given}".encode()).decode()
            )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:  # noqa: S310
                found = answer.status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == status


@pytest.mark.collector
def test_without_certificates_the_collector_says_which_file_is_missing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_credentials.FOLDER, str(tmp_path / "nowhere"))
    with pytest.raises(SandscopeError, match="sandscope collector certificates"):
        start("secure")
