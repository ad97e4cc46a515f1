"""Wrappers that look like the built-in functions that they replace."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from sandscope.instrumentation import Patches

_FIRST_CALL = "FirstCall"
"""The class of what stands in for a function until the program first starts a child."""
_COPIED = (*functools.WRAPPER_ASSIGNMENTS, "__text_signature__", "__self__")


class BuiltinFunction:
    """A wrapper that has the name, signature, errors and pickled form of the built-in function that it calls.

    Not a function: as an attribute of a class, that would become a method, which a built-in function does not.
    """

    def __init__(self, original: Callable[..., Any], function: Callable[..., Any]) -> None:
        """Wrap a function.

        Args:
            original: the built-in function.
            function: is called instead, unless the arguments are wrong. It gets keyword arguments only if it takes
                any: the parameters before them are positional-only then.
        """
        functools.update_wrapper(self, original, [name for name in _COPIED if hasattr(original, name)])
        self._original = original
        self._function = function
        self._usual_count = function.__code__.co_argcount
        self._takes_keywords = bool(function.__code__.co_flags & inspect.CO_VARKEYWORDS)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self._takes_keywords:
            called = self._function if len(args) == self._usual_count else self._original
            return called(*args, **kwargs)
        if kwargs or len(args) != self._usual_count:
            try:
                positional = inspect.signature(self._original).bind(*args, **kwargs).args
            except (TypeError, ValueError):
                return self._original(*args, **kwargs)  # raises the error that the program expects
            return self._function(*positional)
        return self._function(*args)

    def __reduce__(self) -> str:
        """Pickle by name."""
        return self._original.__name__

    def __repr__(self) -> str:
        """Return the text of the built-in function."""
        return repr(self._original)


def replace_builtin(
    patches: Patches, module: ModuleType, name: str, make: Callable[[Any], Callable[..., Any]]
) -> None:
    """Replace a built-in function, also in the module that it is from. Does nothing if there is no such function.

    Args:
        patches: restore it.
        module: refers to it.
        name: of the function.
        make: receives the original and returns what is called instead.
    """
    found = getattr(module, name, None)
    if found is None:
        return
    original = found.__wrapped__ if type(found).__name__ == _FIRST_CALL else found
    replacement = BuiltinFunction(original, make(original))
    patches.replace(module, name, lambda _: replacement)
    home = sys.modules.get(original.__module__)
    # Pickling refers to this module, such as `posix` for a function of `os`.
    if inspect.isbuiltin(original) and getattr(home, name, None) is found:
        patches.replace(home, name, lambda _: replacement)
    if original in os.supports_fd:
        os.supports_fd.add(replacement)
        patches.on_undo(lambda: os.supports_fd.discard(replacement))
