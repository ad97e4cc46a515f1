"""The one domain object: a run of code in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from sandscope._metric import Metric
from sandscope._verdict import MISSING_EVIDENCE, Verdict

Value: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[int, ...]"


def _unknown(_error: BaseException) -> Verdict:
    return MISSING_EVIDENCE


@dataclass(frozen=True, eq=False)
class Site:
    """What is known of an execution before it starts; made once for each patched function or program.

    Attributes:
        runtime: ``wasmtime``, ``subprocess`` or ``torch``.
        operation: from the closed set of ``sandbox.operation``.
        name: the span's name.
        kind: the span's kind.
        attributes: constant attributes of span and log record.
        verdict_of: the verdict for an exception that ended the execution.
    """

    runtime: str
    operation: str
    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict)
    verdict_of: Callable[[BaseException], Verdict] = _unknown


class Event(NamedTuple):
    """Something that happened inside an execution, at ``time`` (nanoseconds since 1970)."""

    name: str
    time: int
    attributes: Mapping[str, Value]


class Execution:
    """One run: an instrumentation fills it in, a recorder turns it into the three signals.

    Attributes:
        site: what was known before.
        context: the context that code inside the execution sees; goes into children.
        start_time: nanoseconds since 1970.
        end_time: nanoseconds since 1970, or None while it runs.
        verdict: None while it runs.
        attributes: attributes of this one run, for span and log record.
        measurements: values of the runtime's own metrics.
        events: what happened inside.
        error: the exception that ended it, if one did.
        token: the recorder's own: what it needs to end the execution.
    """

    __slots__ = (
        "attributes",
        "context",
        "end_time",
        "error",
        "events",
        "measurements",
        "site",
        "start_time",
        "token",
        "verdict",
    )

    def __init__(self, site: Site, context: Context, start_time: int) -> None:
        self.site = site
        self.context = context
        self.start_time = start_time
        self.end_time: int | None = None
        self.verdict: Verdict | None = None
        self.attributes: dict[str, Value] = {}
        self.measurements: dict[Metric, float] = {}
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.token: object = None

    @property
    def duration(self) -> float:
        """Seconds from start to end; 0 while it runs."""
        return 0.0 if self.end_time is None else max(0, self.end_time - self.start_time) / 1e9
