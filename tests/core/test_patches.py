"""Replaced methods are restored, and added attributes are removed."""

from __future__ import annotations

from typing import Any

import pytest
import wrapt

from sandscope import _guard
from sandscope.instrumentation import Patches


class Owner:
    """A class with a method to replace."""

    @classmethod
    def make(cls) -> str:
        return "plain"


class Subclass(Owner):
    """A class that inherits the method."""


def _replaced(_original: Any) -> Any:
    return classmethod(lambda cls: "replaced")


@pytest.mark.parametrize("owner", [Owner, Subclass])
def test_a_replaced_method_is_restored(owner: type[Owner]) -> None:
    before = dict(vars(owner))
    patches = Patches()
    patches.replace(owner, "make", _replaced)
    assert owner.make() == "replaced"
    assert not patches.undone
    patches.undo()
    assert owner.make() == "plain"
    assert patches.undone
    if owner is Owner:
        assert dict(vars(owner)) == before


def test_an_added_attribute_is_removed() -> None:
    before = dict(vars(Owner))
    patches = Patches()
    patches.add(Owner, "more", 5)
    assert Owner.more == 5  # type: ignore[attr-defined]
    patches.undo()
    assert dict(vars(Owner)) == before


def test_a_later_replacement_by_other_code_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = Patches()
    patches.add(Owner, "more", 5)
    monkeypatch.setattr(Owner, "more", 6)
    patches.undo()
    assert Owner.more == 6  # type: ignore[attr-defined]
    assert _guard.counts() == {"uninstrument": 1}


@pytest.mark.parametrize("subclass", [False, True])
def test_a_method_that_other_code_has_wrapped_is_bound_to_its_instance(subclass: bool) -> None:
    """A wrapper of wrapt that is called as a function does not know its instance."""
    seen: list[Any] = []

    class Wrapped:
        def method(self, value: int) -> int:
            return value + 1

    def tsubclasss(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append((instance, args, kwargs))
        return wrapped(*args, **kwargs)

    wrapped: Any = Wrapped
    wrapped.method = wrapt.FunctionWrapper(wrapped.method, tsubclasss)
    raw = vars(wrapped)["method"]
    owner: Any = type("Subclass", (wrapped,), {}) if subclass else wrapped
    patches = Patches()
    patches.replace(owner, "method", lambda original: lambda self, value: original(self, value=value) * 2)
    instance = owner()
    assert instance.method(4) == 10
    patches.undo()
    assert instance.method(6) == 7
    assert seen == [(instance, (), {"value": 4}), (instance, (6,), {})]
    assert vars(wrapped)["method"] is raw


def test_a_missing_attribute_is_ignored() -> None:
    before = dict(vars(Owner))
    Patches().replace(Owner, "nothing", _replaced)
    assert dict(vars(Owner)) == before


def test_functions_for_the_end_are_called_once_and_may_fail() -> None:
    called: list[str] = []
    patches = Patches()

    def fail() -> None:
        called.append("fails")
        raise ValueError

    patches.on_undo(lambda: called.append("first"))
    patches.on_undo(fail)
    patches.replace(Owner, "make", _replaced)
    for _ in range(2):
        patches.undo()
    assert called == ["fails", "first"]
    assert Owner.make() == "plain"
