"""What differs between two ranges of time, function by function, and whether by more than chance."""

from __future__ import annotations

from math import exp, sqrt
from typing import NamedTuple

from sandscope._store._database import Database
from sandscope._store._selection import Selection

_SIDE = """SELECT runtime, name, {after} AS after, count(*), count(*) FILTER (status <> 'OK'),
        quantile_cont(duration, [0.5, 0.95]), avg(ln(greatest(duration, 1e-9))),
        var_samp(ln(greatest(duration, 1e-9)))
    FROM executions WHERE start_ns >= {since} AND start_ns < {until} AND {condition} GROUP BY runtime, name"""
_FEWEST = 5
"""Executions of which something can be said."""
_FEWEST_FAILURES = 3
"""Fewer may be chance, however few executions there are."""
_FAILING, _SLOWER = 3.0, 4.0
"""Standard errors that are more than chance; durations vary for more reasons."""
_FACTOR = 1.25
"""By which durations differ enough to matter."""


class Side(NamedTuple):
    """A function in one of the ranges. Durations are seconds; None if it did not run.

    Attributes:
        executions: how many.
        failed: those without status OK.
        p50: half of them took no longer.
        p95: 95 of 100 took no longer.
        mean: of the logarithms of durations.
        variance: likewise.
    """

    executions: int
    failed: int
    p50: float | None
    p95: float | None
    mean: float | None
    variance: float | None


_NOTHING = Side(0, 0, None, None, None, None)


class Change(NamedTuple):
    """What differs.

    Attributes:
        runtime: of the function.
        name: of the function.
        before: in the first range.
        after: in the second range.
    """

    runtime: str
    name: str
    before: Side
    after: Side

    @property
    def failing(self) -> int:
        """1 if it fails more often, -1 if less often, 0 if by no more than chance."""
        before, after = self.before, self.after
        if not self._enough or max(before.failed, after.failed) < _FEWEST_FAILURES:
            return 0
        share = (before.failed + after.failed) / (before.executions + after.executions)
        error = sqrt(share * (1 - share) * (1 / before.executions + 1 / after.executions))
        difference = after.failed / after.executions - before.failed / before.executions
        return 0 if abs(difference) <= _FAILING * error or not error else 1 if difference > 0 else -1

    @property
    def slower(self) -> int:
        """1 if it takes longer, -1 if not as long, 0 if by no more than chance."""
        before, after = self.before, self.after
        if not self._enough or before.mean is None or after.mean is None:
            return 0
        error = sqrt((before.variance or 0) / before.executions + (after.variance or 0) / after.executions)
        difference = after.mean - before.mean
        if abs(difference) <= _SLOWER * error or exp(abs(difference)) < _FACTOR:
            return 0
        return 1 if difference > 0 else -1

    @property
    def _enough(self) -> bool:
        return min(self.before.executions, self.after.executions) >= _FEWEST


def changes(
    database: Database,
    selection: Selection,
    before: tuple[int, int],
    after: tuple[int, int],
    limit: int = 200,
) -> list[Change]:
    """Return what ran in either of two ranges, the most frequent first.

    Args:
        database: the store's tables.
        selection: which executions; its range of time has to contain the two.
        before: nanoseconds since 1970: when the first range begins, and when it ends.
        after: the same of the second one.
        limit: the number of functions.
    """
    condition, parameters = selection.condition()
    sides = [
        _SIDE.format(after=number == 1, since=since, until=until, condition=condition)
        for number, (since, until) in enumerate((before, after))
    ]
    found: dict[tuple[str, str], list[Side]] = {}
    times = min(before[0], after[0]), max(before[1], after[1])
    for runtime, name, is_after, *figures in database.query(
        " UNION ALL ".join(sides), parameters * 2, times
    ).rows:
        found.setdefault((runtime, name), [_NOTHING, _NOTHING])[is_after] = _side(*figures)
    functions = [Change(*key, *pair) for key, pair in found.items()]
    functions.sort(key=lambda each: (-each.before.executions - each.after.executions, each.name or ""))
    return functions[:limit]


def _side(
    executions: int, failed: int, quantiles: list[float] | None, mean: float | None, variance: float | None
) -> Side:
    p50, p95 = quantiles or (None, None)
    return Side(executions, failed, p50, p95, mean, variance)
