"""Settings of an instrumentation, declared as the fields of a dataclass.

A setting is an argument of ``instrument()``. If it is not given, an environment variable is read::

    @dataclass(frozen=True)
    class WasmtimeSettings(Settings):
        spans: Literal["all", "outer", "off"] = choice("SANDSCOPE_WASMTIME_SPANS", "all", "outer", "off")
        fuel: bool = flag("SANDSCOPE_WASMTIME_FUEL")

    settings = WasmtimeSettings.read(kwargs)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from sandscope._settings import one_of, read_boolean, read_choice, wrong_setting

_S = TypeVar("_S", bound="Settings")


def choice(variable: str, *choices: str) -> Any:
    """Declare a setting with a fixed set of values.

    Args:
        variable: the environment variable.
        choices: the values; the first is the default.
    """
    return field(default=choices[0], metadata={"variable": variable, "choices": choices})


def flag(variable: str, *, default: bool = False) -> Any:
    """Declare a Boolean setting.

    Args:
        variable: the environment variable.
        default: the value if neither the argument nor the variable is set.
    """
    return field(default=default, metadata={"variable": variable})


@dataclass(frozen=True)
class Settings:
    """The settings of an instrumentation. Subclasses declare them with `choice` and `flag`."""

    @classmethod
    def read(cls: type[_S], arguments: Mapping[str, Any]) -> _S:
        """Return the settings for a call of ``instrument()``.

        Args:
            arguments: the keyword arguments of ``instrument()``. If the argument of a setting is missing or None,
                its environment variable is read.

        Raises:
            SandscopeError: if an argument or a variable has an invalid value.
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
