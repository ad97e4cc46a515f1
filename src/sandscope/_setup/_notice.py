"""Replaces the exporters' repeated log messages with one line on stderr for each outage, and one for its end."""

from __future__ import annotations

import functools
import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

from sandscope import _internals, _settings
from sandscope._locks import new_lock
from sandscope._say import say

_EXPORTERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
_CLASSES = {
    "trace_exporter": "OTLPSpanExporter",
    "metric_exporter": "OTLPMetricExporter",
    "_log_exporter": "OTLPLogExporter",
}
_REASONS = (
    re.compile(r"certificate verify failed: [^(']+(?<=\w)|alert [a-z ]+(?<=\w)(?= \()|UNAUTHENTICATED"),
    re.compile("EOF occurred in violation of protocol|Connection reset by peer|Broken pipe"),
    re.compile(r"Connection refused|[Tt]imed? ?out|Name or service not known|code: \d+, reason: [^,]+"),
    re.compile(r"(?<=Transient error ).+(?= encountered)"),
)
"""What to show of a message; the first that is found."""
_ADVICE = {
    "expired": "Renew the Collector's certificate: `sandscope collector certificates --renew`",
    "verify failed": "Set OTEL_EXPORTER_OTLP_CERTIFICATE to the certificate of the Collector's authority",
    "alert": "Set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY to what it accepts",
    **dict.fromkeys(
        (
            "EOF",
            "reset",
            "pipe",
        ),  # what a program sees that sends before the Collector has refused its certificate
        "The Collector may expect OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY",
    ),
    "401": "Set OTEL_EXPORTER_OTLP_HEADERS to the Collector's token",
    "UNAUTHENTICATED": "Set OTEL_EXPORTER_OTLP_HEADERS to the Collector's token",
    "UNAVAILABLE": "Start it, or set OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY",
}
"""What to do about a reason that contains this; of an address with TLS only."""
_INSTEAD_OF_CERTIFICATE = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_KEPT = re.compile(r", kept in (.+)", re.DOTALL)
"""What the spool adds to a message."""
_NO_PIPELINE = re.compile(r"Failed to export (\w+) (?:batch code: (404),|.*\b(UNIMPLEMENTED)\b)", re.DOTALL)
"""How a server answers that has no place for a signal: over HTTP, and over gRPC."""
_BETWEEN = 60.0
"""Seconds between two notices: an endpoint that comes and goes must not fill the terminal."""

Signal = Literal["traces", "metrics", "logs"]
_EXPORTED_BY: dict[Signal, str] = {
    "traces": "OTLPSpanExporter",
    "metrics": "OTLPMetricExporter",
    "logs": "OTLPLogExporter",
}


class _Outage:
    """Whether the endpoint fails, as the user has been told."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._exporting = threading.local()
        self._failing: dict[str, float] = {}
        self._told = self._told_waiting = False
        self._last = -_BETWEEN

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the exporters' warnings and errors. Print a notice for the first one of an outage."""
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        with self._lock:
            self._failing[getattr(self._exporting, "signal", record.name)] = now
            is_new = not self._told and now >= self._last + _BETWEEN
            if is_new:
                self._told, self._last = True, now
        if is_new:
            say(_notice(record.getMessage()))
        return False

    def failed_at(self, exporter: str) -> float:
        """Return the time of the last failure of an exporter's class that has not delivered since, or -infinity."""
        with self._lock:
            return self._failing.get(exporter, -math.inf)

    def tell_waiting(self, signals: Sequence[Signal], seconds: float) -> None:
        """See `tell_waiting`."""
        with self._lock:
            is_told = self._told or self._told_waiting
            self._told_waiting = True
        if not is_told:
            say(
                f"sandscope: Waiting up to {seconds:.0f} s for {_endpoint()} to accept {' and '.join(signals)}. "
                f"To wait less, set {_settings.EXIT_TIMEOUT} to fewer seconds than {_settings.exit_timeout():g}."
            )

    def watch(self, exporter: type[Any]) -> None:
        """Notice what the exporters of a class deliver."""
        export, signal = exporter.export, exporter.__name__
        if hasattr(export, "__wrapped__"):
            return

        @functools.wraps(export)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._exporting.signal = signal
            result = export(*args, **kwargs)
            if self._failing and getattr(result, "name", "") == "SUCCESS" and not _internals.was_kept():
                self._delivered(signal)
            return result

        exporter.export = watched

    def _delivered(self, signal: str) -> None:
        with self._lock:
            self._failing.pop(signal, None)
            over = self._told and not self._failing
            if over:
                self._told = False
        if over:
            say(f"sandscope: Telemetry is delivered again to {_endpoint()}.")


_outage = _Outage()


def install() -> None:
    """Filter the exporters' log messages, and notice when they deliver again."""
    for name in _EXPORTERS:
        logging.getLogger(name).addFilter(_outage)
    for transport in ("http", "grpc"):
        for kind, exporter in _CLASSES.items():
            module = sys.modules.get(f"opentelemetry.exporter.otlp.proto.{transport}.{kind}")
            if hasattr(module, exporter):
                _outage.watch(getattr(module, exporter))


def failed_at(signal: Signal) -> float:
    """Return the time of a signal's last failed export, by `time.monotonic`; -infinity if it has delivered since."""
    return _outage.failed_at(_EXPORTED_BY[signal])


def tell_waiting(signals: Sequence[Signal], seconds: float) -> None:
    """Say once that the program's exit waits for exports, unless the user knows that the endpoint fails.

    Args:
        signals: the signals that are being exported.
        seconds: the maximum time that is left.
    """
    _outage.tell_waiting(signals, seconds)


def signal_of(provider: Any) -> Signal:
    """Return the signal of an SDK provider. Does not import the SDK."""
    names = {base.__name__ for base in type(provider).__mro__}
    return "metrics" if "MeterProvider" in names else "traces" if "TracerProvider" in names else "logs"


def _endpoint() -> str:
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "the local Collector"


def _notice(message: str) -> str:
    refused = _NO_PIPELINE.search(message)
    if refused:
        signal, answer = refused[1].replace("spans", "traces"), refused[2] or refused[3]
        return (
            f"sandscope: Cannot deliver {signal} to {_endpoint()}: a server answers there, but takes no {signal} "
            f"({answer}). The program is not affected. If it is a Collector, give it a pipeline for {signal}; "
            "`sandscope collector run` starts one that takes all signals."
        )
    kept = _KEPT.search(message)
    message = message[: kept.start()] if kept else message
    reason = next((found for found in (reason.search(message) for reason in _REASONS) if found), None)
    why = reason.group() if reason else message[:200]
    advice = "Start a Collector with `sandscope collector run`, or set OTEL_EXPORTER_OTLP_ENDPOINT to yours"
    if _endpoint().startswith("https:"):
        advice = next((advice for part, advice in _ADVICE.items() if part in why), advice)
        others = [name for name in _INSTEAD_OF_CERTIFICATE if os.environ.get(name)]
        if (
            "verify failed" in why and others
        ):  # requests takes these instead of the certificate of the exporter
            advice += f", and unset {' and '.join(others)}"
    return (
        f"sandscope: Cannot deliver telemetry to {_endpoint()}: {why}. The program is not affected. "
        f"{f'What it records is kept in {kept[1]}, and sent later. ' if kept else ''}{advice}."
    )
