"""The limit that explains a child's end, and how much was used of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandscope.instrumentation import Limit, Value, limit_attributes

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._child import Child
    from sandscope_instrumentation_subprocess._evidence import Evidence


def attributes_of(limit: Limit, child: Child, evidence: Evidence | None) -> dict[str, Value]:
    """Return the attributes of a `RESOURCE` event, with the numbers that are known.

    Args:
        limit: that the verdict names.
        child: has ended.
        evidence: of the end, if it was collected.
    """
    if limit == "wall":
        waited = child.timeouts[-1].waited if child.timeouts else None
        return limit_attributes(limit, given=_milliseconds(waited))
    if evidence is None:
        return limit_attributes(limit)
    limits = evidence.zombie.limits
    if limit == "cpu":
        given = limits.cpu if evidence.cpu_limit is None else evidence.cpu_limit
        return limit_attributes(limit, _milliseconds(evidence.zombie.cpu_time), _milliseconds(given))
    if limit == "memory" and limits.memory is not None:
        return limit_attributes(limit, evidence.memory.address_space, limits.memory)
    return limit_attributes(limit, given=limits.output if limit == "output" else None)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)
