"""Attributes that executions carry from their parents, such as the tool call of an agent that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry import baggage
from opentelemetry.context import Context

from sandscope import _guard, _internals, _settings
from sandscope._execution import EXECUTION_KEY, Execution

_SCALARS = (str, bool, int, float)


def carry(executions: Iterable[Execution]) -> None:
    """Give ended executions the attributes of the setting that their parent span or their baggage has. Never raises.

    An attribute of the execution's own is kept. The parent is read now; a span can be read after its end, too.
    """
    names = _settings.carried_attributes()
    if not names:
        return
    batch = _Batch(names)
    for execution in executions:
        if execution.parent_context:
            try:
                carried = batch.carried_in(execution.parent_context)
                if carried:
                    own = execution._ensure_details().attributes
                    for name, value in carried.items():
                        if name not in execution.site.attributes:
                            own.setdefault(name, value)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("carried", error)


class _Batch:
    """Finds what the executions of one batch carry: most have the same parent, and its attributes may change later."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._last: Context | None = None
        self._carried: Mapping[str, Any] = {}
        self._inside: dict[
            int, Mapping[str, Any]
        ] = {}  # by the id of the parent, which a context keeps alive

    def carried_in(self, context: Context) -> Mapping[str, Any]:
        """Return what a child in a context carries."""
        if context is not self._last:
            self._carried = self._find(context)
            self._last = context
        return self._carried

    def _find(self, context: Context) -> Mapping[str, Any]:
        # Not recursive: guests may call the host, which calls guests, very deeply.
        parents: list[Execution] = []
        parent = _execution_in(context)
        while parent is not None and id(parent) not in self._inside:
            parents.append(parent)
            context = parent.parent_context
            parent = _execution_in(context)
        carried = self._of_span_and_baggage(context) if parent is None else self._inside[id(parent)]
        for parent in reversed(parents):
            own = self._of_execution(parent)
            carried = self._inside[id(parent)] = {**carried, **own} if own else carried
        return carried

    def _of_span_and_baggage(self, context: Context) -> Mapping[str, Any]:
        carried = self._named(getattr(context.get(_internals.SPAN_KEY), "attributes", None))
        if len(context) > 1:
            carried = {**self._named(baggage.get_all(context)), **carried}
        return carried

    def _of_execution(self, execution: Execution) -> dict[str, Any]:
        carried = self._named(execution.site.attributes)
        details = execution.details
        if details is not None:
            carried.update(self._named(details.attributes))
            carried.update(self._named(getattr(details.written, "attributes", None)))
        span = getattr(execution, "span", None)  # what the program itself has written on it
        if span is not None:
            carried.update(self._named(getattr(span, "attributes", None)))
        return carried

    def _named(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        if not attributes:
            return {}
        found = {name: attributes.get(name) for name in self._names}
        return {name: value for name, value in found.items() if isinstance(value, _SCALARS)}


def _execution_in(context: Context) -> Execution | None:
    """Return the execution whose span is the current one of a context, or None."""
    span: Any = context.get(_internals.SPAN_KEY)
    if isinstance(span, Execution):
        return span
    execution = context.get(EXECUTION_KEY)
    return (
        execution if isinstance(execution, Execution) and getattr(execution, "span", None) is span else None
    )
