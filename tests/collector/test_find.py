from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sandscope import SandscopeError
from sandscope._collector import find_otelcol


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    return executable(tmp_path / "named" / "otelcol")


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sandscope_collector", None)
    monkeypatch.delenv("SANDSCOPE_OTELCOL", raising=False)


def test_the_argument_comes_before_the_variable(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_OTELCOL", "/nowhere")
    assert find_otelcol(binary) == binary


def test_the_variable_comes_before_the_wheel(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_OTELCOL", str(binary))
    assert find_otelcol() == binary


@pytest.mark.usefixtures("otelcol")
def test_the_wheel_comes_before_path(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sandscope_collector

    monkeypatch.delenv("SANDSCOPE_OTELCOL", raising=False)
    monkeypatch.setenv("PATH", str(binary.parent))
    assert find_otelcol() == sandscope_collector.binary()


@pytest.mark.usefixtures("no_wheel")
def test_path_is_looked_at_last(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(binary.parent))
    assert find_otelcol() == binary


@pytest.mark.usefixtures("no_wheel")
def test_the_error_lists_every_place_and_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandscopeError) as caught:
        find_otelcol()
    assert str(caught.value) == (
        "Cannot find 'otelcol': looked at the SANDSCOPE_OTELCOL variable (not set), "
        f"the package sandscope-collector (not installed) and PATH ({tmp_path}). "
        "Run `pip install 'sandscope[collector]'`."
    )


def test_a_wrong_argument_is_an_error_though_another_could_be_found(tmp_path: Path) -> None:
    missing = tmp_path / "otelcol"
    with pytest.raises(SandscopeError, match=f"Cannot use otelcol '{missing}': there is no such file"):
        find_otelcol(missing)


def test_a_wrong_variable_is_an_error_though_another_could_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "otelcol"
    text.write_text("not a program")
    monkeypatch.setenv("SANDSCOPE_OTELCOL", str(text))
    with pytest.raises(SandscopeError, match=r"it cannot be executed\. Correct or unset SANDSCOPE_OTELCOL\."):
        find_otelcol()
