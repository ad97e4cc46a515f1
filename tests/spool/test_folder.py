"""The folder of the spool: bounded, in order, for one sender at a time, and nothing of others is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import lacking, small_disk
from sandscope._internals import Answer
from sandscope._spool import _batch_file, _room, _undelivered_records
from sandscope._spool._place import folder_for, folders_for, is_private, make_private
from sandscope._spool._replay import End, own_last, replay, waiting_in
from sandscope._spool._room import Room, all_files

ENDPOINT = "http://127.0.0.1:4318/v1/traces"
TAKEN, AWAY, REJECTED = Answer(200, "OK", is_final=True), Answer(503, "no"), Answer(400, "no", is_final=True)


@pytest.fixture(autouse=True)
def counts() -> Iterator[None]:
    _undelivered_records._counts.clear()
    yield
    _undelivered_records._counts.clear()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def folder(base: Path) -> Path:
    folder = folder_for(base, ENDPOINT, "service")
    make_private(folder)
    return folder


class Endpoint:
    """Takes requests.

    Attributes:
        answer: to all requests.
        requests: those that came.
    """

    def __init__(self, answer: Answer = TAKEN) -> None:
        self.answer = answer
        self.requests: list[bytes] = []

    def post(self, request: bytes) -> Answer:
        self.requests.append(request)
        return self.answer


def keep(folder: Path, request: bytes, records: int = 1, *, last: bool = False) -> Path:
    return _batch_file.write(folder, "span", _batch_file.pack(request, records), last=last)


def test_a_request_is_read_as_it_was_written(folder: Path) -> None:
    request = os.urandom(5000)
    assert _batch_file.read(keep(folder, request, 7)) == (request, 7)
    assert [path.name[:1] for path in folder.iterdir()] != ["."]


def test_requests_are_sent_in_order_and_removed_when_they_are_acknowledged(folder: Path) -> None:
    for number in range(5):
        keep(folder, b"%d" % number, 2)
    endpoint = Endpoint(AWAY)
    assert replay(folder, "span", endpoint.post) is End.AWAY
    assert endpoint.requests == [b"0"]
    endpoint = Endpoint()
    assert replay(folder, "span", endpoint.post) is End.ALL_SENT
    assert endpoint.requests == [b"0", b"1", b"2", b"3", b"4"]
    assert _undelivered_records.counts() == {("span", "delivered"): 10}
    assert not folder.exists(), "an empty folder does not stay"


def test_the_order_is_kept_if_the_clock_is_set_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(folder, b"first")
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    keep(folder, b"second")
    endpoint = Endpoint()
    replay(folder, "span", endpoint.post)
    assert endpoint.requests == [b"first", b"second"]


def test_what_is_rejected_is_removed_and_the_next_request_is_sent(folder: Path) -> None:
    for number in range(2):
        keep(folder, b"%d" % number)
    endpoint = Endpoint(REJECTED)
    assert replay(folder, "span", endpoint.post) is End.ALL_SENT
    assert endpoint.requests == [b"0", b"1"]
    assert _undelivered_records.counts() == {("span", "rejected"): 2}


def _torn(folder: Path) -> None:
    path = keep(folder, b"request" * 100)
    path.write_bytes(path.read_bytes()[:-3])


def _changed(folder: Path) -> None:
    path = keep(folder, b"request" * 100)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _empty(folder: Path) -> None:
    keep(folder, b"request").write_bytes(b"")


def _foreign(folder: Path) -> None:
    keep(folder, b"request").write_bytes(b"something else" * 100)


def _bomb(folder: Path) -> None:
    content = bytearray(_batch_file.pack(bytes(1 << 20), 1))
    content[24:32] = (10).to_bytes(8, "little")
    keep(folder, b"request").write_bytes(content)


@pytest.mark.parametrize("make", [_torn, _changed, _empty, _foreign, _bomb])
def test_a_file_that_is_not_as_it_was_written_is_skipped_and_counted_once(make: object, folder: Path) -> None:
    make(folder)  # type: ignore[operator]
    keep(folder, b"good")
    (bad, good) = sorted(folder.iterdir())
    endpoint = Endpoint()
    for _ in range(2):
        assert replay(folder, "span", endpoint.post) is End.ALL_SENT
    assert endpoint.requests == [b"good"]
    assert (bad.exists(), good.exists()) == (True, False)
    assert _undelivered_records.counts() == {("span", "delivered"): 1, ("span", "unreadable"): 1}


def test_what_is_not_a_file_of_the_spool_is_as_if_it_were_not_there(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(_batch_file.pack(b"secret", 1))
    name = f"{1:020}-1-span.otlp"
    (folder / name).symlink_to(secret)
    (folder / name.replace("span", "log")).mkdir()
    os.mkfifo(folder / name.replace("-1-", "-2-"))
    (folder / "notes.txt").write_text("mine")
    endpoint = Endpoint()
    assert replay(folder, "span", endpoint.post) is End.ALL_SENT
    Room(folder.parent, 1 << 20).make(1 << 20)
    assert endpoint.requests == []
    assert {path.name for path in folder.iterdir()} >= {name, "notes.txt"}
    assert secret.exists()


def test_files_of_another_user_are_neither_sent_nor_removed(folder: Path) -> None:
    path = keep(folder, b"theirs")
    try:
        os.chown(path, 12345, -1)
    except PermissionError:
        lacking("Only root can give a file to another user.")
    endpoint = Endpoint()
    assert replay(folder, "span", endpoint.post) is End.ALL_SENT
    Room(folder.parent, 4096).make(4096)
    assert endpoint.requests == []
    assert path.exists()


def test_a_folder_to_which_others_can_write_is_not_used(base: Path, tmp_path: Path) -> None:
    folder = folder_for(base, ENDPOINT, "service")
    make_private(folder)
    assert folders_for(base, ENDPOINT) == [folder]
    folder.chmod(0o777)
    assert not is_private(folder)
    assert folders_for(base, ENDPOINT) == []
    with pytest.raises(PermissionError):
        make_private(folder)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"others|exists"):
        make_private(folder)


def test_each_endpoint_and_each_service_has_its_own_folder(base: Path) -> None:
    folders = {
        folder_for(base, endpoint, service)
        for endpoint in (ENDPOINT, "http://user:password@127.0.0.1:4318/v1/traces")
        for service in ("one", "two")
    }
    assert len(folders) == 4
    assert "password" not in str(folders)


def test_the_oldest_are_dropped_and_counted_if_there_is_no_room(folder: Path) -> None:
    request, size = os.urandom(3000), 4096  # a block
    room = Room(folder.parent, 5 * size)
    kept = []
    for _ in range(8):
        room.make(size)
        kept.append(keep(folder, request, 3))
    assert sum(file.size for file in all_files(folder.parent)) <= 5 * size
    assert [path.exists() for path in kept] == [False] * 3 + [True] * 5
    assert _undelivered_records.counts() == {("span", "dropped"): 9}
    with pytest.raises(OSError, match="more than the spool may hold"):
        room.make(5 * size + 1)


@pytest.mark.parametrize("answer", [TAKEN, AWAY])
def test_what_is_being_sent_is_not_dropped(answer: Answer, folder: Path) -> None:
    request, size = os.urandom(3000), 4096  # a block
    first, second, third = (keep(folder, request, records) for records in (1, 10, 100))
    room, endpoint = Room(folder.parent, 3 * size), Endpoint(answer)

    def post(request: bytes) -> Answer:
        room.make(size)
        return endpoint.post(request)

    end = replay(folder, "span", post, lambda _seconds: True)
    assert end is (End.AWAY if answer is AWAY else End.STOPPED)
    assert (first.exists(), second.exists(), third.exists()) == (answer is AWAY, False, True)
    delivered = {("span", "delivered"): 1} if answer is TAKEN else {}
    assert _undelivered_records.counts() == {("span", "dropped"): 10, **delivered}
    if answer is AWAY:  # and nobody holds it afterwards
        room.make(3 * size)
        assert not first.exists()


def test_what_is_too_old_is_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep(folder, b"old")
    left = folder / f".{path.name}.new"
    left.touch()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + _room.MOST_AGE + 10)
    Room(folder.parent, 1 << 20).make(1)
    assert not path.exists()
    assert not left.exists()


def test_cumulative_metrics_of_a_process_that_lives_are_its_own(folder: Path) -> None:
    mine, before = (
        keep(folder, b"mine", last=True),
        keep(folder, b"of a predecessor with this pid", last=True),
    )
    own_last.add(mine)
    child = subprocess.Popen(["sleep", "60"])
    theirs = folder / mine.name.replace(f"-{os.getpid()}-", f"-{child.pid}-")
    theirs.write_bytes(mine.read_bytes())
    try:
        assert [file.path for file in waiting_in(folder)] == [before]
    finally:
        child.kill()
        child.wait()
        own_last.discard(mine)
    assert {file.path for file in waiting_in(folder)} == {mine, before, theirs}


def test_only_one_sends_at_a_time(folder: Path) -> None:
    for number in range(3):
        keep(folder, b"%d" % number)
    is_sending, may_go_on, ends = threading.Event(), threading.Event(), []
    endpoint = Endpoint()

    def slowly(request: bytes) -> Answer:
        is_sending.set()
        may_go_on.wait(30)
        return endpoint.post(request)

    thread = threading.Thread(target=lambda: ends.append(replay(folder, "span", slowly)))
    thread.start()
    assert is_sending.wait(30)
    assert replay(folder, "span", endpoint.post) is End.TAKEN
    script = "import sys; from pathlib import Path; from sandscope._spool._replay import replay; "
    script += "print(replay(Path(sys.argv[1]), 'span', print))"
    other = subprocess.run(
        [sys.executable, "-c", script, folder],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == "End.TAKEN\n"
    may_go_on.set()
    thread.join(30)
    assert ends == [End.ALL_SENT]
    assert endpoint.requests == [b"0", b"1", b"2"]


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        folder = folder_for(disk / "spool", ENDPOINT, "service")
        make_private(folder)
        room, content = Room(folder.parent, 1 << 20), _batch_file.pack(os.urandom(20_000), 1)
        with pytest.raises(OSError, match=r"full|space"):  # noqa: PT012 -- each of these
            for _ in range(100):
                room.make(len(content))
                _batch_file.write(folder, "span", content)
        assert all(_batch_file.read(file.path) for file in all_files(folder.parent))
        assert not list(folder.glob(".*"))
        (disk / "rest").write_bytes(bytes(max(0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize)))
        with pytest.raises(OSError, match="space"):
            _batch_file.write(folder, "span", content)
        assert not list(folder.glob(".*")), "nothing remains of what could not be written"
