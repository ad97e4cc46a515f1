"""How many executions run now, as the programs have said last."""

from __future__ import annotations

import time

from sandscope._store._database import Database

_RUNNING = """
    SELECT coalesce(sum(running), 0)::BIGINT FROM (
        SELECT arg_max(value, time) AS running FROM metrics
        WHERE name = 'sandbox.execution.active' AND time >= make_timestamp(?) GROUP BY resource, attributes
    )
"""
_HOUR = 3600 * 10**6


def running(database: Database) -> int:
    """Return the sum of what each program has said last within an hour; one that was killed cannot take it back."""
    since = time.time_ns() // 1000 - _HOUR
    count: int = database.query(_RUNNING, [since], (since * 1000, None)).rows[0][0]
    return count
