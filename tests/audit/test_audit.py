"""The chain of the security log: what was done to the files after they were sealed is found, and named."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sandscope import SandscopeError
from sandscope._audit import _chain, _seal, read_key, seal, verify
from sandscope._cli.main import main

LINES = [json.dumps({"resourceLogs": [{"n": number}]}) for number in range(1, 10)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with three files, as the Collector leaves them, sealed."""
    (tmp_path / "security-2026-01-01T00-00-00.000-size.jsonl").write_text(_text(LINES[:3]))
    (tmp_path / "security-2026-02-01T00-00-00.000-size.jsonl").write_text(_text(LINES[3:6]))
    (tmp_path / "security.jsonl").write_text(_text(LINES[6:]))
    (tmp_path / "logs.jsonl").write_text("not sealed\n")
    assert seal(tmp_path)[0] == 9
    return tmp_path


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _write(data: Path, lines: list[str]) -> None:
    (data / "security.jsonl").write_text(_text(lines))


def test_what_is_as_it_was_sealed_is_verified(data: Path) -> None:
    result = verify(data)
    assert (result.lines, result.aged_out, result.unsealed, result.wrong) == (9, 0, 0, "")
    assert result.last is not None
    assert result.last.n == 9


def _change(data: Path) -> None:
    _write(data, [LINES[6], LINES[7].replace("8", "88"), LINES[8]])


def _change_in_an_old_file(data: Path) -> None:
    file = data / "security-2026-01-01T00-00-00.000-size.jsonl"
    file.write_text(file.read_text().replace('"n": 2', '"n": 22'))


def _remove(data: Path) -> None:
    _write(data, [LINES[6], LINES[8]])


def _insert(data: Path) -> None:
    _write(data, [LINES[6], "{}", LINES[7], LINES[8]])


def _move(data: Path) -> None:
    _write(data, [LINES[6], LINES[8], LINES[7]])


def _cut_off(data: Path) -> None:
    _write(data, LINES[6:8])


def _remove_a_file(data: Path) -> None:
    (data / "security-2026-02-01T00-00-00.000-size.jsonl").unlink()


def _remove_the_oldest_file(data: Path) -> None:
    (data / "security-2026-01-01T00-00-00.000-size.jsonl").unlink()


def _remove_all(data: Path) -> None:
    for file in data.glob("security*.jsonl"):
        file.unlink()


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (_change, "line 8, sealed * has been changed: security.jsonl, line 2"),
        (
            _change_in_an_old_file,
            "line 2, sealed * has been changed: security-2026-01-01T00-00-00.000-size.jsonl, line 2",
        ),
        (_remove, "line 8, sealed * has been removed: before security.jsonl, line 2"),
        (_insert, "a line has been inserted before line 8: security.jsonl, line 2"),
        (_move, "line 8, sealed * has been moved to security.jsonl, line 3"),
        (_cut_off, "line 9, sealed * has been removed: the log ends before it"),
        (_remove_a_file, "line 4, sealed * has been removed: before security.jsonl, line 1"),
        (
            _remove_the_oldest_file,
            "line 1, sealed * has been removed: before security-2026-02-01T00-00-00.000-size.jsonl, line 1",
        ),
        (_remove_all, "line 1, sealed * has been removed: the log ends before it"),
    ],
)
def test_the_first_line_that_differs_is_named(
    data: Path, tamper: Callable[[Path], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(data)
    begin, _, end = said.partition("*")
    wrong = verify(data).wrong
    assert wrong.startswith(begin)
    assert wrong.endswith(end)
    assert main(["audit", "verify", "--data", str(data)]) == 1
    assert (
        capsys.readouterr().err
        == f"sandscope: The security log in {str(data)!r} is not as it was: {wrong}.\n"
    )


def _chain_of(data: Path) -> list[str]:
    return (data / "security.chain").read_text().splitlines()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda chain: [*chain[:4], chain[4].replace('"n":5', '"n":6'), *chain[5:]], "entry 6 of the chain"),
        (lambda chain: [*chain[:4], *chain[5:]], "entry 6 of the chain does not follow"),
        (lambda chain: [*chain[:4], chain[5], chain[4], *chain[6:]], "entry 6 of the chain does not follow"),
        (lambda chain: chain[1:], "entry 2 of the chain does not follow"),
    ],
    ids=["changed", "removed", "moved", "beginning"],
)
def test_a_change_of_the_chain_is_named(
    data: Path, change: Callable[[list[str]], list[str]], said: str
) -> None:
    (data / "security.chain").write_text(_text(change(_chain_of(data))))
    assert verify(data).wrong.startswith(said)


@pytest.mark.parametrize("line", ["{}", "[]", "nonsense", '{"n":1}', "[" * 100_000])
def test_a_line_that_is_no_entry_is_named(data: Path, line: str) -> None:
    (data / "security.chain").write_text(_text([*_chain_of(data)[:2], line]))
    with pytest.raises(SandscopeError, match="Line 3 of the chain"):
        verify(data)
    with pytest.raises(SandscopeError, match="The last line of the chain"):
        seal(data)


def test_without_a_kept_head_or_a_key_a_rewritten_chain_cannot_be_told(data: Path) -> None:
    kept = verify(data).last
    assert kept is not None
    (data / "security.chain").unlink()
    _change(data)
    seal(data)
    assert verify(data).wrong == ""
    assert "does not contain the head that was kept" in verify(data, kept_head=kept.head).wrong


def test_a_kept_head_shows_that_both_files_were_cut_off(data: Path) -> None:
    kept = json.loads(_chain_of(data)[-1])["head"]
    (data / "security.chain").write_text(_text(_chain_of(data)[:8]))
    _cut_off(data)
    assert verify(data).wrong == ""
    assert main(["audit", "verify", "--data", str(data), "--head", kept]) == 1


def test_a_head_of_earlier_is_still_in_the_chain(data: Path) -> None:
    kept = json.loads(_chain_of(data)[-1])["head"]
    _write(data, [*LINES[6:], "one more"])
    seal(data)
    assert verify(data, kept_head=kept).wrong == ""


def test_who_has_no_key_cannot_continue_the_chain(tmp_path: Path) -> None:
    _write(tmp_path, LINES[:2])
    seal(tmp_path, b"k" * 32)
    assert verify(tmp_path, b"k" * 32).wrong == ""
    _write(tmp_path, LINES[:3])
    seal(tmp_path, b"x" * 32)
    assert verify(tmp_path, b"k" * 32).wrong.startswith("entry 3 of the chain does not follow")
    assert "another key" in verify(tmp_path).wrong


def test_a_key_must_be_long_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    with pytest.raises(SandscopeError, match="umask 077"):
        read_key(key)
    key.write_bytes(b"short")
    with pytest.raises(SandscopeError, match="5 bytes"):
        read_key(key)
    key.write_bytes(b"k" * 32)
    key.chmod(0o644)
    with pytest.raises(SandscopeError, match="chmod 600"):
        read_key(key)
    key.chmod(0o600)
    _write(tmp_path, LINES[:2])
    monkeypatch.setenv("SANDSCOPE_AUDIT_KEY", str(key))
    assert main(["audit", "seal", "--data", str(tmp_path)]) == 0
    assert main(["audit", "verify", "--data", str(tmp_path)]) == 0
    monkeypatch.delenv("SANDSCOPE_AUDIT_KEY")
    assert main(["audit", "verify", "--data", str(tmp_path)]) == 1


def test_sealing_goes_on_across_rotations(tmp_path: Path) -> None:
    written: list[str] = []
    for number, line in enumerate(LINES):
        written.append(line)
        _write(tmp_path, written)
        if number % 2:
            seal(tmp_path)
        if number % 4 == 3:
            (tmp_path / "security.jsonl").rename(
                tmp_path / f"security-2026-0{number}-01T00-00-00.000-size.jsonl"
            )
            written.clear()
    assert seal(tmp_path)[0] == 1
    result = verify(tmp_path)
    assert (result.lines, result.wrong) == (9, "")


@pytest.mark.parametrize(("ending", "module"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
def test_files_may_be_compressed_after_they_were_rotated(
    data: Path, ending: str, module: Callable[..., object]
) -> None:
    for file in data.glob("security-*.jsonl"):
        compressed = module.compress(file.read_bytes())  # type: ignore[attr-defined] # of three modules
        file.with_name(file.name + ending).write_bytes(compressed)
        assert verify(data).wrong == ""  # while both are there
        file.unlink()
    assert verify(data).lines == 9
    (data / "security.jsonl").unlink()
    with pytest.raises(SandscopeError, match="line 9, which was sealed last, is no longer there"):
        seal(data)


def test_the_last_sealed_line_may_be_in_a_compressed_file(data: Path) -> None:
    (data / "security-2026-03-01T00-00-00.000-size.jsonl.gz").write_bytes(
        gzip.compress(_text(LINES[6:]).encode())
    )
    _write(data, ["after"])
    assert seal(data)[0] == 1
    assert verify(data).lines == 10


def test_a_damaged_file_is_named(data: Path) -> None:
    file = data / "security-2026-01-01T00-00-00.000-size.jsonl"
    file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes())[:-9])
    file.unlink()
    with pytest.raises(SandscopeError, match=r"size\.jsonl\.gz'.*It is damaged"):
        verify(data)


def test_a_line_without_its_end_waits(data: Path) -> None:
    with (data / "security.jsonl").open("a") as file:
        file.write("half")
    assert seal(data)[0] == 0
    with (data / "security.jsonl").open("a") as file:
        file.write(" and half\n")
    assert verify(data).unsealed == 1
    assert seal(data)[0] == 1


def test_the_end_of_a_line_may_be_in_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "security-2026-01-01T00-00-00.000-size.jsonl").write_text("first\nsecond")
    (tmp_path / "security.jsonl").write_text("\nthird\n")
    assert seal(tmp_path)[0] == 3
    assert verify(tmp_path).lines == 3


def test_what_a_crash_leaves_of_an_entry_is_cut_off(data: Path) -> None:
    with (data / "security.chain").open("a") as file:
        file.write('{"n":10,"time":')
    _write(data, [*LINES[6:], "one more"])
    assert seal(data)[0] == 1
    assert verify(data).lines == 10


def test_sealing_does_not_hide_a_change_of_the_last_line(data: Path) -> None:
    _write(data, [*LINES[6:8], "changed", "added"])
    with pytest.raises(SandscopeError, match="line 9, which was sealed last, is no longer there"):
        seal(data)
    assert verify(data).wrong.startswith("line 9")


def test_lines_may_be_gone_after_their_year(data: Path) -> None:
    chain, time, last = [], datetime.now(timezone.utc) - timedelta(days=400), None
    for number, line in enumerate(LINES):
        when = time if number < 3 else datetime.now(timezone.utc)
        last = _chain.follow(last, when.isoformat(), 0, line.encode(), None)
        chain.append(last.text())
    (data / "security.chain").write_text("".join(chain))
    _remove_the_oldest_file(data)
    result = verify(data)
    assert (result.lines, result.aged_out, result.wrong) == (6, 3, "")
    assert verify(data, retention=500).wrong.startswith("line 1,")
    _remove_a_file(data)
    assert verify(data).wrong.startswith("line 4,")


def test_an_old_line_that_is_still_there_must_be_as_it_was(data: Path) -> None:
    entry = None
    chain = []
    for line in LINES:
        entry = _chain.follow(entry, "2001-01-01T00:00:00.000Z", 0, line.encode(), None)
        chain.append(entry.text())
    (data / "security.chain").write_text("".join(chain))
    assert verify(data).wrong == ""
    file = data / "security-2026-01-01T00-00-00.000-size.jsonl"
    file.write_text(file.read_text().replace('"n": 1', '"n": 11'))
    assert verify(data).wrong.startswith("line 1,")


def test_two_at_a_time_seal_each_line_once(tmp_path: Path) -> None:
    _write(tmp_path, [str(number) for number in range(2000)])
    sealed: list[int] = []
    threads = [threading.Thread(target=lambda: sealed.append(seal(tmp_path)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sealed) == 2000
    assert verify(tmp_path).lines == 2000


def test_more_lines_than_are_sealed_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_seal, "_AT_A_TIME", 4)
    _write(tmp_path, LINES)
    assert seal(tmp_path)[0] == 9
    assert verify(tmp_path).lines == 9


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "security.jsonl").symlink_to(os.devnull)
    with pytest.raises(SandscopeError, match="Cannot read the security log"):
        seal(tmp_path)


def test_a_chain_that_was_removed_is_no_chain_that_fits(data: Path) -> None:
    (data / "security.chain").unlink()
    with pytest.raises(SandscopeError, match=r"none of its lines is sealed.*somebody has removed it"):
        verify(data)


@pytest.mark.parametrize("left", [0, 5])
def test_who_seals_each_second_does_not_go_on_behind_a_cut(data: Path, left: int) -> None:
    _, last = seal(data)
    (data / "security.chain").write_text("".join(f"{line}\n" for line in _chain_of(data)[:left]))
    with pytest.raises(SandscopeError, match="cut off or written anew: it had 9 entries"):
        seal(data, after=last)
    assert len(_chain_of(data)) == left


def test_another_may_have_sealed_meanwhile(data: Path) -> None:
    _, last = seal(data)
    _write(data, [*LINES[6:], "one more"])
    seal(data)
    assert seal(data, after=last)[0] == 0


def test_where_there_is_no_log_the_error_names_the_overlay(tmp_path: Path) -> None:
    with pytest.raises(SandscopeError, match="Run the Collector with the overlay `security`"):
        verify(tmp_path)
    with pytest.raises(SandscopeError, match="there is no such folder"):
        seal(tmp_path / "missing")


def test_the_command_says_what_to_keep(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(data, [*LINES[6:], "one more"])
    assert main(["audit", "verify", "--data", str(data)]) == 0
    assert main(["audit", "seal", "--data", str(data)]) == 0
    kept = json.loads(_chain_of(data)[-1])["head"]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(
        "verified 9 lines: as they were when they were sealed; 1 line not yet sealed; head of line 9"
    )
    assert said[1] == f"sealed 1 line; head of line 10: {kept}"


def test_only_the_owner_may_read_the_chain(data: Path) -> None:
    assert (data / "security.chain").stat().st_mode & 0o777 == 0o600
