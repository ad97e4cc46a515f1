"""What differs between two ranges of time, function by function, and whether by more than chance."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any, NamedTuple

from sandscope._store._database import Database
from sandscope._store._selection import Selection

_SIDE = """count(*) FILTER ({side}) AS {side}_executions,
    count(*) FILTER ({side} AND status <> 'OK') AS {side}_failed,
    quantile_cont(duration, [0.5, 0.95]) FILTER ({side}) AS {side}_quantiles,
    avg(ln(greatest(duration, 1e-9))) FILTER ({side}) AS {side}_mean,
    var_samp(ln(greatest(duration, 1e-9))) FILTER ({side}) AS {side}_variance"""
_CHANGES = """
    SELECT runtime, name, {before}, {after} FROM (
        SELECT runtime, name, status, duration, start_ns >= {before_since} AND start_ns < {before_until} AS before,
            start_ns >= {after_since} AND start_ns < {after_until} AS after
        FROM executions WHERE {condition}
    ) WHERE before OR after GROUP BY runtime, name
    ORDER BY before_executions + after_executions DESC, name LIMIT {limit}
"""
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
    sql = _CHANGES.format(
        before=_SIDE.format(side="before"),
        after=_SIDE.format(side="after"),
        before_since=before[0],
        before_until=before[1],
        after_since=after[0],
        after_until=after[1],
        condition=condition,
        limit=limit,
    )
    rows = database.query(sql, parameters).by_name()
    return [Change(row["runtime"], row["name"], _side(row, "before"), _side(row, "after")) for row in rows]


def _side(row: dict[str, Any], side: str) -> Side:
    p50, p95 = row[f"{side}_quantiles"] or (None, None)
    figures = (row[f"{side}_{name}"] for name in ("mean", "variance"))
    return Side(row[f"{side}_executions"], row[f"{side}_failed"], p50, p95, *figures)
