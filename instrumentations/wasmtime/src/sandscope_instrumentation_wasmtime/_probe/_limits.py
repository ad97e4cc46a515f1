"""What a store limits: the probe takes nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._probe import _layout
from sandscope_instrumentation_wasmtime._probe._noting import PLACE
from sandscope_instrumentation_wasmtime._probe._syscalls import NAMES

_ATTRIBUTE = "_sandscope_limits"
_NAMES = ("memory_size", "table_elements", "instances", "tables", "memories")
_ENOUGH = {"memory_size": _layout.PAGES * _layout.PAGE, "table_elements": len(NAMES)}
"""What the probe needs of one memory and of one table; of the other three it leaves all to the guest."""


class _Limits:
    """The limits of one store.

    Attributes:
        own: as the program set them last.
        taken: how many instances, tables and memories the probe has made.
    """

    __slots__ = ("own", "taken")

    def __init__(self) -> None:
        self.own: Mapping[str, int] = {}
        self.taken: dict[str, int] = {}

    def raised(self, name: str, value: Any) -> Any:
        """Return a limit by which the guest may have as much as the program wants."""
        return value + self.taken.get(name, 0) if isinstance(value, int) and value >= 0 else value


def patch(wasmtime: Any, patches: Patches) -> None:
    """Note the limits of each store."""
    patches.replace(wasmtime.Store, "__init__", after_success(PLACE, _made))
    patches.replace(wasmtime.Store, "set_limits", _limiting)


def is_known(store: Any) -> bool:
    """Return whether the store was made under the instrumentation."""
    return hasattr(store, _ATTRIBUTE)


def leaves_room(store: Any) -> bool:
    """Return whether the limits of a known store let the probe in."""
    limits: _Limits = getattr(store, _ATTRIBUTE)
    return all(value >= _ENOUGH.get(name, float("inf")) for name, value in limits.own.items() if value >= 0)


def take(store: Any, **more: int) -> None:
    """Note what the probe makes in a known store, so that limits that are set later do not count it."""
    limits: _Limits = getattr(store, _ATTRIBUTE)
    for name, count in more.items():
        limits.taken[name] = limits.taken.get(name, 0) + count


def _made(_: None, store: Any, *_args: Any, **_kwargs: Any) -> None:
    setattr(store, _ATTRIBUTE, _Limits())


def _limiting(original: Any) -> Any:
    @wraps(original)
    def set_limits(self: Any, *args: Any, **kwargs: Any) -> Any:
        limits: _Limits | None = getattr(self, _ATTRIBUTE, None)
        if limits is None:
            return original(self, *args, **kwargs)
        named = dict(zip(_NAMES, args, strict=False))
        if not limits.taken or len(args) > len(_NAMES) or not kwargs.keys() <= set(_NAMES) - named.keys():
            result = original(self, *args, **kwargs)
        else:
            named |= kwargs
            result = original(self, **{name: limits.raised(name, value) for name, value in named.items()})
        limits.own = named | kwargs
        return result

    return set_limits
