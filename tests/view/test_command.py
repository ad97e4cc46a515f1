"""``sandscope view`` as a command."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from harness import BIN, PATIENCE, clean_environment, wait_until
from harness._local_store import Store, request, span
from sandscope._cli import _local_store
from sandscope._cli.main import main


@contextmanager
def running(data: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``sandscope view``; yield its process and the address that it prints."""
    command = [str(BIN / "sandscope"), "view", "--no-open", "--data", str(data), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.fullmatch(r"sandscope: (http://127\.0\.0\.1:\d+/\?token=[\w-]{32})\n", line)
            assert match, line
            yield process, match[1]
        finally:
            process.kill()


def _reader() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_shows_what_is_added_and_ends_with_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    store = Store(tmp_path)
    with running(tmp_path) as (process, address), running(tmp_path) as (_, other):
        reader, another = _reader(), _reader()

        def shown(text: str) -> bool:
            return (
                text in reader.open(address).read().decode() and text in another.open(other).read().decode()
            )

        wait_until(lambda: shown("Nothing has been recorded here yet"))
        store.add(request(span(1, name="the first")))
        wait_until(lambda: shown("the first"))
        store.add(request(span(2, name="the second")))
        wait_until(lambda: shown("the second"))
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
        assert process.communicate() == ("", "")


def test_it_is_reached_from_this_machine_only(tmp_path: Path) -> None:
    with running(tmp_path) as (process, address):
        port = int(address.split(":")[2].split("/")[0])
        table = "\n".join(Path(f"/proc/{process.pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
        listening = [line.split()[1] for line in table.splitlines() if " 0A " in line]
        assert [each for each in listening if each.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "there is no such folder. Record something with: sandscope run"),
        (
            ["--port", "70000"],
            "Cannot listen on '127.0.0.1:70000': it is not a port number. Choose another one",
        ),
    ],
)
def test_what_the_user_can_correct(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sandscope-data").mkdir()
    assert main(["view", "--no-open", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        assert main(["view", "--no-open", "--data", str(tmp_path), "--port", port]) == 2
    assert f"Cannot listen on '127.0.0.1:{port}': " in capsys.readouterr().err


def test_without_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_local_store, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert main(["view", "--no-open", "--data", str(tmp_path)]) == 2
    assert (
        "uvicorn is not installed. Install it with: pip install 'sandscope[view]'" in capsys.readouterr().err
    )
