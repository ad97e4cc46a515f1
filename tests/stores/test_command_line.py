"""The command line of `sandscope` finds the stores in sandscope-collector, or says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sandscope._cli.main import main

pytestmark = pytest.mark.stores


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sandscope_collector", None)
    monkeypatch.setitem(sys.modules, "sandscope_collector.stores", None)


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize("words", [[], ["up"], ["up", "jaeger", "--data", "folder"], ["down"]], ids=" ".join)
def test_without_the_wheel_every_action_says_what_to_install(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stores", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sandscope: Cannot find the stores: ")
    assert said.endswith("Run `pip install 'sandscope[collector]'`.\n")


@pytest.mark.usefixtures("no_wheel")
def test_without_the_wheel_the_help_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stores", "--help"])
    assert "pip install 'sandscope[collector]'" in capsys.readouterr().out


def test_an_error_of_the_stores_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stores", "up", "mysql"]) == 2
    assert capsys.readouterr().err == (
        "sandscope: Cannot find the store 'mysql': the stores are prometheus, jaeger, loki, alertmanager. "
        "Use one of these names.\n"
    )


def test_a_variable_that_is_not_a_port_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SANDSCOPE_PROMETHEUS_PORT", "http")
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["stores", "up"]) == 2
    assert "Cannot use SANDSCOPE_PROMETHEUS_PORT='http'" in capsys.readouterr().err


def test_the_command_line_of_other_subcommands_does_not_import_the_stores() -> None:
    code = (
        "import sys; from sandscope._cli.main import main; main(['collector', 'path', '--otelcol', sys.executable]);"
        "sys.exit('sandscope_collector.stores' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
