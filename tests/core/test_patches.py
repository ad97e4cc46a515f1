"""What is patched can be put back, and what was added goes away again."""

from __future__ import annotations

from typing import Any

import pytest
import wrapt

from sandscope import _guard
from sandscope.instrumentation import Patches


class Owner:
    """Has something to replace."""

    @classmethod
    def make(cls) -> str:
        return "plain"


class Heir(Owner):
    """Has it by inheritance."""


def _ours(_original: Any) -> Any:
    return classmethod(lambda cls: "ours")


@pytest.mark.parametrize("owner", [Owner, Heir])
def test_what_is_replaced_comes_back(owner: type[Owner]) -> None:
    before = dict(vars(owner))
    patches = Patches()
    patches.replace(owner, "make", _ours)
    assert owner.make() == "ours"
    assert not patches.undone
    patches.undo()
    assert owner.make() == "plain"
    assert patches.undone
    if owner is Owner:
        assert dict(vars(owner)) == before


def test_what_is_added_goes_away() -> None:
    before = dict(vars(Owner))
    patches = Patches()
    patches.add(Owner, "more", 5)
    assert Owner.more == 5  # type: ignore[attr-defined]
    patches.undo()
    assert dict(vars(Owner)) == before


def test_what_was_replaced_by_others_since_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = Patches()
    patches.add(Owner, "more", 5)
    monkeypatch.setattr(Owner, "more", 6)
    patches.undo()
    assert Owner.more == 6  # type: ignore[attr-defined]
    assert _guard.counts() == {"uninstrument": 1}


@pytest.mark.parametrize("heir", [False, True])
def test_what_others_have_wrapped_is_bound_as_it_was(heir: bool) -> None:
    """A wrapper of wrapt's that is called as a function does not find its instance."""
    seen: list[Any] = []

    class Wrapped:
        def method(self, value: int) -> int:
            return value + 1

    def theirs(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append((instance, args, kwargs))
        return wrapped(*args, **kwargs)

    wrapped: Any = Wrapped
    wrapped.method = wrapt.FunctionWrapper(wrapped.method, theirs)
    raw = vars(wrapped)["method"]
    owner: Any = type("Heir", (wrapped,), {}) if heir else wrapped
    patches = Patches()
    patches.replace(owner, "method", lambda original: lambda self, value: original(self, value=value) * 2)
    instance = owner()
    assert instance.method(4) == 10
    patches.undo()
    assert instance.method(6) == 7
    assert seen == [(instance, (), {"value": 4}), (instance, (6,), {})]
    assert vars(wrapped)["method"] is raw


def test_a_name_that_an_owner_lacks_is_left_alone() -> None:
    before = dict(vars(Owner))
    Patches().replace(Owner, "nothing", _ours)
    assert dict(vars(Owner)) == before
