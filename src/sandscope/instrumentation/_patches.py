"""What was patched, so that it can be put back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodDescriptorType, MethodType, WrapperDescriptorType
from typing import Any

from sandscope import _guard

_ABSENT: Any = object()

_FUNCTIONS = (
    FunctionType,
    MethodType,
    MethodDescriptorType,
    WrapperDescriptorType,
    staticmethod,
    classmethod,
    type,
)
"""What is called as it is, or has no instance."""


class Patches:
    """A list of replaced attributes; `undo` is its mirror.

    Attributes:
        undone: what was made for them and is still in the program's hands does no more than to pass on.
    """

    def __init__(self) -> None:
        self.undone = False
        self._done: list[tuple[Any, str, Any, Any]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace ``owner.name`` by ``make(original)``; an owner without that name stays as it is.

        Args:
            owner: a module or class.
            name: of a function or method.
            make: gets what stood there (from a class: its raw attribute, or a function that calls that as a
                method) and returns what calls it.
        """
        try:
            inherited = not isinstance(owner, type) or name in vars(owner)
            original = vars(owner)[name] if isinstance(owner, type) and inherited else getattr(owner, name)
        except AttributeError:
            return
        replacement = make(_as_function(original) if isinstance(owner, type) else original)
        setattr(owner, name, replacement)
        self._done.append((owner, name, original, replacement))

    def add(self, owner: Any, name: str, value: Any) -> None:
        """Give a module or class an attribute that it lacks."""
        setattr(owner, name, value)
        self._done.append((owner, name, _ABSENT, value))

    def undo(self) -> None:
        """Put back all that is still ours, last one first."""
        self.undone = True
        while self._done:
            owner, name, original, replacement = self._done.pop()
            current = vars(owner).get(name)
            if current is replacement and original is _ABSENT:
                delattr(owner, name)
            elif current is replacement:
                setattr(owner, name, original)
            else:
                _guard.report(
                    "uninstrument", RuntimeError(f"{owner.__name__}.{name} was patched by others since")
                )


def _as_function(original: Any) -> Any:
    """Return what calls a method of others' kind, which may want to be bound first, as wrapt's do."""
    kind = type(original)  # a proxy passes itself off as what it wraps
    if issubclass(kind, _FUNCTIONS) or not callable(original) or not hasattr(kind, "__get__"):
        return original

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original.__get__(self, type(self))(*args, **kwargs)

    return method
