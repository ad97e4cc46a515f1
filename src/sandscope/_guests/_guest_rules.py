"""What guests may send, how much of it, and what they are told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from opentelemetry._logs import SeverityNumber

from sandscope._execution import Severity

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}", re.ASCII)


class Refusal(IntEnum):
    """Why something was not taken; the number is the guest's answer."""

    ADDRESS = -1
    INVALID = -2
    LIMIT = -3
    OFF = -4


@dataclass(frozen=True)
class GuestLimits:
    """How much the guest of one execution may emit.

    Attributes:
        spans: in all.
        open_spans: at a time.
        attributes: of one span.
        logs: log records.
        name: characters of a span's name; the rest is cut off.
        value: characters of an attribute's value, likewise.
        body: characters of a log record's text, likewise.
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
        """Bytes of a text that are worth reading."""
        return 4 * max(self.name, self.value, self.body)


def text_of(data: bytes | str, most: int) -> str:
    """Return what can be read of a text, and no more than ``most`` characters."""
    if isinstance(data, str):
        data = data[:most].encode("utf-8", "replace")
    return data[: 4 * most].decode("utf-8", "replace")[:most]


def name_of(data: bytes | str) -> str | None:
    """Return a name that keeps to the rule, or None: one that is cut would be another's."""
    text = data if isinstance(data, str) else data.decode("latin-1")
    return text if _NAME.fullmatch(text) else None


def severity_of(number: int) -> Severity:
    """Return the word for OpenTelemetry's number."""
    if number < SeverityNumber.INFO.value:
        return "DEBUG"
    if number < SeverityNumber.WARN.value:
        return "INFO"
    return "WARN" if number < SeverityNumber.ERROR.value else "ERROR"
