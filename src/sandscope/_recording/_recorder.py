"""The protocol between instrumentations and recorders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span

from sandscope._details import Measurement, SharedDetails, Value
from sandscope._execution import Execution, Logs, Site
from sandscope._metric import Metric
from sandscope._scope import Scope


class Recorder(Logs, Protocol):
    """Records executions as spans, metrics and log records. No method raises.

    Attributes:
        scope: the instrumentation scope of the telemetry.
    """

    scope: Scope

    def begin(self, site: Site) -> Execution | None:
        """Begin an execution. If its site is `current`, end it on the same thread.

        Returns:
            The execution, or None if instrumentation is suppressed.
        """

    def prepare(self, site: Site) -> Execution | None:
        """Prepare an execution that may not take place: `Execution.confirm` begins it. Otherwise, nothing is recorded.

        Args:
            site: what is known of it now; not `current`.

        Returns:
            An execution with a context, which starts now if it is confirmed; None if instrumentation is suppressed.
        """

    def begin_at(self, site: Site, start_time: int) -> Execution | None:
        """Begin an execution that has started earlier: one that is worth recording only because it failed.

        Args:
            site: as for `begin`.
            start_time: nanoseconds since the epoch.
        """

    def wrap_method(
        self,
        method: Callable[..., Any],
        attribute: str,
        default: Site,
        shared: str | None = None,
        *,
        measured: Callable[..., Any] | None = None,
        measures_all: bool = False,
    ) -> Callable[..., Any]:
        """Return a wrapper of a method that records each call as an execution.

        Args:
            method: a function whose first argument is the instance.
            attribute: the name of the instance's attribute that holds its site.
            default: the site of instances without that attribute.
            shared: the name of the second argument's attribute that holds the `SharedDetails` of its executions.
            measured: called instead of the method, and instead of recording the call, for calls that are measured:
                see `SharedDetails.skip`.
            measures_all: whether all calls are measured.
        """

    def measure(self, metric: Metric, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """Record a measurement outside of executions. Inexpensive and safe in finalizers.

        Args:
            metric: a metric of the runtime.
            value: in the metric's unit.
            attributes: attributes whose values come from closed sets.
        """

    def measure_all(self, counts: tuple[Measurement, ...], value: Measurement | None = None) -> None:
        """Record several measurements at the cost of one. Safe in finalizers, without ``value``.

        Args:
            counts: of counters, up/down counters and histograms. Inexpensive if it is the same tuple each time.
            value: one measurement of a histogram, which is written soon.
        """

    def export_soon(self) -> None:
        """Export metrics soon, because a value that is observed has changed."""

    def start_span(
        self, name: str, parent: Context, attributes: Mapping[str, Value], start_time: int | None = None
    ) -> Span:
        """Start a span that is not an execution's span. The caller ends it.

        Args:
            name: the span's name.
            parent: the parent context.
            attributes: the span's initial attributes.
            start_time: when it started, in nanoseconds since the epoch, if not now.
        """


Begin = Callable[[Site], "Execution | None"]


def recording(begin: Begin, site: Site, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function and record the call as an execution."""
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


def with_details(begin: Begin, details: SharedDetails) -> Begin:
    """Return a function that begins executions with shared details."""

    def begin_with_details(site: Site) -> Execution | None:
        execution = begin(site)
        if execution is not None:
            execution.details = details  # type: ignore[misc] # a slot of each recorder's class
        return execution

    return begin_with_details


def shared_details_of(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], attribute: str | None
) -> SharedDetails | None:
    """Return the shared details that a method's second argument holds, or None.

    Args:
        args: the positional arguments of the method.
        kwargs: the keyword arguments of the method.
        attribute: see ``shared`` of `Recorder.wrap_method`.
    """
    if attribute is None:
        return None
    second = args[1] if len(args) > 1 else next(iter(kwargs.values()), None)
    details = getattr(second, attribute, None)
    return details if isinstance(details, SharedDetails) else None


def is_measured(details: SharedDetails, *, always: bool) -> bool:
    """Return whether the call that begins is measured. If it is not, it counts as one of those to skip.

    Args:
        details: the shared details of the call.
        always: whether all calls are measured, of those that are not inside another one.
    """
    if details.skip and not always:
        if details.skip > 0:
            details.skip -= 1  # type: ignore[misc] # a class with measured calls has a slot or a dictionary
        return False
    return not details.running


def begin_nothing(_site: Site) -> None:
    """Begin no execution: instrumentation is suppressed."""
