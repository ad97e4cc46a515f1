"""Wrappers that look like the built-in functions that they replace."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from sandscope.instrumentation import Patches

_COPIED = (*functools.WRAPPER_ASSIGNMENTS, "__text_signature__", "__self__")


class BuiltinFunction:
    """A wrapper that has the name, signature, errors and pickled form of the built-in function that it calls.

    Not a function: as an attribute of a class, that would become a method, which a built-in function does not.
    """

    def __init__(self, original: Callable[..., Any], function: Callable[..., Any]) -> None:
        """Wrap a function.

        Args:
            original: the built-in function.
            function: is called instead, with positional arguments, unless the arguments are wrong.
        """
        functools.update_wrapper(self, original, [name for name in _COPIED if hasattr(original, name)])
        self._original = original
        self._function = function
        self._usual_count = function.__code__.co_argcount

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
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
    original = getattr(module, name, None)
    if original is None:
        return
    replacement = BuiltinFunction(original, make(original))
    patches.replace(module, name, lambda _: replacement)
    home = sys.modules.get(original.__module__)
    # Pickling refers to this module, such as `posix` for a function of `os`.
    if inspect.isbuiltin(original) and getattr(home, name, None) is original:
        patches.replace(home, name, lambda _: replacement)
