"""Every SANDSCOPE_* variable is documented, and read as documented; instrumentations declare their settings."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, NamedTuple

import pytest

from harness import ROOT
from sandscope import SandscopeError, _settings
from sandscope._collector import Ports
from sandscope._collector._ports import variable
from sandscope.instrumentation import Settings

PAGE = (ROOT / "docs" / "settings.md").read_text()
RUNTIMES = sorted(file.parent.name for file in (ROOT / "instrumentations").glob("*/pyproject.toml"))


class Declared(NamedTuple):
    """A setting of an instrumentation."""

    runtime: str
    settings: type[Settings]
    field: Field[Any]

    @property
    def variable(self) -> str:
        return str(self.field.metadata["variable"])

    @property
    def other(self) -> Any:
        """A value that is not the default."""
        metadata = self.field.metadata
        if "subset" in metadata:
            return metadata["subset"][:2]
        if "patterns" in metadata:
            return ("encoder.*", "Head?")
        if "threshold" in metadata:
            return 7
        return metadata.get("choices", (not self.field.default,) * 2)[1]

    def text(self, value: Any) -> str:
        """Return a value as the variable and the page have it."""
        if {"subset", "patterns"} & {*self.field.metadata}:
            return ",".join(value) or "none"
        return "off" if value is None else str(value)

    def read(self, arguments: Mapping[str, Any]) -> Any:
        return getattr(self.settings.read(arguments), self.field.name)


def _declared() -> list[Declared]:
    packages = {f"sandscope_instrumentation_{runtime}": runtime for runtime in RUNTIMES}
    for package in packages:
        importlib.import_module(package)
    owners = [(kind.__module__.partition(".")[0], kind) for kind in Settings.__subclasses__()]
    return [
        Declared(packages[package], kind, each)
        for package, kind in owners
        if package in packages
        for each in fields(kind)
    ]


DECLARED = _declared()
every_setting = pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.variable)


def _used() -> set[str]:
    files = [
        *ROOT.glob("src/**/*.py"),
        *ROOT.glob("collector-config/**/*.y*ml"),
        *ROOT.glob("collector-config/**/*.py"),
        *ROOT.glob("instrumentations/*/src/**/*.py"),
    ]
    text = "\n".join(file.read_text() for file in files)
    ports = {variable(field.name) for field in fields(Ports)}
    return set(re.findall(r"SANDSCOPE_[A-Z_]*[A-Z]", text)) | ports


def test_every_variable_that_is_read_is_on_the_page() -> None:
    assert _used() == set(re.findall(r"`(SANDSCOPE_[A-Z_]*[A-Z])`", PAGE))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_instrumentation_reads_the_variables_that_it_declares_and_no_other(runtime: str) -> None:
    source = (ROOT / "instrumentations" / runtime / "src").rglob("*.py")
    used = set(
        re.findall(rf"SANDSCOPE_{runtime.upper()}_[A-Z_]*[A-Z]", "\n".join(f.read_text() for f in source))
    )
    assert used == {each.variable for each in DECLARED if each.runtime == runtime}


def test_settings_are_found() -> None:
    """Without settings, the tests below would check nothing."""
    assert "SANDSCOPE_WASMTIME_SPANS" in {each.variable for each in DECLARED}


@every_setting
def test_a_variable_has_the_name_of_its_setting(setting: Declared) -> None:
    assert setting.variable == f"SANDSCOPE_{setting.runtime}_{setting.field.name}".upper()


@every_setting
def test_the_page_states_the_default(setting: Declared) -> None:
    assert f"| `{setting.variable}` | `{setting.text(setting.field.default).lower()}` |" in PAGE


@every_setting
def test_a_setting_is_its_argument_else_its_variable_else_its_default(
    setting: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, default = setting.field.name, setting.field.default
    monkeypatch.delenv(setting.variable, raising=False)
    assert setting.read({}) == setting.read({name: None}) == default
    assert setting.read({name: setting.other}) == setting.other
    monkeypatch.setenv(setting.variable, setting.text(setting.other))
    assert setting.read({}) == setting.read({name: None}) == setting.other
    if default is not None:
        assert setting.read({name: default}) == default
    monkeypatch.setenv(setting.variable, setting.text(default))
    assert setting.read({}) == default


@every_setting
def test_a_setting_does_not_change_another(setting: Declared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(setting.variable, setting.text(setting.other))
    changed, default = setting.settings.read({}), setting.settings()
    assert [
        each.name for each in fields(changed) if getattr(changed, each.name) != getattr(default, each.name)
    ] == [setting.field.name]


@every_setting
def test_an_invalid_setting_is_an_error_that_names_it(
    setting: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = setting.field.name
    is_list = "patterns" in setting.field.metadata  # of any text
    for argument in ("sometimes", -1, [""] if is_list else ["all"]):
        with pytest.raises(SandscopeError, match=re.escape(f"Cannot read {name}={argument!r}: it is not ")):
            setting.read({name: argument})
    text = "a,,b" if is_list else "sometimes"
    monkeypatch.setenv(setting.variable, text)
    with pytest.raises(SandscopeError, match=f"Cannot read {setting.variable}='{text}': it is not "):
        setting.read({})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", False), ("false", False), ("0", False), ("true", True), ("TRUE", True), ("1", True), ("on", True)],
)
def test_baggage(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv(_settings.BAGGAGE, value)
    assert _settings.baggage() is expected


@pytest.mark.parametrize(("value", "expected"), [("", True), ("false", False), ("0", False), ("on", True)])
def test_an_unset_variable_has_its_default(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("A_VARIABLE", value)
    assert _settings.read_boolean("A_VARIABLE", default=True) is expected


@pytest.mark.parametrize(("value", "expected"), [("", "first"), ("second", "second"), (" First ", "first")])
def test_a_choice(monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    monkeypatch.setenv("A_VARIABLE", value)
    assert _settings.read_choice("A_VARIABLE", ("first", "second", "third")) == expected


def test_the_error_for_a_wrong_choice_lists_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", "fourth")
    with pytest.raises(SandscopeError, match=r"Set it to first, second or third, or leave it out\."):
        _settings.read_choice("A_VARIABLE", ("first", "second", "third"))


@pytest.mark.parametrize(("value", "expected"), [("", 4.0), ("0", 0.0), ("2.5", 2.5)])
def test_exit_timeout(monkeypatch: pytest.MonkeyPatch, value: str, expected: float) -> None:
    monkeypatch.setenv(_settings.EXIT_TIMEOUT, value)
    assert _settings.exit_timeout() == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (_settings.BAGGAGE, "2"),
        (_settings.EXIT_TIMEOUT, "soon"),
        (_settings.EXIT_TIMEOUT, "-1"),
        (_settings.EXIT_TIMEOUT, "nan"),
        (_settings.EXIT_TIMEOUT, "inf"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SandscopeError, match=f"Cannot read {name}={value!r}"):
        _settings.check()
