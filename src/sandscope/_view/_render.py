"""Templates, and the words in which they show values. Whatever a value contains, it is shown as text."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandscope import _words
from sandscope._view._filters import RANGES

FOLDER = Path(__file__).parent
_MAX_TEXT = 2_000
"""Characters of a value."""
_MAX_NAME = 120
"""Characters of a name in a row."""


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        seconds=_words.seconds,
        size=_words.size,
        count=lambda number: f"{number:,}",
        percent=percent,
        clock=clock,
        moment=moment,
        day=lambda when: "" if when is None else f"{when:%Y-%m-%d}",
        short=lambda text: cut(text, _MAX_NAME),
        cut=cut,
        status=lambda status: _words.STATUSES.get(status, status),
        css=css,
    )
    environment.globals.update(verdict=_words.verdict, STATUSES=_words.STATUSES, ranges=RANGES)
    return environment


def percent(share: float | None) -> str:
    """Return a share of 1 in percent; only all of them are 100 %."""
    if share is None:
        return ""
    return "100 %" if share == 1 else f"{min(100 * share, 99.99):.{1 if share < 0.999 else 2}f} %"


def clock(when: datetime | None) -> str:
    """Return the time of day, to the millisecond."""
    return "" if when is None else f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}"


def moment(when: datetime | None) -> str:
    """Return the same, with the day if it is another one than today."""
    if when is None:
        return ""
    today = datetime.now(timezone.utc).date()
    return clock(when) if when.date() == today else f"{when:%b %d} {clock(when)}"


def cut(text: Any, length: int = _MAX_TEXT) -> str:
    """Return a text that is no longer than that, with control characters as such; what is left out is counted."""
    text = "" if text is None else str(text)
    more = f"… ({len(text) - length:,} more characters)" if len(text) > length else ""
    return (
        "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text[:length])
        + more
    )


def css(status: str | None) -> str:
    """Return the class of a verdict's colour."""
    return f"v-{status}" if status in _words.STATUSES else "v-none"
