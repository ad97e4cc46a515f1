"""Rules for the telemetry of guests: valid names, limits, and reasons for a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from opentelemetry._logs import SeverityNumber

from sandscope._execution import Severity

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}", re.ASCII)


class Refusal(IntEnum):
    """Why telemetry was refused. The value is returned to the guest."""

    ADDRESS = -1
    INVALID = -2
    LIMIT = -3
    OFF = -4


@dataclass(frozen=True)
class GuestLimits:
    """Limits of the telemetry that a guest may emit in one execution.

    Attributes:
        spans: the number of spans.
        open_spans: the number of spans that are open at the same time.
        attributes: the number of attributes of a span.
        logs: the number of log records.
        name: the length of a span's name in characters; longer names are truncated.
        value: the length of an attribute's value in characters; longer values are truncated.
        body: the length of a log record's body in characters; longer bodies are truncated.
    """

    spans: int = 1000
    open_spans: int = 64
    attributes: int = 32
    logs: int = 1000
    name: int = 128
    value: int = 1024
    body: int = 4096

    @property
    def text(self) -> int:
        """The maximum number of bytes to read of any text."""
        return 4 * max(self.name, self.value, self.body)


def text_of(data: bytes | str, max_length: int) -> str:
    """Return a text, truncated to ``max_length`` characters; invalid UTF-8 is replaced."""
    if isinstance(data, str):
        data = data[:max_length].encode("utf-8", "replace")
    return data[: 4 * max_length].decode("utf-8", "replace")[:max_length]


def name_of(data: bytes | str) -> str | None:
    """Return a valid name, or None. Names are not truncated, as two names could become the same."""
    text = data if isinstance(data, str) else data.decode("latin-1")
    return text if _NAME.fullmatch(text) else None


def severity_of(number: int) -> Severity:
    """Return the severity for OpenTelemetry's severity number."""
    if number < SeverityNumber.INFO.value:
        return "DEBUG"
    if number < SeverityNumber.WARN.value:
        return "INFO"
    return "WARN" if number < SeverityNumber.ERROR.value else "ERROR"
