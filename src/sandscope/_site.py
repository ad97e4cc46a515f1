"""What is known of an execution before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.trace import SpanKind

from sandscope._verdict import MISSING_EVIDENCE, Verdict

if TYPE_CHECKING:
    from sandscope._execution import Execution

Value: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[int, ...]"


def _unknown(_error: BaseException) -> Verdict:
    return MISSING_EVIDENCE


@dataclass(frozen=True, eq=False)
class Site:
    """One patched function or program; made once, shared by all its executions.

    Attributes:
        runtime: ``wasmtime``, ``subprocess`` or ``torch``.
        operation: from the closed set of ``sandbox.operation``.
        name: the span's name.
        kind: the span's kind.
        attributes: constant attributes of span and log record.
        verdict_of: the verdict for an exception that ended the execution.
        current: make an execution current on its thread while it runs, so that spans inside become its
            children. Needless where nothing inside can call back into Python.
        traced: has a span and a log record; otherwise it is only counted, and never current.
        failed: called with an execution that an exception is about to end, the verdict and the exception.
    """

    runtime: str
    operation: str
    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict)
    verdict_of: Callable[[BaseException], Verdict] = _unknown
    current: bool = True
    traced: bool = True
    failed: Callable[[Execution, Verdict, BaseException], None] | None = None

    def __post_init__(self) -> None:
        """Let what has no span never be current."""
        if not self.traced:
            object.__setattr__(self, "current", False)
