"""What programs and instrumentations have reported as security events: log records with a type."""

from __future__ import annotations

from typing import Any

from sandscope._store._database import Database, Table
from sandscope._store._selection import Selection

# By their names: attributes of all log records would take seconds.
_EVENTS = "event IN ('security.event', 'sandbox.security', 'sandbox.abuse', 'sandbox.control')"
_TYPE = "attributes['security.event.type']"
_MOST_ATTRIBUTES = 20
_TYPES = f"""
    SELECT {_TYPE} AS type, count(*) AS records FROM logs WHERE {{condition}}
    GROUP BY type ORDER BY records DESC, type LIMIT {{limit}}
"""
_RECORDS = f"""
    SELECT time, severity, severity_number, {_TYPE} AS type, body, service, trace_id, span_id,
        map_from_entries(map_entries(attributes)[:{_MOST_ATTRIBUTES}]) AS attributes
    FROM logs WHERE {{condition}} ORDER BY time DESC LIMIT {{limit}}
"""


def security_types(database: Database, selection: Selection, limit: int = 50) -> Table:
    """Return how many security events of each type there are in the selection's range of time, the most first."""
    condition, parameters = _condition(selection)
    return database.query(_TYPES.format(condition=condition, limit=limit), parameters, selection.times)


def security_records(
    database: Database, selection: Selection, limit: int, *, kind: str | None = None
) -> Table:
    """Return the last security events in the selection's range of time.

    Args:
        database: the store's tables.
        selection: of which only the time counts.
        limit: the number of records.
        kind: the only type; None is all of them.
    """
    condition, parameters = _condition(selection)
    if kind is not None:
        condition, parameters = f"{condition} AND {_TYPE} = ?", [*parameters, kind]
    return database.query(_RECORDS.format(condition=condition, limit=limit), parameters, selection.times)


def _condition(selection: Selection) -> tuple[str, list[Any]]:
    times = [("time >= make_timestamp(?)", selection.since), ("time < make_timestamp(?)", selection.until)]
    given = [(text, value // 1000) for text, value in times if value is not None]
    return " AND ".join([_EVENTS, *(text for text, _ in given)]), [value for _, value in given]
