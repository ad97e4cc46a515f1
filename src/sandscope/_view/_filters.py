"""What the address of a page says: which executions it is about, in which order, and which part of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from sandscope._store import FAILED, SECURITY, Selection
from sandscope._words import STATUSES

RANGES: Final = {
    "5m": ("last 5 minutes", 300),
    "15m": ("last 15 minutes", 900),
    "1h": ("last hour", 3600),
    "24h": ("last 24 hours", 86_400),
    "7d": ("last 7 days", 7 * 86_400),
}
"""The ranges of time that end now: words and seconds."""
_ALL = "all"
LAST_PAGE = 100
"""Of the rows: who looks for one among more has better filters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Filters(NamedTuple):
    """The parameters of an address; those without a value are left out of it. One that is not valid counts as absent.

    Attributes:
        range: one of `RANGES`, which counts instead of the other two; ``all`` leaves them out as well.
        since: the beginning, as ISO 8601 without a time zone, UTC.
        until: the end.
        runtime: the only one.
        verdict: a status, ``failed`` or ``security``.
        name: a part of the name of what ran.
        function: its whole name.
        min: milliseconds.
        order: of the rows.
        page: of the rows, from 1 on.
    """

    range: str = ""
    since: str = ""
    until: str = ""
    runtime: str = ""
    verdict: str = ""
    name: str = ""
    function: str = ""
    min: str = ""
    order: str = ""
    page: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Filters:
        """Return what an address says."""
        given = {name: parameters.get(name, "").strip() for name in cls._fields}
        page = given.pop("page")
        if given["range"] in {_ALL, *RANGES}:
            given.update(since="", until="")
        filters = cls(**given, page=min(int(page), LAST_PAGE) if page.isdecimal() and page != "0" else 1)
        return filters._replace(
            range=filters.range if filters.range in RANGES else "",
            since=filters.since if nanoseconds(filters.since) is not None else "",
            until=filters.until if nanoseconds(filters.until) is not None else "",
            verdict=filters.verdict if filters.verdict in {FAILED, SECURITY, *STATUSES} else "",
            min=filters.min if _number(filters.min) is not None else "",
        )

    def selection(self) -> Selection:
        """Return the executions that it is about."""
        since, until = nanoseconds(self.since), nanoseconds(self.until)
        if self.range:
            since, until = time.time_ns() - RANGES[self.range][1] * 10**9, None
        minimum = _number(self.min)
        return Selection(
            since,
            until,
            self.runtime or None,
            self.verdict or None,
            self.name or None,
            self.function or None,
            None if minimum is None else minimum / 1e3,
        )

    def address(self, path: str = "", **changes: Any) -> str:
        """Return the address of a page with the same filters, but for some changes; it begins with the first page."""
        if {"since", "until"} & set(changes):
            changes.setdefault("range", "")
        if changes.get("range"):
            changes.update(since="", until="")
        words = self._replace(**{"page": 1, **changes})._asdict()
        query = urlencode(
            {name: value for name, value in words.items() if value and (name, value) != ("page", 1)}
        )
        return f"{path}?{query}" if query else path or "?"

    def only_time(self) -> Filters:
        """Return the same without what is not about time."""
        return Filters(self.range, self.since, self.until)

    @property
    def chosen(self) -> bool:
        """Whether anything is left out."""
        return self._replace(order="", page=1) != Filters()


def iso(when: int) -> str:
    """Return nanoseconds since 1970 as they stand in an address."""
    return (_EPOCH + timedelta(microseconds=when // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%f")


def nanoseconds(text: str) -> int | None:
    """Return what `iso` was made of, to the microsecond; None if it is not a time."""
    try:
        when = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000 if when >= _EPOCH else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
