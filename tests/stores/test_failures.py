"""A store that cannot start is reported with the cause, and the stores started with it are stopped."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import free_ports
from harness._stores import CONFIGURATION, requires_stores
from sandscope_collector import stores
from sandscope_collector.stores import StoresError, _store_process
from sandscope_collector.stores._state_file import locked

pytestmark = pytest.mark.stores


def up(
    data: Path, *names: str, configuration: Path = CONFIGURATION, ports: Mapping[str, int] | None = None
) -> None:
    free = free_ports(port.name for store in stores.STORES.values() for port in store.ports)
    progress = stores.Progress(io.StringIO())
    stores.up(stores.select(names), configuration, data, progress, ports={**free, **(ports or {})})


def test_a_taken_port_is_named_with_its_flag(tmp_path: Path) -> None:
    requires_stores("jaeger")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = (
            f"Cannot start 'jaeger' on port {port}: another program is listening on it. "
            "Choose another port with --jaeger-otlp-port."
        )
        with pytest.raises(StoresError, match=f"^{expected}$"):
            up(tmp_path / "data", "jaeger", ports={"jaeger-otlp": port})
    assert not (tmp_path / "data").exists()


def test_one_port_for_two_is_refused(tmp_path: Path) -> None:
    requires_stores("jaeger", "prometheus")
    port = free_ports(["both"])["both"]
    with pytest.raises(
        StoresError, match=f"Cannot start 'jaeger' on port {port}: --prometheus-port has the same number"
    ):
        up(tmp_path / "data", "prometheus", "jaeger", ports={"jaeger": port, "prometheus": port})


def test_a_store_that_is_not_built_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_CACHE", str(tmp_path))
    with pytest.raises(
        StoresError, match=r"Cannot start 'loki': it is not built. Run `sandscope stores build loki`"
    ):
        up(tmp_path / "data", "loki")
    assert not (tmp_path / "data").exists()


def test_alertmanager_that_is_not_installed_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoresError, match="Run `apt-get install prometheus-alertmanager`"):
        up(tmp_path / "data", "alertmanager")


def test_a_store_that_dies_shows_its_log_and_takes_the_others_with_it(tmp_path: Path) -> None:
    requires_stores("prometheus", "jaeger")
    broken = tmp_path / "configuration"
    for name in ("prometheus", "jaeger"):
        shutil.copytree(CONFIGURATION / name, broken / name)
    (broken / "jaeger" / "jaeger.yaml").write_text("service: {nonsense: true}\n")
    data = tmp_path / "data"
    ports = free_ports(["prometheus"])

    with pytest.raises(StoresError) as raised:
        up(data, "prometheus", "jaeger", configuration=broken, ports=ports)

    assert str(raised.value).startswith("Cannot start 'jaeger': it exited")
    assert "has invalid keys: nonsense" in str(raised.value)
    assert str(raised.value).endswith(f"Read the whole log in '{data}/jaeger.log'.")
    assert "nonsense" in (data / "jaeger.log").read_text()
    socket.create_server(("127.0.0.1", ports["prometheus"])).close()
    assert {entry.started for entry in stores.status(CONFIGURATION, data)} == {None}
    assert stores.down(data) == []
    assert not data.exists()


def test_a_binary_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prometheus-alertmanager").write_bytes(b"\0not a program")
    (tmp_path / "prometheus-alertmanager").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoresError, match=r"Cannot start 'alertmanager': .*Exec format error"):
        up(tmp_path / "data", "alertmanager")


def test_another_process_with_a_recorded_id_is_never_ended(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        ports = {"prometheus": 9090}
        entry = {"name": "prometheus", "pid": innocent.pid, "started": "before", "ports": ports}
        (data / "state.json").write_text(json.dumps([entry]))
        states = {status.name: status.state for status in stores.status(CONFIGURATION, data)}

        assert states["prometheus"] == "exited"
        assert stores.down(data) == []
        assert innocent.poll() is None
        innocent.communicate(b"\n")
        assert innocent.returncode == 0
    assert not data.exists()


def test_a_process_that_ignores_the_first_signal_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('deaf', flush=True); signal.pause()"
    )
    pid = _store_process.start([sys.executable, "-c", code], os.environ, log)
    since = _store_process.start_time(pid)
    assert since is not None
    while "deaf" not in log.read_text():
        assert _store_process.start_time(pid) == since

    _store_process.stop([(pid, since)], timeout=0.3)

    assert _store_process.start_time(pid) is None


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    requires_stores("prometheus")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(
        StoresError, match=r"it contains other files\. Choose an empty or new folder with --data"
    ):
        up(tmp_path, "prometheus")
    with pytest.raises(StoresError, match="it contains other files"):
        stores.down(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_for_a_folder_is_refused(tmp_path: Path) -> None:
    requires_stores("prometheus")
    (tmp_path / "file").touch()
    with pytest.raises(StoresError, match="Choose another folder with --data"):
        up(tmp_path / "file", "prometheus")


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"name": "prometheus"}]'])
def test_a_damaged_state_file_is_said_and_left(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(StoresError, match=r"Cannot read '.*state.json'.*Stop any stores"):
        stores.down(tmp_path)
    assert (tmp_path / "state.json").read_text() == content


def test_two_commands_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "data"),
        pytest.raises(StoresError, match="another `sandscope stores` command is using it"),
    ):
        stores.down(tmp_path / "data")


def test_a_store_nobody_knows_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        StoresError, match="Cannot find the store 'mysql': the stores are prometheus, jaeger, loki"
    ):
        stores.select(["mysql"])
