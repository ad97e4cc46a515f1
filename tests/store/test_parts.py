"""The parts of the store: when they are merged, and which of them a query opens."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from harness._local_store import START, Store, request, span
from sandscope._store import Database, Selection, ingest, writing
from sandscope._store import _ingest as module

SECOND = 1_000  # numbers of spans, which are a millisecond apart


def test_parts_of_a_rotated_file_become_one(store: Store, one_more: Callable[[], None]) -> None:
    for _ in range(3):
        one_more()
        store.names()
    assert len(store.parts()) == 3
    (store.data / "traces.jsonl").replace(store.data / "traces-1.jsonl")
    store.add(request(span(4)))
    assert store.names() == [f"run {number}" for number in range(1, 5)]
    store.names()
    assert len(store.parts()) == 2
    (store.data / "traces-1.jsonl").unlink()
    assert len(store.names()) == 4


def test_a_rotated_file_is_one_part(store: Store) -> None:
    store.add("".join(request(span(number)) for number in range(100)), "traces-1.jsonl")
    assert len(store.names()) == 100
    assert len(store.parts()) == 1


def test_a_file_that_is_rotated_while_another_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    store.add(request(span(1)) + request(span(2)), "traces-1.jsonl")
    store.add(request(span(3)) + request(span(4)))
    rotated = store.data / "traces-2.jsonl"

    def rotate(_done: int, _total: int) -> None:
        if not rotated.exists():
            (store.data / "traces.jsonl").replace(rotated)
            store.add(request(span(5)))

    with writing(store.folder):
        ingest(store.data, store.folder, rotate)
    assert rotated.exists()
    assert store.names() == [f"run {number}" for number in range(1, 6)]


def _of_three_times(store: Store) -> Path:
    """Add three parts, ten seconds apart, and return the one in the middle."""
    for number in (1, 2, 3):
        numbers = (number * 10 * SECOND, number * 10 * SECOND + SECOND)
        store.add(request(*map(span, numbers)), f"traces-{number}.jsonl")
        store.names()
    (middle,) = (name for name in store.parts() if f"-{(START + 20 * SECOND * 10**6) // 1000}-" in name)
    return store.folder / middle


def test_a_range_of_time_has_the_same_rows(store: Store) -> None:
    _of_three_times(store)
    ends = [
        None,
        *(START + each * 10**6 for each in (0, 10_000, 10_001, 11_000, 11_001, 15_000, 31_000, 32_000)),
    ]
    with Database(store.folder) as database:
        for times in product(ends, ends):
            condition, parameters = Selection(since=times[0], until=times[1]).condition()
            sql = f"SELECT name FROM spans WHERE {condition} ORDER BY name"
            assert database.query(sql, parameters, times) == database.query(sql, parameters), times


def test_a_part_of_another_time_is_not_opened(store: Store) -> None:
    middle = _of_three_times(store)
    with Database(store.folder) as database:
        middle.unlink()
        times = START + 25 * SECOND * 10**6, None
        names = database.query(
            "SELECT name FROM spans WHERE start_ns >= ? ORDER BY name", [times[0]], times
        ).rows
    assert names == [("run 30000",), ("run 31000",)]


def test_what_has_no_time_is_found_without_one(store: Store) -> None:
    store.add(request(span(1, startTimeUnixNano="never"), span(2, startTimeUnixNano="-1")))
    assert store.names() == ["run 1", "run 2"]
