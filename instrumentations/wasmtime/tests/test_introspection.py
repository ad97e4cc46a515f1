"""Introspection of wasmtime's classes and functions gives the same results while they are patched."""

from __future__ import annotations

import inspect
import types
from typing import Any

import pytest
import wasmtime
from wasmtime import component

EVERYTHING = {"host_spans": True, "fuel": True, "cpu": True}

OWNERS = [
    each
    for module in (wasmtime, wasmtime._instance, component)
    for each in vars(module).values()
    if isinstance(each, type) and each.__module__.startswith("wasmtime")
]

PYTHONS_OWN = {"__weakref__", "__dict__", "__annotate_func__", "__annotations_cache__"}


def kind_of(name: str, value: object) -> type:
    """Return the type of an attribute. The compiled ``__call__`` is no function, to use less of the stack."""
    return types.FunctionType if name == "__call__" else type(value)


def visible(owner: type) -> dict[str, object]:
    """Return what a program can find out about the attributes of a class."""
    return {
        name: (
            kind_of(name, value),
            value.__doc__,
            *(getattr(value, each, None) for each in ("__name__", "__qualname__", "__module__")),
            str(inspect.signature(value)) if kind_of(name, value) is types.FunctionType else None,  # type: ignore[arg-type]
        )
        for name, value in vars(owner).items()
        if not name.startswith("_sandscope") and name not in PYTHONS_OWN
    }


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"spans": "outer"}, {"spans": "off"}], ids=str)
def test_introspection_of_what_is_patched_gives_the_same(instrument: Any, settings: dict[str, Any]) -> None:
    before = {owner: (visible(owner), owner.__mro__) for owner in OWNERS}
    instrument(**settings)
    assert {owner: (visible(owner), owner.__mro__) for owner in OWNERS} == before
