"""How many executions run now, counted on the calling thread without a lock."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from sandscope import _mapping
from sandscope._deferred._compiled import new_count
from sandscope._metric import ACTIVE
from sandscope._scope import Scope
from sandscope._site import Site

_MOST_SITES = 10_000
"""Sites remembered: a program that makes ever new ones must not fill the memory."""


class Settler(Protocol):
    """Counts what has ended."""

    def settle(self) -> None:
        """Count all that has ended so far."""


class Cell:
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


class Starts(dict[Site, Callable[[], int]]):
    """By site, what to call when one of its executions starts; for one aggregator."""

    def __init__(self, active: Active) -> None:
        super().__init__()
        self._active = active
        self._cells: dict[tuple[str, str], Cell] = {}

    def __missing__(self, site: Site) -> Callable[[], int]:
        if len(self) >= _MOST_SITES:
            self.clear()
        start = self[site] = self.cell(site).start
        return start

    def cell(self, site: Site) -> Cell:
        """Return where the executions of a site's runtime and operation are counted."""
        kind = site.runtime, site.operation
        cell = self._cells.get(kind)
        if cell is None:
            cell = self._cells[kind] = self._active.new_cell(site)
        return cell


class Active:
    """The observable up/down counter of one instrumentation scope, whatever recorders it has had."""

    def __init__(self) -> None:
        self._cells: list[Cell] = []
        self._settlers: list[weakref.ref[Settler]] = []
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

    def settle_first(self, settler: Settler) -> None:
        """Let a settler count what has ended before each collection, for as long as it lives."""
        self._settlers.append(weakref.ref(settler, self._settlers.remove))

    def new_cell(self, site: Site) -> Cell:
        """Return a cell that is shown as the site's runtime and operation."""
        cell = Cell(site)
        self._cells.append(cell)
        return cell

    def forget(self) -> None:
        """Let nothing run: after a fork, what runs is the parent's."""
        for cell in self._cells:
            cell.ended = cell.started()

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        for reference in list(self._settlers):
            settler = reference()
            if settler is not None:
                settler.settle()
        running: dict[tuple[str, ...], list[Cell]] = {}
        for cell in list(self._cells):
            running.setdefault(tuple(cell.attributes.values()), []).append(cell)
        for cells in running.values():
            started = sum(cell.started() for cell in cells)
            if started:
                yield Observation(started - sum(cell.ended for cell in cells), cells[0].attributes)


_actives: weakref.WeakKeyDictionary[MeterProvider, dict[Scope, Active]] = weakref.WeakKeyDictionary()
