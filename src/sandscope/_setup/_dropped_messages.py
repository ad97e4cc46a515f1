"""Drops messages that OpenTelemetry logs about what Sandscope does on purpose or reports itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOADER = "opentelemetry.instrumentation.auto_instrumentation._load"
_VIEWS = "opentelemetry.sdk.metrics._internal.metric_reader_storage"


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


def drop_conflicts_between_scopes() -> None:
    """Drop the warning that a view conflicts with itself, from now on.

    The SDK logs it for metrics of the same name in different scopes. All instrumentations have the common metrics.
    """
    logging.getLogger(_VIEWS).addFilter(_is_between_two_views)


def _is_about_nothing_else(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Configuration of %s not loaded")


def _is_between_two_views(record: logging.LogRecord) -> bool:
    is_conflict = str(record.msg).endswith("will cause conflicting metrics identities")
    return not (is_conflict and isinstance(record.args, tuple) and record.args[0] is record.args[-1])
