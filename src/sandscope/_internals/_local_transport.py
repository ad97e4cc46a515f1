"""An HTTP transport for the SDK's OTLP exporters and a Collector on this machine."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from typing import cast
from urllib.parse import urlsplit

from opentelemetry.exporter.http.transport._base import BaseHTTPResult, BaseHTTPTransport


@dataclass(frozen=True, slots=True)
class _Result(BaseHTTPResult):
    """A response that was read completely."""

    body: bytes = b""
    message: HTTPMessage = field(default_factory=HTTPMessage)

    def content(self) -> bytes:
        """See `BaseHTTPResult`."""
        return self.body

    def headers(self) -> Mapping[str, str]:
        """See `BaseHTTPResult`."""
        return cast("Mapping[str, str]", self.message)  # case-insensitive, and has every method of a mapping


def _connect(address: tuple[str, int], timeout: float | None) -> socket.socket:
    """Connect, with a file descriptor above 2.

    A program may close its standard streams for a moment. If the connection took the place of one, the program could
    not open the stream again, or closing the connection would close the stream.
    """
    host, port = address
    # As bytes: for text, `socket` imports a codec, whose import lock a fork at that moment would leave locked.
    connection = socket.create_connection((cast(str, host.encode()), port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `HTTPConnection.connect`
    if connection.fileno() > 2:
        return connection
    with connection:
        above = socket.socket(fileno=fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, 3))
    above.settimeout(timeout)
    return above


class LocalTransport(BaseHTTPTransport):
    """Opens a connection for each request. On this machine this takes 0.1 ms, and a forked child shares none."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        data: bytes | None = None,
    ) -> BaseHTTPResult:
        """See `BaseHTTPTransport`."""
        parts = urlsplit(url)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.sock = _connect((connection.host, connection.port), timeout)
            connection.request(method, path, data, {**(headers or {}), "Connection": "close"})
            response = connection.getresponse()
            return _Result(response.status, response.reason, None, response.read(), response.headers)
        except Exception as error:  # noqa: BLE001 -- the exporter decides whether to try again
            return _Result(error=error)
        finally:
            connection.close()

    def close(self) -> None:
        """Do nothing: no connection is open between requests."""

    def is_connection_error(self, exception: Exception | None) -> bool:
        """See `BaseHTTPTransport`."""
        return isinstance(exception, (OSError, HTTPException))
