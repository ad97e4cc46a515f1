"""A span of the SDK's that keeps what is written on it, for a recorder that makes the rest of it later.

Not imported by the package itself: it needs the SDK's traces, which a program without traces never loads.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits
from opentelemetry.trace import INVALID_SPAN_CONTEXT

_NOBODY = Resource.get_empty()


class SpanBuffer(Span):
    """Name, attributes, events, links and status, by the SDK's rules; it is neither started nor exported.

    Attributes:
        complete: nothing more is to be written.
    """

    def __init__(self, name: str, limits: SpanLimits) -> None:
        """Begin with nothing written.

        Args:
            name: until it is renamed.
            limits: of what is kept.
        """
        self.complete = False
        super().__init__(name, INVALID_SPAN_CONTEXT, resource=_NOBODY, limits=limits)

    @property
    def fields(self) -> dict[str, Any]:
        """Name, attributes, events, links and status, as `ReadableSpan` takes them."""
        return {
            "name": self.name,
            "status": self.status,
            # The SDK's own collections know what they have dropped; the public ones do not.
            "attributes": getattr(self, "_attributes", self.attributes),
            "events": getattr(self, "_events", self.events),
            "links": getattr(self, "_links", self.links),
        }
