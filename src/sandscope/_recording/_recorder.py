"""What an instrumentation needs of a recorder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span

from sandscope._execution import Execution, Severity, Site, Value
from sandscope._metric import Metric
from sandscope._scope import Scope


class Recorder(Protocol):
    """Turns executions into spans, metrics and log records. No method raises.

    Attributes:
        scope: whose telemetry it is.
    """

    scope: Scope

    def begin(self, site: Site) -> Execution | None:
        """Start an execution now; one that is current is to be ended on the thread that began it.

        Returns:
            None where instrumentation is suppressed. Never raises.
        """

    def wrap_method(self, method: Callable[..., Any], attribute: str, default: Site) -> Callable[..., Any]:
        """Return what to patch a method with, so that each call is an execution.

        Args:
            method: a function whose first argument is the instance.
            attribute: of the instance; holds its site.
            default: the site of instances without that attribute.
        """

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """Add a value of a metric that belongs to no execution; cheap, also in finalisers.

        Args:
            metric: of the runtime's own.
            value: in the metric's unit.
            attributes: with values of closed sets.
        """

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Emit a log record now; not in a finaliser.

        Args:
            name: of the event.
            body: one line for a human reader.
            severity: how bad it is.
            attributes: of the record.
            execution: in whose trace it is; by default, in the current one.
        """

    def start_span(self, name: str, parent: Context, attributes: Mapping[str, Value]) -> Span:
        """Start a span beside the executions' own; whoever starts it ends it.

        Args:
            name: of the span.
            parent: the context that it is a child in.
            attributes: from its start.
        """


Begin = Callable[[Site], "Execution | None"]


def recording(begin: Begin, site: Site, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function as one execution: what every wrapper comes down to."""
    execution = begin(site)
    if execution is None:
        return function(*args, **kwargs)
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        execution.fail(error)
        raise
    execution.finish()
    return result


def recording_nothing(_site: Site) -> None:
    """Begin no execution."""
