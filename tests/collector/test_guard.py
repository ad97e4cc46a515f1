"""The overlay `guard`: no secrets, and no name that somebody makes up grows the metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest

from collector._log_records import attributes_of, body_of, records_in, send
from collector._prometheus_page import wait_for_page
from harness import PATIENCE, Contract
from sandscope._collector import CollectorProcess

Start = Callable[..., CollectorProcess]
pytestmark = pytest.mark.collector

SECRETS = {  # put together here, so that no scanner takes them for real ones
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "gitlab": "glpat-" + "abcdefghij1234567890",
    "slack": "xoxb-" + "123456789012-abcdef",
    "model": "sk-" + "proj-abcdefghijklmnopqrstuvwx",
    "google": "AIza" + "b" * 35,
    "token": "eyJhbGciOiJIUzI1" + ".eyJzdWIiOiIxMjM0NTY3" + ".dozjgNryP4J3jVmNHl0w",
    "key": "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----",
    "bearer": "Bearer " + "abcdefghijklmnop1234",
    "assignment": "DB_PASSWORD=" + "hunter2hunter2",
    "json": '{"api_key": "' + 'zzz111zzz111"}',
}
SECRET_KEYS = ("password", "db.password", "http.request.header.authorization", "user.access_token", "api-key")


def test_secrets_are_masked_wherever_they_are(start: Start) -> None:
    collector = start("guard", "local")
    for name, secret in SECRETS.items():
        body = body_of(f"said {secret} here", **{"some.attribute": f"before {secret} after", "case": name})
        assert send(collector.ports.otlp_http, body) == 200
    send(
        collector.ports.otlp_http,
        body_of("https://u:hunter2@example.org/x", **dict.fromkeys(SECRET_KEYS, "canary-5")),
    )
    text = (collector.data / "logs.jsonl").read_text()
    assert {name for name, secret in SECRETS.items() if json.dumps(secret)[1:-1] in text} == set()
    assert "hunter2" not in text
    assert "canary-5" not in text
    found = records_in(collector.data / "logs.jsonl")
    assert len(found) == len(SECRETS) + 1
    for record in found[:-1]:
        for text in (record["body"]["stringValue"], attributes_of(record)["some.attribute"]):
            assert "****" in text
            assert text.split()[0] in {"said", "before"}
            assert text.split()[-1] in {"here", "after"}


def _of_the_contract() -> dict[str, str]:
    values = {}
    for name, declared in Contract.whole().attributes.items():
        kind = declared["type"]
        members = kind["members"] if isinstance(kind, dict) else [{"value": f"an ordinary {name}"}]
        values |= {f"{name}": str(members[0]["value"])}
        for number, member in enumerate(members[1:]):
            values[f"copy.{number}.{name}"] = str(member["value"])
    return values


ORDINARY = {
    "gen_ai.usage.output_tokens": "4711",
    "torch.tokens": "12 tokens",
    "exception.message": "TypeError: 'secretary' is not a token; see https://example.org/a:b@c",
    "exception.stacktrace": 'File "/srv/app/password_reset.py", line 3, in reset_password\n    token = next(tokens)',
    "process.executable.name": "ssh-keygen",
    "url.full": "https://example.org:8443/a/b?page=3&sort=key",
    "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "uuid": "8a6e0804-2bd0-4672-b79d-d97027f9071a",
}


def test_what_is_no_secret_is_left_as_it_is(start: Start) -> None:
    collector = start("guard", "local")
    attributes = _of_the_contract() | ORDINARY
    assert len(attributes) > 200
    send(collector.ports.otlp_http, body_of("an ordinary record", **attributes))
    (record,) = records_in(collector.data / "logs.jsonl")
    changed = {name for name, value in attributes_of(record).items() if value != attributes[name]}
    assert (changed, len(attributes_of(record))) == (set(), len(attributes))
    assert record["body"]["stringValue"] == "an ordinary record"


def _metrics(service: str, name: str = "sandbox.executions", **attributes: str) -> dict[str, Any]:
    given = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    point = {"asInt": "1", "attributes": given, "timeUnixNano": "1764324000000000000"}
    metric = {"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}}
    origin = [
        {"key": "service.name", "value": {"stringValue": service}},
        {"key": "service.instance.id", "value": {"stringValue": f"instance of {service}"}},
        {"key": f"made.up.{service}", "value": {"stringValue": service}},
    ]
    return {"resource": {"attributes": origin}, "scopeMetrics": [{"metrics": [metric]}]}


def _send(collector: CollectorProcess, *resources: dict[str, Any]) -> None:
    connection = HTTPConnection("127.0.0.1", collector.ports.otlp_http, timeout=PATIENCE)
    for begin in range(0, len(resources), 500):
        body = json.dumps({"resourceMetrics": resources[begin : begin + 500]})
        connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"partialSuccess":{}}')
    connection.close()


def test_ten_thousand_services_that_nobody_has_named_are_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDSCOPE_SERVICES", "judge|trainer-.*")
    collector = start("guard", "prometheus")
    hostile = [
        _metrics(f"service {number}", **{"sandbox.runtime": f"runtime {number}", f"key.{number}": "x"})
        for number in range(10_000)
    ]
    made_up = [_metrics("stranger", f"sandbox.made.up.{number}") for number in range(1_000)]
    named = [_metrics(name, **{"sandbox.runtime": "torch"}) for name in ("judge", "trainer-7", "judge-not")]
    _send(collector, *hostile, *made_up, *named)
    page = wait_for_page(collector.ports.prometheus, "trainer-7")
    series = [line for line in page.splitlines() if line and not line.startswith("#")]
    jobs = {line.partition('job="')[2].partition('"')[0] for line in series}
    assert jobs == {"judge", "trainer-7", "other"}
    assert len(series) < 20
    assert 'sandbox_runtime="torch"' in page
    assert "runtime 1" not in page
