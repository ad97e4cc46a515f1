"""When the status of a check changes, and what that means for the program."""

from __future__ import annotations

import pytest

from sandscope import SandscopeError, health
from sandscope.health._check import registered
from sandscope.health._result import RANK
from sandscope.health._state import State, overall


def after(results: str, *, failures: int = 3, recoveries: int = 2) -> list[str]:
    """Return the status after each result: h, d, u or ? for unknown."""
    names = {"?": "unknown", **{status[0]: status for status in RANK if status != "unknown"}}
    names["u"] = "unhealthy"
    state = State(health.Check("a", lambda: None, failures=failures, recoveries=recoveries))
    said = []
    for letter in results:
        state.add(health.Result(names[letter]), 0.1)  # type: ignore[arg-type]
        said.append(state.status)
    return said


def test_the_first_success_counts_at_once() -> None:
    assert after("h") == ["healthy"]


def test_a_failure_counts_only_if_it_lasts() -> None:
    assert after("huuhuuu") == ["healthy"] * 6 + ["unhealthy"]
    assert after("uuu") == ["unknown", "unknown", "unhealthy"]


def test_a_recovery_counts_only_if_it_lasts() -> None:
    assert after("huuuhuhh")[3:] == ["unhealthy"] * 4 + ["healthy"]


def test_the_way_from_bad_to_less_bad_is_a_recovery() -> None:
    assert after("hddduuudd")[3:] == ["degraded"] * 3 + ["unhealthy"] * 2 + ["degraded"]


def test_thresholds_of_one_follow_each_result() -> None:
    assert after("huhd?", failures=1, recoveries=1) == [
        "healthy",
        "unhealthy",
        "healthy",
        "degraded",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("critical", "other", "expected"),
    [
        ("healthy", "healthy", "healthy"),
        ("healthy", "unhealthy", "degraded"),
        ("healthy", "degraded", "degraded"),
        ("healthy", "unknown", "healthy"),
        ("degraded", "healthy", "degraded"),
        ("unknown", "healthy", "unknown"),
        ("unhealthy", "healthy", "unhealthy"),
        ("unhealthy", "degraded", "unhealthy"),
    ],
)
def test_only_critical_checks_make_the_program_unhealthy(critical: str, other: str, expected: str) -> None:
    states = [
        State(health.Check("a", lambda: None, critical=True), critical),  # type: ignore[arg-type]
        State(health.Check("b", lambda: None), other),  # type: ignore[arg-type]
    ]
    assert overall(states) == expected


@pytest.mark.parametrize("wrong", ["failures", "recoveries", "timeout"])
def test_thresholds_are_positive(wrong: str) -> None:
    with pytest.raises(SandscopeError, match=rf"health check 'a': {wrong}=0\. Give a positive number"):
        health.Check("a", lambda: None, **{wrong: 0})


def test_two_checks_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandscope.health._check.registered", {})
    health.check("same")(lambda: None)
    with pytest.raises(SandscopeError, match="health check 'same': it exists"):
        health.check("same")(lambda: None)
    with pytest.raises(SandscopeError, match="two have the name 'x'"):
        health.start(health.Check("x", lambda: None), health.Check("x", lambda: None))
    assert registered == {}


def test_no_checks_are_an_error() -> None:
    with pytest.raises(SandscopeError, match="Cannot start 0 health checks"):
        health.start()
