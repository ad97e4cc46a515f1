"""Settings of an instrumentation, declared as the fields of a dataclass.

A setting is an argument of ``instrument()``. If it is not given, an environment variable is read::

    @dataclass(frozen=True)
    class WasmtimeSettings(Settings):
        spans: Literal["all", "outer", "off"] = choice("SANDSCOPE_WASMTIME_SPANS", "all", "outer", "off")
        fuel: bool = flag("SANDSCOPE_WASMTIME_FUEL")

    settings = WasmtimeSettings.read(kwargs)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from sandscope._settings import (
    PATTERNS,
    POSITIVE,
    one_of,
    read_boolean,
    read_choice,
    read_patterns,
    read_subset,
    read_threshold,
    some_of,
    wrong_setting,
)

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


def subset(variable: str, *choices: str) -> Any:
    """Declare a setting with some of a fixed set of values, none by default: a tuple, and a list in the variable.

    Args:
        variable: the environment variable.
        choices: the values.
    """
    return field(default=(), metadata={"variable": variable, "subset": choices})


def patterns(variable: str) -> Any:
    """Declare a setting that is a list of patterns, none by default: a tuple, and with commas in the variable.

    Args:
        variable: the environment variable.
    """
    return field(default=(), metadata={"variable": variable, "patterns": True})


def threshold(variable: str) -> Any:
    """Declare a setting that is a positive integer, or None, the default: ``off`` in the variable.

    Args:
        variable: the environment variable.
    """
    return field(default=None, metadata={"variable": variable, "threshold": True})


@dataclass(frozen=True)
class Settings:
    """The settings of an instrumentation. Subclasses declare them with `choice`, `flag` and the others."""

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
    for kind, read in _READERS.items():
        if kind in setting.metadata:
            return read(setting, argument, setting.metadata[kind])
    if argument is None:
        return read_boolean(setting.metadata["variable"], default=bool(setting.default))
    if not isinstance(argument, bool):
        raise wrong_setting(setting.name, argument, "True or False")
    return argument


def _read_choice(setting: Field[Any], argument: Any, choices: tuple[str, ...]) -> Any:
    if argument is None:
        return read_choice(setting.metadata["variable"], choices)
    if argument not in choices:
        raise wrong_setting(setting.name, argument, one_of(choices))
    return argument


def _read_subset(setting: Field[Any], argument: Any, choices: tuple[str, ...]) -> tuple[str, ...]:
    if argument is None:
        return read_subset(setting.metadata["variable"], choices)
    if isinstance(argument, str) or not isinstance(argument, Collection) or not {*argument} <= {*choices}:
        raise wrong_setting(setting.name, argument, some_of(choices))
    return tuple(each for each in choices if each in argument)


def _read_patterns(setting: Field[Any], argument: Any, _: bool) -> tuple[str, ...]:
    if argument is None:
        return read_patterns(setting.metadata["variable"])
    if isinstance(argument, str) or not isinstance(argument, Collection):
        raise wrong_setting(setting.name, argument, PATTERNS)
    if not all(isinstance(each, str) and each for each in argument):
        raise wrong_setting(setting.name, argument, PATTERNS)
    return tuple(argument)


def _read_threshold(setting: Field[Any], argument: Any, _: bool) -> int | None:
    if argument is None:
        return read_threshold(setting.metadata["variable"])
    if not isinstance(argument, int) or isinstance(argument, bool) or argument <= 0:
        raise wrong_setting(setting.name, argument, POSITIVE)
    return argument


_READERS: dict[str, Callable[[Field[Any], Any, Any], Any]] = {
    "choices": _read_choice,
    "subset": _read_subset,
    "patterns": _read_patterns,
    "threshold": _read_threshold,
}
