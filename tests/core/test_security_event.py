"""What a program reports itself: in the trace, counted, and only of a user what is allowed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import sandscope
from harness import ROOT, Contract, Telemetry
from sandscope import _manual, _settings
from sandscope._reports import _security_event

EVENT, TYPE, EVENTS = "security.event", "security.event.type", "security.events"
CANARY = "canary-4f1d"


@pytest.fixture
def recorded(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    """Record with an SDK that keeps telemetry in memory."""
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    monkeypatch.setattr(_security_event, "_own_types", set())
    monkeypatch.setattr(_security_event, "_left_out", set())
    monkeypatch.delenv(_settings.SECURITY_USER, raising=False)
    return telemetry


def _records(telemetry: Telemetry) -> list[Any]:
    return [each.log_record for each in telemetry.logs() if each.log_record.event_name == EVENT]


@pytest.mark.parametrize(
    ("event_type", "severity"),
    [
        *(("auth_failure", "ERROR"), ("injection_attempt", "ERROR")),
        *(("suspicious_model_load", "WARN"), ("own_type", "WARN")),
    ],
)
def test_the_severities_are_the_documents(recorded: Telemetry, event_type: str, severity: str) -> None:
    sandscope.security_event(event_type, "what happened")
    (record,) = _records(recorded)
    assert (record.severity_text, record.body) == (severity, f"{event_type}: what happened")
    assert record.attributes == {TYPE: event_type}
    assert recorded.points(EVENTS) == [({TYPE: event_type}, 1)]
    assert Contract.whole().violations(recorded) == []


def test_a_severity_of_ones_own(recorded: Telemetry) -> None:
    sandscope.security_event("auth_failure", severity="low")
    assert [(record.severity_text, record.body) for record in _records(recorded)] == [
        ("INFO", "auth_failure")
    ]


def test_it_is_in_the_trace_of_the_execution(recorded: Telemetry) -> None:
    with sandscope.execution("docker", "run") as run:
        sandscope.security_event("access_denied")
    (record,) = _records(recorded)
    assert f"{record.trace_id:032x}" == run.environment({})["TRACEPARENT"].split("-")[1]


def test_of_a_user_only_what_is_allowed(recorded: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    account = {"user.id": "42", "user.roles": ["admin"], "user.email": CANARY, "password": CANARY}
    with caplog.at_level(logging.WARNING, "sandscope"):
        for _ in range(2):
            sandscope.security_event(
                "auth_failure", user=account, attributes={"user.email": CANARY, "form": "log-in"}
            )
    for record in _records(recorded):
        assert record.attributes == {
            TYPE: "auth_failure",
            "user.id": "42",
            "user.roles": ("admin",),
            "form": "log-in",
        }
    said = "\n".join(caplog.messages)
    assert said.count("'password'") == 1
    assert CANARY not in said


def test_the_setting_chooses_what_is_allowed(recorded: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    user = {"user.id": "42", "user.email": "a@example.org"}
    for value in ("user.email", "none"):
        monkeypatch.setenv(_settings.SECURITY_USER, value)
        sandscope.security_event("auth_failure", user=user)
    assert [set(record.attributes) - {TYPE} for record in _records(recorded)] == [{"user.email"}, set()]


def test_a_wrong_setting_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_settings.SECURITY_USER, "user.id,password")
    with pytest.raises(sandscope.SandscopeError, match=r"SANDSCOPE_SECURITY_USER='user\.id,password'"):
        _settings.check()


def test_own_types_are_limited(recorded: Telemetry) -> None:
    for number in range(40):
        sandscope.security_event(f"own_{number}")
    counted = {attributes[TYPE]: value for attributes, value in recorded.points(EVENTS)}
    assert len(counted) == 33
    assert counted["other"] == 8


def test_the_page_and_the_contract_have_every_type() -> None:
    page = (ROOT / "docs" / "security-log.md").read_text()
    for event_type, severity in _security_event.KNOWN.items():
        assert f"| `{event_type}` | {severity}" in page
    members = {each["value"] for each in Contract.whole().attributes[TYPE]["type"]["members"]}
    assert members >= {*_security_event.KNOWN, "other"}
    assert all(f"`{member}`" in page for member in members)


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError(CANARY)


@pytest.mark.parametrize(
    "given",
    [
        {"message": "\udcff" * 2000},
        {"message": "a\nb\0c"},
        {"message": _Hostile()},
        {"user": {"user.id": _Hostile(), 7: "x"}},
        {"user": "not a mapping"},
        {"attributes": {"a": object(), "b": [_Hostile()], "c": "x" * 5000, "": 1}},
        {"attributes": {str(number): number for number in range(1000)}},
    ],
    ids=["surrogates", "control", "message", "user", "no mapping", "attributes", "many"],
)
def test_what_comes_from_outside_raises_nothing(recorded: Telemetry, given: dict[str, Any]) -> None:
    sandscope.security_event("injection_attempt", **given)
    (record,) = _records(recorded)
    assert len(record.body) <= 1100
    assert len(record.attributes) <= 34
    assert all(len(value) <= 1024 for value in record.attributes.values() if isinstance(value, str))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"event_type": 7}, TypeError, "not a string"),
        ({"event_type": "Auth failure"}, ValueError, "auth_failure, auth_success"),
        ({"event_type": "auth_failure", "severity": "huge"}, ValueError, "low, medium, high"),
    ],
)
def test_a_mistake_of_the_author_is_raised(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        sandscope.security_event(**arguments)
