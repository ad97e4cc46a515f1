"""What an instrumentation needs of a recorder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span

from sandscope._execution import Execution, Measurement, Severity, SharedDetails, Site, Value
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

    def wrap_method(
        self, method: Callable[..., Any], attribute: str, default: Site, shared: str | None = None
    ) -> Callable[..., Any]:
        """Return what to patch a method with, so that each call is an execution.

        Args:
            method: a function whose first argument is the instance.
            attribute: of the instance; holds its site.
            default: the site of instances without that attribute.
            shared: an attribute of the second argument; holds the `SharedDetails` of executions with it.
        """

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """Add a value of a metric that belongs to no execution; cheap, also in finalisers.

        Args:
            metric: of the runtime's own.
            value: in the metric's unit.
            attributes: with values of closed sets.
        """

    def measure_all(self, measurements: tuple[Measurement, ...]) -> None:
        """Add several values as `measure` does; no dearer than one, also in finalisers."""

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


def sharing(begin: Begin, details: SharedDetails) -> Begin:
    """Return what begins executions with shared details."""

    def begin_sharing(site: Site) -> Execution | None:
        execution = begin(site)
        if execution is not None:
            execution.details = details  # type: ignore[misc] # a slot of each recorder's class
        return execution

    return begin_sharing


def details_shared_by(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], attribute: str | None
) -> SharedDetails | None:
    """Return the details that executions with the same second argument of a method share, or None.

    Args:
        args: of the method.
        kwargs: of the method.
        attribute: see `Recorder.wrap_method`.
    """
    if attribute is None:
        return None
    second = args[1] if len(args) > 1 else next(iter(kwargs.values()), None)
    details = getattr(second, attribute, None)
    return details if isinstance(details, SharedDetails) else None


def recording_nothing(_site: Site) -> None:
    """Begin no execution."""
