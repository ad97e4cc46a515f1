"""Which executions are counted alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandscope import _guard
from sandscope._deferred._active_counts import ActiveCount, ActiveCounts
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._execution import Site
from sandscope._metric import Metric
from sandscope._recording import _mapping
from sandscope._verdict import MISSING_EVIDENCE, Verdict

MOST = 2000
"""Groups, as many as the SDK's own limit of attribute sets of a metric."""
OVERFLOW = {"otel.metric.overflow": True}
"""Under which OpenTelemetry's specification counts what is beyond the limit."""


class Group:
    """Executions of one runtime, operation and verdict.

    Attributes:
        active_count: where they are counted as running.
        counters: what each of them adds 1 to, with the attributes.
        ended: attributes of durations and of the runtime's own metrics.
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
    """The groups met so far, and a few more for all that is beyond the limit."""

    def __init__(self, starts: ActiveCounts) -> None:
        self._starts = starts
        self._met: dict[tuple[str, str, Verdict], Group] = {}
        self._beyond: dict[tuple[str, ...], Group] = {}

    def split(self, executions: Sequence[DeferredExecution]) -> dict[Group, list[DeferredExecution]]:
        """Return executions by group; within one they keep their order."""
        groups: dict[Group, list[DeferredExecution]] = {}
        members: list[DeferredExecution] = []
        runtime = operation = verdict = None
        for execution in executions:
            site = execution.site
            # Mostly as the one before, and by identity: cheaper than to look it up.
            if (
                execution.verdict is not verdict
                or site.operation is not operation
                or site.runtime is not runtime
            ):
                runtime, operation, verdict = site.runtime, site.operation, execution.verdict
                try:
                    members = groups.setdefault(self._of(site, verdict or MISSING_EVIDENCE), [])
                except Exception as error:  # noqa: BLE001 -- the others are to be counted
                    _guard.report("metrics.group", error)
                    runtime = None
                    continue
            members.append(execution)
        return groups

    def _of(self, site: Site, verdict: Verdict) -> Group:
        key = site.runtime, site.operation, verdict
        group = self._met.get(key)
        if group is not None:
            return group
        active_count, counters = self._starts.count_of(site), _mapping.counts(site, verdict)
        if len(self._met) < MOST:
            group = self._met[key] = Group(active_count, counters, _mapping.ended_attributes(site, verdict))
            return group
        kind = (site.runtime, site.operation, *(metric.name for metric, _ in counters))
        group = self._beyond.get(kind)
        if group is None:
            overflowing = [(metric, OVERFLOW) for metric, _ in counters]
            group = self._beyond[kind] = Group(active_count, overflowing, OVERFLOW)
        return group
