"""Drops messages that OpenTelemetry logs about what Sandscope does on purpose or reports itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def dropped_messages(*loggers: str, level: int = logging.WARNING) -> Iterator[None]:
    """Drop the messages of loggers.

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
