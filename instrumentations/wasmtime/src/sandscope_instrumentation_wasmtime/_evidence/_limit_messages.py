"""The engine's messages about the limits of a store, with the numbers that they contain."""

from __future__ import annotations

import re
from typing import NamedTuple

from sandscope.instrumentation import Limit
from sandscope_instrumentation_wasmtime._evidence._engine_messages import engine_message

PAGE = 65536
"""Bytes of a page of memory."""


class LimitMessage(NamedTuple):
    """One message.

    Attributes:
        pattern: matches it; its group is the number that was requested.
        limit: the resource.
        argument: the argument of ``Store.set_limits`` that sets the limit.
        unit: what the number has to be multiplied by to be in the argument's unit.
    """

    pattern: re.Pattern[str]
    limit: Limit
    argument: str
    unit: int = 1


LIMIT_MESSAGES = (
    LimitMessage(
        re.compile(r"memory minimum size of (\d+) pages exceeds memory limits"),
        "memory",
        "memory_size",
        PAGE,
    ),
    LimitMessage(
        re.compile(r"table minimum size of (\d+) elements exceeds table limits"), "table", "table_elements"
    ),
    LimitMessage(
        re.compile(r"resource limit exceeded: instance count too high at (\d+)"), "instance", "instances"
    ),
    LimitMessage(
        re.compile(r"resource limit exceeded: memory count too high at (\d+)"), "memory", "memories"
    ),
    LimitMessage(re.compile(r"resource limit exceeded: table count too high at (\d+)"), "table", "tables"),
)


def is_limit_message(error: BaseException) -> bool:
    """Return whether an exception says that an instantiation exceeds a limit of the store."""
    message = engine_message(error)
    return any(each.pattern.match(message) for each in LIMIT_MESSAGES)
