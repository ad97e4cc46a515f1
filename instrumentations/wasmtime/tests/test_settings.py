"""A setting comes from its argument, else from its variable; one that cannot be read is an error at start."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope import SandscopeError
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._settings import Settings

OTHER = {"spans": "outer", "bounds": "failure", "guest_telemetry": False} | dict.fromkeys(
    ("host_spans", "fuel", "cpu", "probe", "output"), True
)


def variable(name: str) -> str:
    return f"SANDSCOPE_WASMTIME_{name.upper()}"


def test_every_setting_has_the_variable_of_its_name() -> None:
    assert {each.name: each.metadata["variable"] for each in fields(Settings)} == {
        name: variable(name) for name in OTHER
    }


def test_nothing_given_is_the_default() -> None:
    assert Settings.read({}) == Settings.read(dict.fromkeys(OTHER)) == Settings()


@pytest.mark.parametrize("name", OTHER)
def test_a_variable_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), str(OTHER[name]))
    assert asdict(Settings.read({})) == asdict(Settings()) | {name: OTHER[name]}


@pytest.mark.parametrize("name", OTHER)
def test_an_argument_comes_before_the_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), str(OTHER[name]))
    default = getattr(Settings(), name)
    assert Settings.read({name: default}) == Settings()


@pytest.mark.parametrize("name", OTHER)
def test_a_wrong_variable_is_an_error_that_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), "sometimes")
    with pytest.raises(SandscopeError, match=f"Cannot read {variable(name)}='sometimes': it is not "):
        WasmtimeInstrumentor().instrument()


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ({"spans": "some"}, "all, outer or off"),
        ({"spans": True}, "all, outer or off"),
        ({"spans": ["all"]}, "all, outer or off"),
        ({"bounds": ""}, "violation or failure"),
        ({"fuel": 1}, "True or False"),
        ({"cpu": "yes"}, "True or False"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_is_right(argument: dict[str, Any], wanted: str) -> None:
    ((name, value),) = argument.items()
    with pytest.raises(SandscopeError) as caught:
        WasmtimeInstrumentor().instrument(**argument)
    assert str(caught.value) == (
        f"Cannot read {name}={value!r}: it is not {wanted}. Set it to {wanted}, or leave it out."
    )


def test_after_an_error_nothing_is_patched(telemetry: Telemetry) -> None:
    before = dict(vars(wasmtime.Func))
    with pytest.raises(SandscopeError):
        WasmtimeInstrumentor().instrument(spans="some", **telemetry.providers)
    assert dict(vars(wasmtime.Func)) == before
    WasmtimeInstrumentor().instrument(**telemetry.providers)
    WasmtimeInstrumentor().uninstrument()
