"""The settings of the instrumentation are read, and an invalid one is an error before anything is patched."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from sandscope import SandscopeError
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor


@pytest.mark.parametrize("variable", ["SANDSCOPE_WASMTIME_SPANS", "SANDSCOPE_WASMTIME_FUEL"])
def test_an_invalid_variable_is_an_error(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "sometimes")
    with pytest.raises(SandscopeError, match=f"Cannot read {variable}='sometimes': it is not "):
        WasmtimeInstrumentor().instrument()


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ({"spans": "some"}, "all, outer or off"),
        ({"spans": True}, "all, outer or off"),
        ({"spans": ["all"]}, "all, outer or off"),
        ({"bounds": ""}, "violation or failure"),
        ({"fuel": 1}, "True or False"),
        ({"cpu": "yes"}, "True or False"),
    ],
)
def test_an_invalid_argument_is_an_error_that_names_the_valid_ones(
    argument: dict[str, Any], expected: str
) -> None:
    ((name, value),) = argument.items()
    with pytest.raises(SandscopeError) as caught:
        WasmtimeInstrumentor().instrument(**argument)
    assert str(caught.value) == (
        f"Cannot read {name}={value!r}: it is not {expected}. Set it to {expected}, or leave it out."
    )


def test_after_an_error_nothing_is_patched(instrument: Any) -> None:
    before = dict(vars(wasmtime.Func))
    with pytest.raises(SandscopeError):
        instrument(spans="some")
    assert dict(vars(wasmtime.Func)) == before
    instrument()
    assert dict(vars(wasmtime.Func)) != before
