"""Two ranges of time beside each other: which functions fail more often, and which have become slower."""

from __future__ import annotations

from typing import Any

from sandscope._store import Change, Counts, Database, Selection, Totals, changes, counts
from sandscope._view._filters import Filters, iso, nanoseconds
from sandscope._view._history import span

_LATELY = 0.1
"""The part of a range that is compared with what was before it."""


def ask(database: Database, filters: Filters, parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the page shows: by default, the second half of the time compared with the first."""
    everything = filters.only_time().selection()
    figures = counts(database, everything)
    first, last = span(everything, figures)
    middle = (first + last) // 2
    given = {
        name: nanoseconds(parameters.get(name, "")) for name in ("before_since", "before_until", "split")
    }
    after = (given["split"] or middle, last + 1)
    before = (given["before_since"] or first, given["before_until"] or after[0])
    found = (
        changes(database, Selection(since=min(before[0], after[0])), before, after)
        if figures.executions
        else []
    )
    return {
        "figures": figures,
        "changes": sorted(found, key=_importance),
        "before": [iso(when)[:19] for when in before],
        "after": [iso(when)[:19] for when in after],
    }


def lately_changed(database: Database, selection: Selection, figures: Counts | Totals) -> list[Change]:
    """Return what fails more often, or takes longer, in the last tenth of the time than before."""
    first, last = span(selection, figures)
    split = int(last - _LATELY * (last - first))
    found = changes(database, selection, (first, split), (split, last + 1))
    return [change for change in found if change.failing > 0 or change.slower > 0]


def _importance(change: Change) -> tuple[int, int, int]:
    return -change.failing, -change.slower, -(change.before.executions + change.after.executions)
