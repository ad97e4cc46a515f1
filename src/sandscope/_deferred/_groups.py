"""Groups executions that have the same metric attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandscope import _guard, _settings
from sandscope._deferred._active_counts import ActiveCount, ActiveCounts
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._execution import NO_ATTRIBUTES, Site
from sandscope._metric import Metric
from sandscope._recording import _mapping
from sandscope._recording._metric_attributes import allowed_attributes
from sandscope._verdict import MISSING_EVIDENCE, Verdict

MAX_GROUPS = 2000
"""The maximum number of groups, equal to the SDK's limit of attribute sets for a metric."""
OVERFLOW = {"otel.metric.overflow": True}
"""The attributes that OpenTelemetry's specification requires for measurements beyond the limit."""


class Group:
    """Executions with the same runtime, operation, verdict and other attributes of metrics.

    Attributes:
        active_count: the number of running executions of this runtime and operation.
        counters: the counters that each execution increments by 1, with their attributes.
        ended: the attributes of the duration metric and of the runtime's own metrics.
    """

    __slots__ = ("active_count", "counters", "ended")

    def __init__(
        self,
        active_count: ActiveCount,
        counters: Sequence[tuple[Metric, Mapping[str, Any]]],
        ended: Mapping[str, Any],
    ) -> None:
        self.active_count = active_count
        self.counters = counters
        self.ended = ended


class Groups:
    """The groups so far, and the overflow groups for executions beyond the limit."""

    def __init__(self, starts: ActiveCounts) -> None:
        self._starts = starts
        self._groups: dict[tuple[Any, ...], Group] = {}
        self._overflow_groups: dict[tuple[str, ...], Group] = {}

    def split(self, executions: Sequence[DeferredExecution]) -> dict[Group, list[DeferredExecution]]:
        """Return executions by group. The order within each group is kept."""
        groups: dict[Group, list[DeferredExecution]] = {}
        members: list[DeferredExecution] = []
        runtime = operation = verdict = constant = None
        any_allowed = bool(_settings.metric_attributes())
        for execution in executions:
            site = execution.site
            # Most executions are in the same group as the previous one: comparing identities is faster than a lookup.
            if (
                execution.verdict is not verdict
                or site.operation is not operation
                or site.runtime is not runtime
                or site.metric_attributes is not constant
                or any_allowed
            ):
                runtime, operation, verdict = site.runtime, site.operation, execution.verdict
                constant = site.metric_attributes
                try:
                    added = allowed_attributes(execution) if any_allowed else NO_ATTRIBUTES
                    group = self._group_of(site, verdict or MISSING_EVIDENCE, added)
                    members = groups.setdefault(group, [])
                except Exception as error:  # noqa: BLE001 -- the other executions are still counted
                    _guard.report("metrics.group", error)
                    runtime = None
                    continue
            members.append(execution)
        return groups

    def _group_of(self, site: Site, verdict: Verdict, added: Mapping[str, str]) -> Group:
        constant = tuple(site.metric_attributes.items())
        key = site.runtime, site.operation, verdict, constant, tuple(added.items())
        group = self._groups.get(key)
        if group is not None:
            return group
        active_count, counters = self._starts.count_of(site), _mapping.counts(site, verdict, added)
        if len(self._groups) < MAX_GROUPS:
            group = self._groups[key] = Group(
                active_count, counters, _mapping.ended_attributes(site, verdict, added)
            )
            return group
        kind = (site.runtime, site.operation, *(metric.name for metric, _ in counters))
        group = self._overflow_groups.get(kind)
        if group is None:
            overflowing = [(metric, OVERFLOW) for metric, _ in counters]
            group = self._overflow_groups[kind] = Group(active_count, overflowing, OVERFLOW)
        return group
