"""The store of an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness._local_store import Store, request, span


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return the store of an empty folder."""
    return Store(tmp_path)


@pytest.fixture
def one_more(store: Store) -> Callable[[], None]:
    """Return a function that appends a request with one span."""
    numbers = iter(range(1, 1 << 20))
    return lambda: store.add(request(span(next(numbers))))
