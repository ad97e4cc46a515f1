"""What is patched can be put back, and what was added goes away again."""

from __future__ import annotations

from typing import Any

import pytest

from sandscope import Patches, _guard


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


def test_a_name_that_an_owner_lacks_is_left_alone() -> None:
    before = dict(vars(Owner))
    Patches().replace(Owner, "nothing", _ours)
    assert dict(vars(Owner)) == before
