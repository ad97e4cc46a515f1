"""The overlay `syslog`: security records reach a real rsyslog, over TCP and TLS, whatever they contain."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector._log_records import body_of, send
from harness import PATIENCE, complete_lines, free_ports, lacking, wait_until
from harness._servers import serving
from sandscope._collector import CollectorProcess, _certificates

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector
TYPE = "security.event.type"
HOSTILE = {
    "newlines": "first\nsecond\r\n<13>1 - - forged - - - forged",
    "framing": "99999 <13>1 - - forged",
    "structured": '"] [x@1 y="z"] \\',
    "nul": "before\0after\x1b[31m",
    "unicode": "\u2028 é 漢 \U0001f600",
}


@contextmanager
def rsyslog(folder: Path, port: int, *, tls: Path | None = None) -> Iterator[Path]:
    """Run rsyslog on a port, and yield the file in which it writes each message as a line of JSON."""
    binary = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin")
    if binary is None or not any(Path("/usr/lib").glob("**/rsyslog/lmnsd_ossl.so")):
        lacking("rsyslog with TLS is missing. On Debian: `apt install rsyslog rsyslog-openssl`.")
    file, configuration = folder / "received.jsonl", folder / "rsyslog.conf"
    stream = 'streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon"' if tls else ""
    certificates = (
        f'defaultNetstreamDriverCAFile="{tls}/ca.pem" defaultNetstreamDriverCertFile="{tls}/server.pem" '
        f'defaultNetstreamDriverKeyFile="{tls}/server-key.pem"'
        if tls
        else ""
    )
    configuration.write_text(
        f'global(workDirectory="{folder}" maxMessageSize="128k" {certificates})\n'
        f'module(load="imtcp" {stream})\ninput(type="imtcp" port="{port}" address="127.0.0.1")\n'
        'template(name="json" type="list" option.jsonf="on") {\n'
        + "".join(
            f'  property(outname="{name}" name="{name}" format="jsonf")\n'
            for name in ("pri", "app-name", "msgid", "timereported", "hostname", "msg")
        )
        + f'}}\naction(type="omfile" file="{file}" template="json")\n'
    )
    command = [binary, "-n", "-f", str(configuration), "-i", str(folder / f"{port}.pid")]
    with serving(command, port):
        yield file


def _received(file: Path) -> list[dict[str, Any]]:
    found = []
    for line in complete_lines(file):
        message = json.loads(line)
        message["content"] = json.loads(message["msg"])
        found.append(message)
    return found


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_what_is_hostile_arrives_as_it_is(
    tls: bool, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_ports(["syslog"])["syslog"]
    certificates = tmp_path / "certificates"
    _certificates.make(certificates)
    monkeypatch.setenv("SANDSCOPE_SYSLOG_PORT", str(port))
    monkeypatch.setenv("SANDSCOPE_SYSLOG_HOST", "localhost")
    monkeypatch.setenv(
        "SANDSCOPE_SYSLOG_CA" if tls else "SANDSCOPE_SYSLOG_INSECURE",
        f"{certificates}/ca.pem" if tls else "true",
    )
    with rsyslog(tmp_path, port, tls=certificates if tls else None) as file:
        collector = start("syslog", "local")
        for name, value in HOSTILE.items():
            body = body_of(
                value,
                **{
                    TYPE: "injection_attempt",
                    "case": name,
                    "message": value,
                    "priority": "1",
                    "hostname": value,
                },
            )
            assert send(collector.ports.otlp_http, body) == 200
        assert send(collector.ports.otlp_http, body_of("no security record", event="other")) == 200
        assert wait_until(lambda: len(_received(file)) >= len(HOSTILE))
        huge = body_of("x" * 1_000_000, **{TYPE: "a type that is no name\n", "case": "huge"})
        assert send(collector.ports.otlp_http, huge) == 200
        assert wait_until(lambda: len(complete_lines(file)) > len(HOSTILE))
        *lines, last = complete_lines(file)
    found = [json.loads(line) for line in lines]
    by_case = {message["case"]: message for message in (json.loads(each["msg"]) for each in found)}
    assert {name: message["body"] for name, message in by_case.items()} == HOSTILE
    assert len(lines) == len(HOSTILE)
    assert {(each["pri"], each["msgid"], each["app-name"], each["hostname"]) for each in found} == {
        ("83", "injection_attempt", "-", "-")
    }
    assert all(not each["timereported"].startswith("1970") for each in found)
    assert json.loads(last)["msgid"] == "-"
    assert 60_000 < len(json.loads(last)["msg"]) <= 65_537


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_nothing_is_lost_while_the_siem_is_away(
    killed: bool, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_ports(["syslog"])["syslog"]
    monkeypatch.setenv("SANDSCOPE_SYSLOG_PORT", str(port))
    monkeypatch.setenv("SANDSCOPE_SYSLOG_INSECURE", "true")
    with rsyslog(tmp_path, port):
        pass  # it works, and is gone
    collector = start("syslog")
    sent = [f"record {number}" for number in range(200)]
    for name in sent:
        assert send(collector.ports.otlp_http, body_of(name, **{TYPE: "auth_failure"})) == 200
    if killed:
        assert collector.pid is not None
        os.kill(collector.pid, signal.SIGKILL)
        assert wait_until(lambda: collector.exit_code is not None)
        start("syslog")
    with rsyslog(tmp_path, port) as file:
        assert wait_until(lambda: len(_received(file)) >= len(sent), 3 * PATIENCE)
        assert sorted(each["content"]["body"] for each in _received(file)) == sorted(sent)


def test_an_unknown_authority_gets_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_ports(["syslog"])["syslog"]
    for name in ("certificates", "other"):
        _certificates.make(tmp_path / name)
    monkeypatch.setenv("SANDSCOPE_SYSLOG_PORT", str(port))
    monkeypatch.setenv("SANDSCOPE_SYSLOG_CA", str(tmp_path / "other" / "ca.pem"))
    with rsyslog(tmp_path, port, tls=tmp_path / "certificates") as file:
        collector = start("syslog")
        assert send(collector.ports.otlp_http, body_of("canary", **{TYPE: "auth_failure"})) == 200
        assert wait_until(lambda: "certificate signed by unknown authority" in collector.log.read_text())
    assert _received(file) == []
