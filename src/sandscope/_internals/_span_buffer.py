"""A buffer for span data that the program writes before the recorder creates the exported span.

Not imported by the package itself, because it imports the SDK's traces, which programs without traces do not need.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits
from opentelemetry.trace import INVALID_SPAN_CONTEXT

_EMPTY_RESOURCE = Resource.get_empty()


class SpanBuffer(Span):
    """Keeps name, attributes, events, links and status by the SDK's rules. Never started or exported.

    Attributes:
        complete: whether the recorder has added the data of the execution's end.
    """

    def __init__(self, name: str, limits: SpanLimits) -> None:
        """Create an empty buffer.

        Args:
            name: the span's initial name.
            limits: the SDK's span limits.
        """
        self.complete = False
        super().__init__(name, INVALID_SPAN_CONTEXT, resource=_EMPTY_RESOURCE, limits=limits)

    @property
    def fields(self) -> dict[str, Any]:
        """Name, attributes, events, links and status, as `ReadableSpan` takes them."""
        return {
            "name": self.name,
            "status": self.status,
            # The SDK's internal collections also contain the number of dropped items; the public copies do not.
            "attributes": getattr(self, "_attributes", self.attributes),
            "events": getattr(self, "_events", self.events),
            "links": getattr(self, "_links", self.links),
        }
