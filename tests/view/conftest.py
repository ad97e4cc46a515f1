"""The page of a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness._chromium import chromium
from harness._local_store import Store
from view._site import Site

__all__ = ["chromium"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return the store of an empty folder."""
    return Store(tmp_path)


@pytest.fixture
def site(store: Store) -> Site:
    """Return its page."""
    return Site(store)
