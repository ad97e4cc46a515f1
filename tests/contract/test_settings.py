"""Every SANDSCOPE_* variable is documented, and read as its table says."""

from __future__ import annotations

import re

import pytest

from harness import ROOT
from sandscope import SandscopeError, _settings

PAGE = (ROOT / "docs" / "settings.md").read_text()


def _used() -> set[str]:
    files = [
        *ROOT.glob("src/**/*.py"),
        *ROOT.glob("collector-config/**/*.y*ml"),
        *ROOT.glob("collector-config/**/*.py"),
        *ROOT.glob("instrumentations/*/src/**/*.py"),
    ]
    text = "\n".join(file.read_text() for file in files)
    ports = {f"SANDSCOPE_{name}_PORT" for name in ("OTLP_GRPC", "OTLP_HTTP", "HEALTH", "PROMETHEUS")}
    return set(re.findall(r"SANDSCOPE_[A-Z_]*[A-Z]", text)) | ports


def test_every_variable_that_is_read_is_on_the_page() -> None:
    assert _used() == set(re.findall(r"`(SANDSCOPE_[A-Z_]*[A-Z])`", PAGE))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", False), ("false", False), ("0", False), ("true", True), ("TRUE", True), ("1", True), ("on", True)],
)
def test_baggage(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv(_settings.BAGGAGE, value)
    assert _settings.baggage() is expected


@pytest.mark.parametrize(("value", "expected"), [("", True), ("false", False), ("0", False), ("on", True)])
def test_a_default_holds_where_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("A_VARIABLE", value)
    assert _settings.read_boolean("A_VARIABLE", default=True) is expected


@pytest.mark.parametrize(("value", "expected"), [("", "first"), ("second", "second"), (" First ", "first")])
def test_a_choice(monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    monkeypatch.setenv("A_VARIABLE", value)
    assert _settings.read_choice("A_VARIABLE", ("first", "second", "third")) == expected


def test_a_wrong_choice_is_answered_with_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
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
