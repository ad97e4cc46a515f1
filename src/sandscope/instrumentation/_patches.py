"""Patches attributes of modules and classes, and restores them."""

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
"""Types of attributes that need no binding: they take the instance as an argument, or have none."""


class Patches:
    """The attributes that an instrumentation has replaced or added. `undo` restores them.

    Attributes:
        undone: whether `undo` was called. Wrappers that the program still references then only call the original.
    """

    def __init__(self) -> None:
        self.undone = False
        self._done: list[tuple[Any, str, Any, Any]] = []
        self._on_undo: list[Callable[[], object]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace ``owner.name`` with ``make(original)``. Does nothing if there is no such attribute.

        Args:
            owner: a module or class.
            name: the name of a function or method.
            make: receives the original and returns a wrapper of it. The original of a class is its raw attribute, or
                a function that binds and calls the raw attribute.
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
        """Add an attribute to a module or class that does not have it."""
        setattr(owner, name, value)
        self._done.append((owner, name, _ABSENT, value))

    def on_undo(self, function: Callable[[], object]) -> None:
        """Call a function when the patches are undone: what removes a hook that the runtime itself has.

        Args:
            function: called once, in reverse order of registration, before the attributes are restored.
        """
        self._on_undo.append(function)

    def undo(self) -> None:
        """Restore the attributes in reverse order, except those that were replaced again since."""
        self.undone = True
        while self._on_undo:
            try:
                self._on_undo.pop()()
            except Exception as error:  # noqa: BLE001 -- the attributes are restored all the same
                _guard.report("uninstrument", error)
        while self._done:
            owner, name, original, replacement = self._done.pop()
            current = vars(owner).get(name)
            if current is replacement and original is _ABSENT:
                delattr(owner, name)
            elif current is replacement:
                setattr(owner, name, original)
            else:
                replaced = RuntimeError(f"{owner.__name__}.{name} was replaced after it was patched")
                _guard.report("uninstrument", replaced)


def _as_function(original: Any) -> Any:
    """Return a function that binds and calls a descriptor of another library, such as a wrapper made by wrapt."""
    kind = type(original)  # not `isinstance`: a proxy pretends to be the object that it wraps
    if issubclass(kind, _FUNCTIONS) or not callable(original) or not hasattr(kind, "__get__"):
        return original

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original.__get__(self, type(self))(*args, **kwargs)

    return method
