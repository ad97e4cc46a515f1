"""A program's own logs, joined to traces: lines of JSON with the ids of the trace, and the same records by OTLP.

    from sandscope import logs

    logs.configure()                                    # of `logging`
    structlog.configure(**logs.structlog_settings())    # of structlog

A record that is written while an execution runs, or inside any other span, has its ``trace_id`` and ``span_id``.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, TextIO

from sandscope import _guard
from sandscope._errors import SandscopeError

__all__ = ["JsonFormatter", "OtlpHandler", "add_trace", "configure", "structlog_settings"]

_OWN = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""What every record of `logging` has. The rest is what the program has passed as ``extra``."""
_SEVERITIES = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
"""The severity numbers of OpenTelemetry."""
_TEXTS = {"warning": "WARN", "critical": "FATAL"}
_NOT_SENT = ("opentelemetry", "sandscope")
"""Loggers about sending: a record of theirs that was sent would lead to the next."""
_MAX_LENGTH = 4096
"""In characters, of a value that is not a number."""

_is_sending: ContextVar[bool] = ContextVar("sandscope_is_sending", default=False)


def configure(level: int | str = logging.INFO, *, stream: TextIO | None = None, send: bool = True) -> None:
    """Write the records of `logging` as lines of JSON, and send them by OTLP. Replaces the root logger's handlers.

    Args:
        level: the minimum level of a record.
        stream: where the lines go; standard error by default.
        send: whether they are sent, too. They are not sent twice, if another handler of OpenTelemetry does so.
    """
    lines = logging.StreamHandler(stream)
    lines.setFormatter(JsonFormatter())
    root = logging.getLogger()
    is_sent = False
    # Not `basicConfig`, which gives every handler a format, also those of OpenTelemetry.
    for handler in list(root.handlers):
        if type(handler).__module__.startswith("opentelemetry."):
            is_sent = True
        else:
            root.removeHandler(handler)
            handler.close()
    root.addHandler(lines)
    if send and not is_sent:
        root.addHandler(OtlpHandler())
    root.setLevel(level)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line: ``timestamp``, ``level``, ``logger``, ``event``, the trace, and what is `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        fields = {
            "timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return _line(add_trace(None, "", fields))


class OtlpHandler(logging.Handler):
    """Sends records by OTLP, with the loggers of the global provider."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record. Never raises."""
        if record.name.partition(".")[0] not in _NOT_SENT:
            when, level = int(record.created * 1e9), record.levelname.lower()
            error = record.exc_info[1] if record.exc_info else None
            _send(record.name, level, record.getMessage, _extra(record), error=error, when=when)


def structlog_settings(level: int = logging.INFO, *, send: bool = True) -> dict[str, Any]:
    """Return what `structlog.configure` needs to write lines of JSON on standard output, and to send them by OTLP.

    Args:
        level: the minimum level of an event.
        send: whether they are sent, too.

    Raises:
        SandscopeError: if structlog is not installed.
    """
    try:
        import structlog
    except ModuleNotFoundError as error:
        raise SandscopeError(f"Cannot set up structlog: {error}. Run `pip install structlog`.") from error
    processors = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.StackInfoRenderer(),
        *([_send_event] if send else []),
        structlog.processors.format_exc_info,
        add_trace,
        structlog.processors.JSONRenderer(serializer=lambda fields, **_: _line(fields)),
    ]
    return {
        "processors": processors,
        "wrapper_class": structlog.make_filtering_bound_logger(level),
        "logger_factory": structlog.PrintLoggerFactory(),
        "cache_logger_on_first_use": True,
    }


def add_trace(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add ``trace_id`` and ``span_id`` of the current span, if there is one: a processor of structlog."""
    try:
        from opentelemetry import trace

        identity = trace.get_current_span().get_span_context()
        if identity.is_valid:
            fields["trace_id"] = f"{identity.trace_id:032x}"
            fields["span_id"] = f"{identity.span_id:016x}"
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("logs.trace", error)
    return fields


def _send_event(logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    left_out = {"event", "level", "timestamp", "exc_info", "stack"}
    extra = {name: value for name, value in fields.items() if name not in left_out}
    event, level = fields.get("event", ""), str(fields.get("level", method))
    _send(
        "structlog",
        level,
        lambda: str(event),
        extra,
        error=_error(fields.get("exc_info")),
        when=time.time_ns(),
    )
    return fields


def _error(told: object) -> BaseException | None:
    """Return the exception that ``exc_info`` of structlog is about: it, a triple, or the current one."""
    if isinstance(told, BaseException):
        return told
    if isinstance(told, tuple) and len(told) == 3:
        return told[1] if isinstance(told[1], BaseException) else None
    return sys.exc_info()[1] if told else None


def _send(
    name: str,
    level: str,
    text: Callable[[], str],
    extra: Mapping[str, Any],
    *,
    error: BaseException | None,
    when: int,
) -> None:
    if _is_sending.get():
        return
    token = _is_sending.set(True)
    try:
        from opentelemetry import _logs
        from opentelemetry._logs import SeverityNumber

        attributes = {key: _attribute(value) for key, value in extra.items()}
        if error is not None:
            attributes["exception.type"] = type(error).__qualname__
            attributes["exception.message"] = _text(error)
            attributes["exception.stacktrace"] = _stack(error, error.__traceback__)
        _logs.get_logger(name).emit(
            timestamp=when,
            severity_number=SeverityNumber(_SEVERITIES.get(level, 9)),
            severity_text=_TEXTS.get(level, level.upper()),
            body=_text(text()),
            attributes=attributes,
        )
    except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("logs.emit", broken)
    finally:
        _is_sending.reset(token)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _attribute(value: object) -> Any:
    return value if isinstance(value, (bool, int, float)) else _text(value)


def _stack(error: BaseException, traceback: TracebackType | None) -> str:
    return logging.Formatter().formatException((type(error), error, traceback))


def _text(value: object) -> str:
    """Return a value as text that can be sent, whatever its class does."""
    try:
        return str(value)[:_MAX_LENGTH].encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 -- a program's class may do anything
        return f"<{type(value).__qualname__}>"


def _line(fields: Mapping[str, Any]) -> str:
    """Return one line of valid JSON, whatever the program has passed."""
    try:
        return json.dumps(fields, default=_text, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # NaN, a circle, a key that is not a string
        return json.dumps(
            {
                str(name): value if isinstance(value, (str, bool, int)) else _text(value)
                for name, value in fields.items()
            }
        )
