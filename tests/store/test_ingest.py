"""Every complete line of the Collector's files is in the store exactly once, whatever happens to file or process."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness._local_store import Store, request, span
from sandscope._errors import SandscopeError
from sandscope._store import Database, ingest, writing
from sandscope._store import _ingest as module
from sandscope._store._merge import FACTOR


def test_what_is_added_is_read_once(store: Store) -> None:
    assert store.names() == []
    store.add(request(span(1), span(2)))
    assert store.names() == ["run 1", "run 2"]
    assert store.names() == ["run 1", "run 2"]
    store.add(request(span(3)))
    assert store.names() == ["run 1", "run 2", "run 3"]


def test_a_line_without_its_end_waits_for_it(store: Store) -> None:
    line = request(span(1))
    store.add(line[:-1])
    assert store.names() == []
    store.add("\n" + request(span(2))[:40])
    assert store.names() == ["run 1"]
    store.add(request(span(2))[40:])
    assert store.names() == ["run 1", "run 2"]


def test_a_collector_that_was_killed_costs_one_line(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    cut_off = request(span(2))[:-30]
    store.add(request(span(1)) + cut_off + request(span(3)) + "\x00\x00\n" + request(span(4)))
    assert store.names() == ["run 1", "run 3", "run 4"]
    assert "skipped 2 bytes of traces.jsonl that are not a complete request" in capfd.readouterr().err


@pytest.mark.parametrize("move", [os.replace, shutil.copy])
def test_a_rotated_file_is_the_same_file(store: Store, move: Callable[..., Any]) -> None:
    store.add(request(span(1)))
    assert store.names() == ["run 1"]
    store.add(request(span(2)))
    move(store.data / "traces.jsonl", store.data / "traces-2026-11-28T03-30-12.123.jsonl")
    if move is os.replace:
        store.add(request(span(3)))
    assert store.names() == ["run 1", "run 2", "run 3"][: 3 if move is os.replace else 2]


def test_what_was_read_stays_when_the_file_is_deleted(store: Store) -> None:
    store.add(request(span(1)))
    store.names()
    (store.data / "traces.jsonl").unlink()
    assert store.names() == ["run 1"]
    store.add(request(span(2)))  # another file by the same name, as long as the first
    assert store.names() == ["run 1", "run 2"]


def test_collectors_that_run_at_the_same_time_have_one_store(store: Store) -> None:
    (store.data / "2").mkdir()
    store.add(request(span(1)))
    store.add(request(span(2)), "2/traces.jsonl")
    assert store.names() == ["run 1", "run 2"]


def test_small_parts_are_merged(store: Store, one_more: Callable[[], None]) -> None:
    for _ in range(2 * FACTOR + 1):
        one_more()
        store.query("SELECT 1")
    assert len(store.parts()) < FACTOR
    assert len(store.names()) == 2 * FACTOR + 1


def test_a_large_file_is_read_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4096)
    progress: list[tuple[int, int]] = []
    for number in range(100):
        store.add(request(span(number)))
    store.add(request(span(100, name="x" * 10_000)))
    with writing(store.folder):
        ingest(store.data, store.folder, lambda done, total: progress.append((done, total)))
    assert len(progress) > 10
    assert progress[-1][0] == progress[-1][1] == (store.data / "traces.jsonl").stat().st_size
    assert len(store.names()) == 101


def test_leftovers_of_a_merge_are_not_counted_twice(store: Store, one_more: Callable[[], None]) -> None:
    kept: dict[str, bytes] = {}
    for _ in range(FACTOR):
        one_more()
        store.query("SELECT 1")
        kept |= {name: (store.folder / name).read_bytes() for name in store.parts()}
    assert len(store.parts()) == 1
    for name, content in kept.items():  # as if it was killed before it could delete them
        (store.folder / name).write_bytes(content)
    (store.folder / "new-rows.json").write_text("half a ro")
    with Database(store.folder) as database:
        assert database.query("SELECT count(*) FROM spans").rows == [(FACTOR,)]
    assert len(store.names()) == FACTOR
    assert len(store.parts()) == 1


KILLED = """
import sys
from pathlib import Path
from sandscope._store import _ingest, ingest, writing
_ingest.CHUNK = 2000
data = Path(sys.argv[1])
print(flush=True)
with writing(data / "store"):
    ingest(data, data / "store")
"""


def test_a_process_that_is_killed_at_any_moment_loses_and_repeats_nothing(store: Store) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 -- no secret
    moment = random.Random(seed)  # noqa: S311 -- as above
    for number in range(400):
        store.add(request(span(number)))
        if number % 50 == 49:
            command = [sys.executable, "-c", KILLED, str(store.data)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.read(1)
                time.sleep(moment.uniform(0, 0.25))
                process.send_signal(signal.SIGKILL)
    assert store.names() == [f"run {number}" for number in range(400)], f"seed {seed}"


def test_two_at_the_same_time(store: Store) -> None:
    for number in range(200):
        store.add(request(span(number)))
    command = [sys.executable, "-c", KILLED, str(store.data)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert len(store.names()) == 200


def test_a_file_in_the_place_of_the_folder(store: Store) -> None:
    store.folder.write_text("")
    with pytest.raises(SandscopeError, match=r"Cannot keep the local store in .*: "):
        store.names()


def test_the_oldest_are_dropped_when_they_are_too_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        store.add(request(span(number, name=os.urandom(20_000).hex())), f"traces-{number}.jsonl")
    assert len(store.names()) == 5
    monkeypatch.setenv("SANDSCOPE_STORE_SIZE", "60000")
    left = len(store.names())
    assert 1 <= left <= 3
    assert len(store.names()) == left  # their files are still there, but are not read again
    (store.data / "traces-0.jsonl").unlink()
    assert len(store.names()) == left
    assert len([name for name in store.parts() if name.endswith(".expired")]) == 5 - left - 1


def test_those_that_are_too_old_are_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(request(span(1)), "traces-1.jsonl")
    store.names()
    (part,) = store.parts()
    week = 7 * 24 * 3600
    os.utime(store.folder / part, (time.time() - week, time.time() - week))
    store.add(request(span(2)))
    assert store.names() == ["run 1", "run 2"]
    monkeypatch.setenv("SANDSCOPE_STORE_DAYS", "6")
    assert store.names() == ["run 2"]


@pytest.mark.parametrize("value", ["many", "-1", "0"])
def test_settings_that_are_wrong(store: Store, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SANDSCOPE_STORE_SIZE", value)
    with pytest.raises(SandscopeError, match="Cannot use SANDSCOPE_STORE_SIZE="):
        store.names()


def test_the_folder_is_private(store: Store) -> None:
    store.names()
    assert Path(store.folder).stat().st_mode & 0o777 == 0o700
