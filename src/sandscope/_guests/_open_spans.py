"""What a guest has emitted in one execution so far, and the spans that it has left open."""

from __future__ import annotations

from typing import TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from sandscope._verdict import Verdict

Handle: TypeAlias = "int | str"
"""What a guest calls a span: the number that it was given, or an id of its own. Of no use elsewhere."""


class OpenSpans:
    """The spans that are open, and how many there have been.

    Attributes:
        spans: started so far.
        logs: log records so far.
        open: by handle, the oldest first.
        keys: by handle of an open span, the names of its attributes.
    """

    __slots__ = ("keys", "logs", "open", "spans")

    def __init__(self) -> None:
        self.spans = self.logs = 0
        self.open: dict[Handle, Span] = {}
        self.keys: dict[Handle, set[str]] = {}

    def add(self, span: Span, handle: str | None = None) -> int:
        """Take a span that has started, and return its number."""
        self.spans += 1
        which: Handle = self.spans if handle is None else handle
        self.open[which] = span
        self.keys[which] = set()
        return self.spans

    def innermost(self) -> Handle:
        """Return the handle of the open span that was started last, or 0."""
        return next(reversed(self.open), 0)

    def inside(self, context: Context) -> Context:
        """Return a context with that span in place of the execution's, if there is one."""
        handle = self.innermost()
        return set_span_in_context(self.open[handle], context) if handle else context

    def end(self, handle: Handle, end_time: int | None = None) -> None:
        """End an open span, now or at a time (nanoseconds since 1970)."""
        del self.keys[handle]
        self.open.pop(handle).end(end_time)

    def __call__(self, verdict: Verdict, end_time: int) -> None:
        """End what is still open as failed: the execution has ended.

        Args:
            verdict: on the execution.
            end_time: of the execution; nanoseconds since 1970.
        """
        cause = "unfinished" if verdict.status == "OK" else verdict.cause
        while self.open:
            handle = self.innermost()
            self.open[handle].set_status(Status(StatusCode.ERROR, cause))
            self.end(handle, end_time)
