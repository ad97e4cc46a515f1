"""How many executions run now, counted on the calling thread without a lock."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from sandscope._deferred._compiled import new_count
from sandscope._execution import Site
from sandscope._metric import ACTIVE
from sandscope._recording import _mapping
from sandscope._scope import Scope

_MOST_SITES = 10_000
"""Sites remembered: a program that makes ever new ones must not fill the memory."""


class ActiveCount:
    """Started and ended executions of one runtime and operation, for one aggregator.

    Attributes:
        start: counts one as started; one step of the interpreter's, so exact whichever threads call it.
        ended: how many have ended; only one thread at a time may write it.
        attributes: under which they are shown.
    """

    __slots__ = ("_readings", "attributes", "ended", "start")

    def __init__(self, site: Site) -> None:
        self.start: Callable[[], int] = new_count()
        self.ended = 0
        self.attributes = _mapping.active_attributes(site)
        self._readings = 0

    def started(self) -> int:
        """Return how many have started; for one thread at a time."""
        started = self.start() - self._readings
        self._readings += 1
        return started


class ActiveCounts(dict[Site, Callable[[], int]]):
    """By site, what to call when one of its executions starts; for one aggregator."""

    def __init__(self, active: Active) -> None:
        super().__init__()
        self._active = active
        self._counts: dict[tuple[str, str], ActiveCount] = {}

    def __missing__(self, site: Site) -> Callable[[], int]:
        if len(self) >= _MOST_SITES:
            self.clear()
        start = self[site] = self.count_of(site).start
        return start

    def count_of(self, site: Site) -> ActiveCount:
        """Return where the executions of a site's runtime and operation are counted."""
        kind = site.runtime, site.operation
        count = self._counts.get(kind)
        if count is None:
            count = self._counts[kind] = self._active.new_count_of(site)
        return count


class Active:
    """The observable up/down counter of one instrumentation scope, whatever recorders it has had."""

    def __init__(self) -> None:
        self._counts: list[ActiveCount] = []
        self._shown = False

    @staticmethod
    def of(provider: MeterProvider, scope: Scope) -> Active:
        """Return the one of a provider and a scope: a meter takes the callbacks of its first instrument only."""
        active = _actives.setdefault(provider, {}).setdefault(scope, Active())
        if not active._shown:
            active._shown = True
            meter = provider.get_meter(scope.name, scope.version)
            meter.create_observable_up_down_counter(
                ACTIVE.name, [active._observe], ACTIVE.unit, ACTIVE.description
            )
        return active

    def new_count_of(self, site: Site) -> ActiveCount:
        """Return a count that is shown as the site's runtime and operation."""
        count = ActiveCount(site)
        self._counts.append(count)
        return count

    def after_fork_in_child(self) -> None:
        """Let nothing run: after a fork, what runs is the parent's."""
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
