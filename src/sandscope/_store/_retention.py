"""Drop what is too old, and the oldest of what is too much."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sandscope._errors import SandscopeError
from sandscope._store._parts import EXPIRED, SUFFIX, list_parts

DAYS = "SANDSCOPE_STORE_DAYS"
"""How many days the local store keeps what it has read. Default 30."""

SIZE = "SANDSCOPE_STORE_SIZE"
"""How many bytes the local store keeps. Default 2147483648 (2 GiB)."""

_DEFAULT_DAYS, _DEFAULT_SIZE = 30, 2 << 30
_DAY = 24 * 3600


class Retention:
    """What the settings say."""

    def __init__(self) -> None:
        """Read the settings.

        Raises:
            SandscopeError: if one is no positive number.
        """
        self._oldest = time.time() - _number(DAYS, _DEFAULT_DAYS) * _DAY
        self._size = _number(SIZE, _DEFAULT_SIZE)

    def drop(self, store: Path, identities: set[str]) -> None:
        """Drop parts; call this with the lock held.

        Args:
            store: the folder of the parts.
            identities: of the sources that are still there. A dropped part leaves its name as long as it could be read
                again.
        """
        size = 0
        parts = list_parts(store)
        times = {part: (store / part.name).stat() for part in parts if part.suffix == SUFFIX}
        for part in sorted(times, key=lambda part: times[part].st_mtime, reverse=True):
            size += times[part].st_size
            if size <= self._size and times[part].st_mtime >= self._oldest:
                continue
            if part.identity in identities:
                (store / part._replace(suffix=EXPIRED).name).touch()
            (store / part.name).unlink()
        for part in parts:
            if part.suffix == EXPIRED and part.identity not in identities:
                (store / part.name).unlink()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise SandscopeError(
            f"Cannot use {name}={text!r}: it is not a number from 1 on. Give one, or leave it out."
        )
    return number
