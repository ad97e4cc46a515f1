"""Check what listens at the endpoints to which a program started here would send."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

_SIGNALS = ("traces", "metrics", "logs")
_TIMEOUT = 2.0
"""Seconds to wait for an answer."""
_NOT_OTLP = {404, 405, 501}
_ADVICE = "Start a Collector: `sandscope run` or `sandscope collector run`."


class Endpoint(NamedTuple):
    """An address, and the variable that sets it."""

    url: str
    source: str
    protocol: str
    path: str

    def __str__(self) -> str:
        return f"{self.url} ({self.source})"


def endpoints() -> list[Endpoint]:
    """Return the endpoints of the three signals; one that serves several is there once."""
    by_address = {(found.url, found.source): found for found in map(_endpoint, reversed(_SIGNALS))}
    return list(reversed(by_address.values()))


def check(endpoint: Endpoint) -> tuple[bool, str]:
    """Return whether something that takes telemetry listens there, and a sentence that says so."""
    try:
        parts = urlsplit(endpoint.url if "://" in endpoint.url else f"//{endpoint.url}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        return False, f"{endpoint}: {error}. Correct it."
    host = parts.hostname or "localhost"
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT).close()
    except OSError as error:
        return False, f"{endpoint}: {error.strerror or error}. {_ADVICE}"
    if parts.scheme == "http" and endpoint.protocol != "grpc":
        refusal = _refusal(host, port, parts.path.rstrip("/") + endpoint.path)
        if refusal:
            return False, f"{endpoint}: what listens there is not a Collector: {refusal}. {_ADVICE}"
    return True, f"{endpoint} accepts connections"


def _endpoint(signal: str) -> Endpoint:
    own, general = f"OTEL_EXPORTER_OTLP_{signal.upper()}", "OTEL_EXPORTER_OTLP"
    protocol = next(_set(f"{own}_PROTOCOL", f"{general}_PROTOCOL"), ("", "http/protobuf"))[1]
    default = f"http://localhost:{4317 if protocol == 'grpc' else 4318}"
    source, url = next(_set(f"{own}_ENDPOINT", f"{general}_ENDPOINT"), ("the default", default))
    return Endpoint(url, source, protocol, "" if source.startswith(own) else f"/v1/{signal}")


def _set(*names: str) -> Iterator[tuple[str, str]]:
    return ((name, os.environ[name]) for name in names if os.environ.get(name))


def _refusal(host: str, port: int, path: str) -> str:
    """Return how the server refuses an empty request, or an empty string."""
    connection = HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("POST", path, b"", {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
    except (OSError, HTTPException) as error:
        return f"it does not answer HTTP requests ({error})"
    finally:
        connection.close()
    kind = answer.getheader("Content-Type") or "no content type"
    # OTLP prescribes the type of the answer: others may accept anything.
    if answer.status in _NOT_OTLP or (answer.status < 300 and "protobuf" not in kind and "json" not in kind):
        return f"it answers {answer.status} {answer.reason}, with {kind}"
    return ""
