"""Attributes that the program's settings allow on metrics, such as a tenant, with a limit of different values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.context import Context

from harness import Telemetry
from sandscope import SandscopeError, Verdict, _settings
from sandscope._recording import _metric_attributes
from sandscope.instrumentation import Metric, Recorder, Scope, Site

SITE = Site("docker", "run", "docker run")
OWN = Metric("docker.pulled", "counter", "{layer}", "Layers")
LIMIT = Verdict("TLE", "host", "tle_wall_judge", "wall")


@pytest.fixture(autouse=True)
def _no_values_so_far() -> Iterator[None]:
    _metric_attributes._known.clear()
    yield
    _metric_attributes._known.clear()


@pytest.fixture
def recorder(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Return a recorder in a process that allows `tenant` on metrics."""
    monkeypatch.setenv(_settings.METRIC_ATTRIBUTES, "tenant")
    return telemetry.recorder(Scope("scope", "1"))


def _run(recorder: Recorder, outer: object = None, site: Site = SITE, **own: Any) -> None:
    inside = Context() if outer is None else baggage.set_baggage("tenant", outer, Context())
    token = context.attach(inside)
    try:
        execution = recorder.begin(site)
        assert execution is not None
        execution.set_attributes(own)
        execution.measure(OWN, 3)
        execution.finish(LIMIT)
    finally:
        context.detach(token)


def _tenants(telemetry: Telemetry, metric: str = "sandbox.executions") -> dict[Any, float]:
    return {attributes.get("tenant"): value for attributes, value in telemetry.points(metric)}


def test_none_by_default(telemetry: Telemetry) -> None:
    _run(telemetry.recorder(Scope("scope", "1")), "canary", tenant="canary")
    for metric in telemetry.metrics():
        assert "canary" not in repr(telemetry.points(metric))


def test_from_baggage_on_all_signals(telemetry: Telemetry, recorder: Recorder) -> None:
    for tenant in ("a", "b", "a"):
        _run(recorder, tenant)
    assert _tenants(telemetry) == {"a": 2, "b": 1}
    assert _tenants(telemetry, "sandbox.execution.duration") == {"a": 2, "b": 1}
    assert _tenants(telemetry, "sandbox.limit.violations") == {"a": 2, "b": 1}
    assert _tenants(telemetry, OWN.name) == {"a": 6, "b": 3}
    assert [(span.attributes or {})["tenant"] for span in telemetry.spans()] == ["a", "b", "a"]


def test_an_executions_own_attribute(telemetry: Telemetry, recorder: Recorder) -> None:
    _run(recorder, "of baggage", tenant="own")
    _run(recorder, None, Site("docker", "run", "docker run", attributes={"tenant": "of the site"}))
    _run(recorder)
    assert _tenants(telemetry) == {"own": 1, "of the site": 1, None: 1}


def test_executions_without_a_span_have_it(telemetry: Telemetry, recorder: Recorder) -> None:
    _run(recorder, "a", Site("docker", "run", "docker run", traced=False))
    assert _tenants(telemetry) == {"a": 1}
    assert telemetry.spans() == []


def test_numbers_are_texts_and_long_texts_are_cut(telemetry: Telemetry, recorder: Recorder) -> None:
    _run(recorder, tenant=7)
    _run(recorder, tenant="x" * 1000)
    assert _tenants(telemetry) == {"7": 1, "x" * 128: 1}


def test_values_beyond_the_limit_are_other(
    telemetry: Telemetry, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_settings.METRIC_ATTRIBUTE_VALUES, "3")
    for tenant in ("a", "b", "c", "d", "e", "a"):
        _run(recorder, tenant)
    assert _tenants(telemetry) == {"a": 2, "b": 1, "c": 1, "other": 2}


def test_each_attribute_has_its_own_limit(
    telemetry: Telemetry, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_settings.METRIC_ATTRIBUTES, "tenant, submission")
    monkeypatch.setenv(_settings.METRIC_ATTRIBUTE_VALUES, "1")
    _run(recorder, tenant="a", submission="1")
    _run(recorder, tenant="a", submission="2")
    points = telemetry.points("sandbox.executions")
    assert {(point["tenant"], point["submission"]) for point, _ in points} == {("a", "1"), ("a", "other")}


def test_a_forked_child_has_the_whole_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    _metric_attributes._known["tenant"] = {"a"}
    pid = os.fork()
    if not pid:
        os._exit(len(_metric_attributes._known))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert _metric_attributes._known


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (_settings.METRIC_ATTRIBUTE_VALUES, "0"),
        (_settings.METRIC_ATTRIBUTE_VALUES, "-1"),
        (_settings.METRIC_ATTRIBUTE_VALUES, "many"),
        (_settings.METRIC_ATTRIBUTE_VALUES, "1001"),
        (_settings.METRIC_ATTRIBUTES, "sandbox.verdict.status"),
        (_settings.METRIC_ATTRIBUTES, "sandbox.runtime"),
    ],
)
def test_a_wrong_value_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SandscopeError, match=f"Cannot read {name}='{value}'"):
        _settings.check()
