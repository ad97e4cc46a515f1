"""What instrumentations and programs add to an execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from sandscope._metric import Metric
from sandscope._verdict import Verdict

Value: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[int, ...]"

Measurement: TypeAlias = "tuple[Metric, float, Mapping[str, Value] | None]"
"""A metric, a value in the metric's unit, and attributes whose values come from closed sets."""


class Event(NamedTuple):
    """An event inside an execution; ``time`` is in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Mapping[str, Value]


OnEnd: TypeAlias = "Callable[[Verdict, int], object]"
"""A callback that receives the execution's verdict and its end time in nanoseconds since the epoch."""


class Details:
    """Optional data of an execution, created only when needed.

    Attributes:
        attributes: attributes of the span and the log record, in addition to the site's.
        measurements: values of the runtime's own metrics.
        events: events of the span.
        error_type: the class of the exception that ended the execution.
        error_message: the message of that exception, truncated.
        explanation: the span's status description, if it is not the verdict's cause.
        stack_trace: the stack of the code that ran when the execution failed, truncated.
        written: the recorder's buffer for span data that the program has written.
        on_end: callbacks for the end of the execution.
    """

    __slots__ = (
        "attributes",
        "error_message",
        "error_type",
        "events",
        "explanation",
        "measurements",
        "on_end",
        "stack_trace",
        "written",
    )

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.measurements: dict[Metric, float] = {}
        self.events: list[Event] = []
        self.error_type: str | None = None
        self.error_message = ""
        self.explanation: str | None = None
        self.stack_trace: str | None = None
        self.written: Any = None
        self.on_end: list[OnEnd] = []


class SharedDetails(Details):
    """Attributes that many executions share, such as the number of their sandbox.

    Immutable. When an execution needs its own details, attributes and measurements are copied into them.

    Attributes:
        keys: the attributes' names; the same for all objects of a class.
        numbers: the attributes' values.
        skip: the number of calls until one is measured; negative if none is measured.
        running: whether a call that is measured is running. Calls inside it are not measured.
    """

    __slots__ = ()

    keys: tuple[str, ...]
    numbers: tuple[int, ...]
    skip: int = -1
    running: bool = False
    measurements: Any = MappingProxyType({})  # these class attributes replace the slots of `Details`
    events: Any = ()
    on_end: Any = ()
    error_type = explanation = stack_trace = written = None
    error_message = ""

    @property
    def attributes(self) -> dict[str, Any]:  # type: ignore[override]
        """The attributes as a dictionary."""
        return dict(zip(self.keys, self.numbers, strict=True))
