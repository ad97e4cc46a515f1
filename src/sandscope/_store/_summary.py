"""What happened in a range of time: counts, verdicts, durations, failures."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sandscope._store._database import Database, Table
from sandscope._store._executions import executions, functions, history, totals, verdicts
from sandscope._store._security_records import security_records, security_types
from sandscope._store._selection import FAILED, KILLED, SECURITY, Selection


class Summary(NamedTuple):
    """What happened in a range of time. Durations are seconds, memory is bytes.

    Attributes:
        executions: how many there were.
        succeeded: those that ended with status OK.
        first: when the first began, UTC; None if there were none.
        last: when the last began.
        verdicts: how many for each runtime and verdict.
        functions: by name, those that failed most often first, then the slowest.
        failures: the last ones.
        slowest: the slowest ones.
        security: the last ones that were ended for what they tried.
        killed: the last ones that were running when their process died.
        security_types: how many security events of each type programs and instrumentations have reported.
        security_events: the last ones of them.
        history: how many succeeded and failed in each of `BARS` equal spans of time; empty ones are left out.
    """

    executions: int
    succeeded: int
    first: datetime | None
    last: datetime | None
    verdicts: Table
    functions: Table
    failures: Table
    slowest: Table
    security: Table
    killed: Table
    security_types: Table
    security_events: Table
    history: Table


def summarize(database: Database, since: int = 0, limit: int = 10, *, until: int | None = None) -> Summary:
    """Return what happened.

    Args:
        database: the store's tables.
        since: nanoseconds since 1970: earlier executions are left out.
        limit: the number of rows of each table, except those of verdicts.
        until: likewise: this and later ones are left out.
    """
    chosen = Selection(since=since, until=until)
    figures = totals(database, chosen)
    return Summary(
        figures.executions,
        figures.succeeded,
        figures.first,
        figures.last,
        verdicts(database, chosen),
        functions(database, chosen, limit),
        executions(database, chosen._replace(status=FAILED), limit),
        executions(database, chosen, limit, order="duration"),
        executions(database, chosen._replace(status=SECURITY), limit),
        executions(database, chosen._replace(status=KILLED), limit),
        security_types(database, chosen, limit),
        security_records(database, chosen, limit),
        history(database, chosen, figures.first_ns or 0, figures.last_ns or 0),
    )
