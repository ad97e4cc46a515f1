"""Drops messages that OpenTelemetry logs about what Sandscope does on purpose or reports itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sandscope._errors import SandscopeError
from sandscope._say import say

_STARTER = "opentelemetry.instrumentation.auto_instrumentation"
_LOADER = f"{_STARTER}._load"
_VIEWS = "opentelemetry.sdk.metrics._internal.metric_reader_storage"

_said: list[SandscopeError] = []


@contextmanager
def dropped_messages(*loggers: str, level: int = logging.WARNING) -> Iterator[None]:
    """Drop the messages of loggers in the ``with`` block.

    Args:
        loggers: the loggers' names.
        level: the level from which on messages are dropped.
    """

    def is_below(record: logging.LogRecord) -> bool:
        return record.levelno < level

    found = [logging.getLogger(name) for name in loggers]
    for logger in found:
        logger.addFilter(is_below)
    try:
        yield
    finally:
        for logger in found:
            logger.removeFilter(is_below)


def drop_other_configurators() -> None:
    """Drop the warning that another package's configurator is not used, from now on."""
    logging.getLogger(_LOADER).addFilter(_is_about_nothing_else)


def shorten_own_errors() -> None:
    """Say one line about an error that the user can correct, from now on, where a traceback would be logged."""
    for name in (_STARTER, _LOADER):
        logging.getLogger(name).addFilter(_is_no_own_error)


def drop_conflicts_between_scopes() -> None:
    """Drop the warning that a view conflicts with itself, from now on.

    The SDK logs it for metrics of the same name in different scopes. All instrumentations have the common metrics.
    """
    logging.getLogger(_VIEWS).addFilter(_is_between_two_views)


def _is_about_nothing_else(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Configuration of %s not loaded")


def _is_no_own_error(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, SandscopeError):
        return True
    if error not in _said:  # each of OpenTelemetry's functions on the way logs it
        _said.append(error)
        say(f"sandscope: {error} The program runs without instrumentation.")
    return False


def _is_between_two_views(record: logging.LogRecord) -> bool:
    is_conflict = str(record.msg).endswith("will cause conflicting metrics identities")
    return not (is_conflict and isinstance(record.args, tuple) and record.args[0] is record.args[-1])
