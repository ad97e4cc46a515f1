"""The environment that this process inherited, which `os.environ` no longer tells."""

from __future__ import annotations

import os
from functools import lru_cache

_when_imported = [] if os.path.exists("/proc/self/environ") else list(os.environb.items())  # noqa: PTH110 -- slow


@lru_cache(maxsize=1)
def entries_at_start() -> frozenset[bytes]:
    """Return the variables that this process inherited, as ``NAME=VALUE``.

    Where the system does not tell: those of `os.environ` when this module was imported.
    """
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 -- delays the first child
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return frozenset(name + b"=" + value for name, value in _when_imported)


def set_by_program(name: str, value: str) -> bool:
    """Return whether the program has set a variable of a child. One that this process inherited is stale."""
    return os.fsencode(f"{name}={value}") not in entries_at_start()
