"""The state of a guest's telemetry in one execution: open spans, and the number of spans and log records."""

from __future__ import annotations

from typing import TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from sandscope._verdict import Verdict

Handle: TypeAlias = "int | str"
"""Identifies a span of a guest: the number that Sandscope returned, or the guest's own id."""


class OpenSpans:
    """The open spans of one execution.

    Attributes:
        spans: the number of spans that were started.
        logs: the number of log records that were emitted.
        open: the open spans by handle, the oldest first.
        keys: the names of the attributes of open spans, by handle; by 0, those of the execution.
    """

    __slots__ = ("keys", "logs", "open", "spans")

    def __init__(self) -> None:
        self.spans = self.logs = 0
        self.open: dict[Handle, Span] = {}
        self.keys: dict[Handle, set[str]] = {0: set()}

    def add(self, span: Span, handle: str | None = None) -> int:
        """Add a started span and return its number."""
        self.spans += 1
        which: Handle = self.spans if handle is None else handle
        self.open[which] = span
        self.keys[which] = set()
        return self.spans

    def innermost(self) -> Handle:
        """Return the handle of the innermost open span, or 0."""
        return next(reversed(self.open), 0)

    def inside(self, context: Context) -> Context:
        """Return the context with the innermost open span as the current span, if there is one."""
        handle = self.innermost()
        return set_span_in_context(self.open[handle], context) if handle else context

    def end(self, handle: Handle, end_time: int | None = None) -> None:
        """End an open span, now or at ``end_time`` (nanoseconds since the epoch)."""
        del self.keys[handle]
        self.open.pop(handle).end(end_time)

    def __call__(self, verdict: Verdict, end_time: int) -> None:
        """End the spans that are still open at the end of the execution, with an error status.

        Args:
            verdict: the verdict of the execution.
            end_time: the end of the execution, in nanoseconds since the epoch.
        """
        cause = "unfinished" if verdict.status == "OK" else verdict.cause
        while self.open:
            handle = self.innermost()
            self.open[handle].set_status(Status(StatusCode.ERROR, cause))
            self.end(handle, end_time)
