"""Attributes that executions copy from their parent span or baggage, such as the tool call of an agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry import baggage
from opentelemetry.context import Context

from sandscope import _guard, _internals, _settings
from sandscope._execution import EXECUTION_KEY, Execution

_SCALARS = (str, bool, int, float)


def carry(executions: Iterable[Execution]) -> None:
    """Copy the configured attributes from parent spans and baggage to ended executions. Never raises.

    Attributes that an execution already has are kept. The parent's current attributes are read, even if it has ended.
    """
    names = tuple(dict.fromkeys((*_settings.carried_attributes(), *_settings.metric_attributes())))
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
    """Finds the carried attributes for one batch of executions.

    Most executions of a batch have the same parent. Results are not kept longer, because attributes may change.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._last: Context | None = None
        self._carried: Mapping[str, Any] = {}
        # By `id()` of the parent execution, which the executions' contexts keep alive.
        self._by_parent: dict[int, Mapping[str, Any]] = {}

    def carried_in(self, context: Context) -> Mapping[str, Any]:
        """Return the attributes that an execution with this parent context carries."""
        if context is not self._last:
            self._carried = self._find(context)
            self._last = context
        return self._carried

    def _find(self, context: Context) -> Mapping[str, Any]:
        # Not recursive: guests and the host may call each other to any depth.
        parents: list[Execution] = []
        parent = _execution_in(context)
        while parent is not None and id(parent) not in self._by_parent:
            parents.append(parent)
            context = parent.parent_context
            parent = _execution_in(context)
        carried = self._from_span_and_baggage(context) if parent is None else self._by_parent[id(parent)]
        for parent in reversed(parents):
            own = self._from_execution(parent)
            carried = self._by_parent[id(parent)] = {**carried, **own} if own else carried
        return carried

    def _from_span_and_baggage(self, context: Context) -> Mapping[str, Any]:
        carried = self._select(getattr(context.get(_internals.SPAN_KEY), "attributes", None))
        if len(context) > (_internals.SPAN_KEY in context):
            carried = {**self._select(baggage.get_all(context)), **carried}
        return carried

    def _from_execution(self, execution: Execution) -> dict[str, Any]:
        carried = self._select(execution.site.attributes)
        details = execution.details
        if details is not None:
            carried.update(self._select(details.attributes))
            carried.update(self._select(getattr(details.written, "attributes", None)))
        # The direct recorder's span has the attributes that the program has set.
        span = getattr(execution, "span", None)
        if span is not None:
            carried.update(self._select(getattr(span, "attributes", None)))
        return carried

    def _select(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        if not attributes:
            return {}
        found = {name: attributes.get(name) for name in self._names}
        return {name: value for name, value in found.items() if isinstance(value, _SCALARS)}


def _execution_in(context: Context) -> Execution | None:
    """Return the execution whose span is the current span of a context, or None."""
    span: Any = context.get(_internals.SPAN_KEY)
    if isinstance(span, Execution):
        return span
    execution = context.get(EXECUTION_KEY)
    return (
        execution if isinstance(execution, Execution) and getattr(execution, "span", None) is span else None
    )
