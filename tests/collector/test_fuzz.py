"""Broken and huge requests: the Collector stays up, its memory is bounded, and it goes on to take what is right.

`make fuzz` does this for minutes (FUZZ_SECONDS, FUZZ_SEED).
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from collector._log_records import body_of, send
from collector._spans import execution
from collector.test_signals import send_all
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector
SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
_PATHS = ("/v1/logs", "/v1/traces", "/v1/metrics")
_KINDS = ("application/json", "application/x-protobuf", "text/plain", "application/json; charset=\xff", "")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LIMIT = 1536 << 20
"""Bytes: the memory limiter's 1 GiB, and what arrives between two of its looks."""


def _nested(depth: int) -> bytes:
    """Return a request with a value in a value, and so on, as protobuf."""
    value = b"\x0a\x01x"
    for _ in range(depth):
        inner = b"\x0a" + _varint(len(value)) + value  # ArrayValue.values
        value = b"\x2a" + _varint(len(inner)) + inner  # AnyValue.array_value
    record = b"\x2a" + _varint(len(value)) + value  # LogRecord.body
    for tag in (b"\x12", b"\x12", b"\x0a"):  # log_records, scope_logs, resource_logs
        record = tag + _varint(len(record)) + record
    return record


def _spans(number: int = 1) -> bytes:
    """Return a request with spans, as JSON."""
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "scopeSpans": [
                        {"spans": [execution("run", f"{each + 1:026x}ffffff") for each in range(number)]}
                    ]
                }
            ]
        }
    ).encode()


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


_BOMBS = [gzip.compress(bytes(size), 1) for size in (1 << 20, 64 << 20)]
_DEEP = [_nested(2000), b"[" * 300_000, b'{"a":' * 30_000]


def _broken(chance: random.Random, good: list[bytes]) -> tuple[bytes, dict[str, str]]:
    """Return a body and headers."""
    headers = {"Content-Type": chance.choice(_KINDS[:2] if chance.random() < 0.8 else _KINDS)}
    body = bytearray(chance.choice(good))
    kind = chance.randrange(8)
    if kind == 0:
        body = bytearray(chance.randbytes(chance.choice((1, 100, 10_000, 1_000_000))))
    elif kind == 1:
        del body[chance.randrange(len(body)) :]
    elif kind == 2:
        body *= chance.choice((2, 1000, 20_000))
    elif kind == 3:
        headers["Content-Encoding"] = chance.choice(("gzip", "zstd", "snappy", "deflate", "lz4", "nonsense"))
    elif kind == 4:
        headers["Content-Encoding"] = "gzip"
        body = bytearray(chance.choice(_BOMBS))
    elif kind == 5:
        body = bytearray(chance.choice(_DEEP))
    for _ in range(chance.choice((0, 1, 3, 30))):
        if body:
            body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body), headers


def _post(port: int, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    except (OSError, HTTPException, UnicodeError):
        return 0  # it need not read all of a body that is too large
    finally:
        connection.close()


def _raw(port: int, data: bytes) -> None:
    """Send bytes that are no request, and leave without waiting for an answer."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.settimeout(1)
        connection.sendall(data)
        connection.recv(100)


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    "overlays", [(), ("guard", "quiet", "sampling", "span-metrics", "security")], ids=["base", "processors"]
)
def test_broken_and_huge_requests(overlays: tuple[str, ...], start: Start) -> None:
    collector = start("local", *overlays)
    pid = collector.pid
    assert pid is not None
    chance = random.Random(SEED)  # noqa: S311 - a seed is the point
    good = [body_of("a record", a="b" * 100), _nested(3), body_of(*["x" * 1000] * 100), _spans(), _spans(500)]
    answers: dict[int, int] = {}
    rounds, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        rounds += 1
        body, headers = _broken(chance, good)
        status = _post(collector.ports.otlp_http, chance.choice(_PATHS), body, headers)
        answers[status] = answers.get(status, 0) + 1
        if rounds % 5 == 0:
            garbage = chance.randbytes(chance.choice((10, 1000, 100_000)))
            port = chance.choice((collector.ports.otlp_grpc, collector.ports.otlp_http))
            _raw(
                port,
                chance.choice((b"", _PREFACE, b"POST /v1/logs HTTP/1.1\r\nContent-Length: 99\r\n\r\n"))
                + garbage,
            )
        assert collector.pid == pid, f"seed {SEED}, round {rounds}"
    sys.stdout.write(
        f"seed {SEED}: {rounds} requests in {SECONDS:g} s, answers {answers}, peak {_peak(pid) >> 20} MiB\n"
    )
    assert {400, 415} & answers.keys()
    assert rounds >= 10
    assert _peak(pid) < _LIMIT
    assert send(collector.ports.otlp_http, body_of("still here")) == 200
    send_all(collector.endpoint)
    assert any(b'"still here"' in file.read_bytes() for file in collector.data.glob("logs*.jsonl"))
