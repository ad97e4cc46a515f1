"""The input of a model: the first tensor among the arguments of its call, also inside a list, tuple or dictionary."""

from __future__ import annotations

import itertools
from collections import UserDict
from collections.abc import Callable, Iterable
from typing import Any

_MOST_ITEMS = 16
_DEEPEST = 2


def input_finder(torch: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Return a function that returns the first tensor of a call's arguments and keyword arguments, or None.

    Only plain tensors and parameters are found: the shape of a subclass may be symbolic, or computed by the program.
    """
    kinds = (torch.Tensor, torch.nn.Parameter)

    def first(values: Iterable[Any], depth: int) -> Any:
        for value in itertools.islice(values, _MOST_ITEMS):
            if type(value) in kinds:
                return value
            inner = _items(value) if depth < _DEEPEST else None
            found = None if inner is None else first(inner, depth + 1)
            if found is not None:
                return found
        return None

    def find(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = first(args, 0) if args else None
        return first(kwargs.values(), 0) if found is None and kwargs else found

    return find


def _items(value: Any) -> Iterable[Any] | None:
    """Return the items of a container by the methods of its built-in class, which run no code of the program."""
    if isinstance(value, UserDict):  # transformers' BatchEncoding
        value = vars(value).get("data")
    if isinstance(value, dict):
        return dict.values(value)
    if isinstance(value, tuple):
        return tuple.__iter__(value)
    return list.__iter__(value) if isinstance(value, list) else None
