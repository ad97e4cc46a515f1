"""What a user can choose: by an argument of ``instrument()``, else by a variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from sandscope.instrumentation import one_of, read_boolean, read_choice, wrong_setting


def _choice(variable: str, *choices: str) -> Any:
    return field(default=choices[0], metadata={"variable": variable, "choices": choices})


def _flag(variable: str, *, default: bool = False) -> Any:
    return field(default=default, metadata={"variable": variable})


@dataclass(frozen=True)
class Settings:
    """How much is observed, and what it may cost.

    Attributes:
        spans: of all calls, of the outermost only, or of none; metrics count all calls.
        host_spans: also a span for each call of a host function.
        fuel: measure the fuel of calls, where the engine counts it.
        cpu: measure the CPU time of calls.
        probe: count files and bytes of WASI guests by a module of our own around WASI.
        output: also log what a guest writes to stdout and stderr.
        bounds: an access outside of memory or table is a violation, or only a failure.
        guest_telemetry: let guests that ask for it emit telemetry of their own.
    """

    spans: Literal["all", "outer", "off"] = _choice("SANDSCOPE_WASMTIME_SPANS", "all", "outer", "off")
    host_spans: bool = _flag("SANDSCOPE_WASMTIME_HOST_SPANS")
    fuel: bool = _flag("SANDSCOPE_WASMTIME_FUEL")
    cpu: bool = _flag("SANDSCOPE_WASMTIME_CPU")
    probe: bool = _flag("SANDSCOPE_WASMTIME_PROBE")
    output: bool = _flag("SANDSCOPE_WASMTIME_OUTPUT")
    bounds: Literal["violation", "failure"] = _choice("SANDSCOPE_WASMTIME_BOUNDS", "violation", "failure")
    guest_telemetry: bool = _flag("SANDSCOPE_WASMTIME_GUEST_TELEMETRY", default=True)

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Settings:
        """Return the settings.

        Args:
            arguments: of ``instrument()``; None, as one left out, means that the variable decides.

        Raises:
            SandscopeError: if one of them cannot be read.
        """
        return cls(**{each.name: _read(each, arguments.get(each.name)) for each in fields(cls)})


def _read(setting: Field[Any], argument: Any) -> Any:
    variable, choices = setting.metadata["variable"], setting.metadata.get("choices")
    if choices is None:
        if argument is None:
            return read_boolean(variable, default=bool(setting.default))
        if not isinstance(argument, bool):
            raise wrong_setting(setting.name, argument, "True or False")
    else:
        if argument is None:
            return read_choice(variable, choices)
        if argument not in choices:
            raise wrong_setting(setting.name, argument, one_of(choices))
    return argument
