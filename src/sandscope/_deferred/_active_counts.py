"""The number of running executions, counted on the calling thread without a lock."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from sandscope._deferred._compiled import new_count
from sandscope._execution import Site
from sandscope._metric import ACTIVE
from sandscope._recording import _mapping
from sandscope._scope import Scope

_MAX_SITES = 10_000
"""The maximum size of the cache by site, for programs that keep creating sites."""


class ActiveCount:
    """The number of started and ended executions of a runtime and operation, for one aggregator.

    Attributes:
        start: counts a started execution. A single call of a C function, so it is exact with concurrent threads.
        ended: the number of ended executions. Only one thread at a time may write it.
        attributes: the attributes of the metric.
    """

    __slots__ = ("_readings", "attributes", "ended", "start")

    def __init__(self, site: Site) -> None:
        self.start: Callable[[], int] = new_count()
        self.ended = 0
        self.attributes = _mapping.active_attributes(site)
        self._readings = 0

    def started(self) -> int:
        """Return the number of started executions. Not thread-safe."""
        started = self.start() - self._readings
        self._readings += 1
        return started


class ActiveCounts(dict[Site, Callable[[], int]]):
    """Maps a site to the function that counts a started execution, for one aggregator."""

    def __init__(self, active: Active) -> None:
        super().__init__()
        self._active = active
        self._counts: dict[tuple[str, str], ActiveCount] = {}

    def __missing__(self, site: Site) -> Callable[[], int]:
        if len(self) >= _MAX_SITES:
            self.clear()
        start = self[site] = self.count_of(site).start
        return start

    def count_of(self, site: Site) -> ActiveCount:
        """Return the count of a site's runtime and operation."""
        kind = site.runtime, site.operation
        count = self._counts.get(kind)
        if count is None:
            count = self._counts[kind] = self._active.new_count_of(site)
        return count


class Active:
    """The observable up/down counter of an instrumentation scope, shared by all its recorders."""

    def __init__(self) -> None:
        self._counts: list[ActiveCount] = []
        self._registered = False

    @staticmethod
    def of(provider: MeterProvider, scope: Scope) -> Active:
        """Return the counter of a provider and scope. Shared, as a meter ignores callbacks of duplicate instruments."""
        active = _actives.setdefault(provider, {}).setdefault(scope, Active())
        if not active._registered:
            active._registered = True
            meter = provider.get_meter(scope.name, scope.version)
            meter.create_observable_up_down_counter(
                ACTIVE.name, [active._observe], ACTIVE.unit, ACTIVE.description
            )
        return active

    def new_count_of(self, site: Site) -> ActiveCount:
        """Return a new count for the site's runtime and operation."""
        count = ActiveCount(site)
        self._counts.append(count)
        return count

    def after_fork_in_child(self) -> None:
        """Reset the counts: running executions belong to the parent process."""
        for count in self._counts:
            count.ended = count.started()

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        running: dict[tuple[str, ...], list[ActiveCount]] = {}
        for count in list(self._counts):
            running.setdefault(tuple(count.attributes.values()), []).append(count)
        for counts in running.values():
            started = sum(count.started() for count in counts)
            if started:
                yield Observation(started - sum(count.ended for count in counts), counts[0].attributes)


_actives: weakref.WeakKeyDictionary[MeterProvider, dict[Scope, Active]] = weakref.WeakKeyDictionary()
