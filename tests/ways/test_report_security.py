"""``sandscope report`` lists what programs have reported themselves, in every format."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness._local_store import Store, log_request, request, security_event, span
from sandscope._cli.main import main

HOSTILE = "<script>alert('1')</script>|`x`\x1b[31m"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with an execution, three security events, and a log record that is none."""
    store = Store(tmp_path)
    store.add(request(span(1)))
    records = (
        security_event(1, "auth_failure", traceId="ab" * 16, spanId="cd" * 8),
        security_event(2, "own_type", body={"stringValue": HOSTILE}),
        security_event(3, "auth_failure"),
        security_event(4, "auth_failure", eventName="an ordinary one"),
    )
    store.add(log_request(*records), "logs.jsonl")
    return tmp_path


def _report(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> str:
    assert main(["report", *words, "--data", str(data)]) == 0
    return capsys.readouterr().out


def test_in_the_terminal(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    said = _report(capsys, data)
    by_type = said[said.index("Security events by type") : said.index("The last security events")]
    assert re.findall(r"(\w+) +(\d+)\n", by_type) == [("auth_failure", "2"), ("own_type", "1")]
    lines = [line for line in said.splitlines() if " shop " in line]
    assert [line.split()[1:4] for line in lines] == [
        ["shop", "ERROR", kind] for kind in ("auth_failure", "own_type", "auth_failure")
    ]
    assert lines[0].endswith("auth_failure: what happened")
    assert lines[2].endswith("ab" * 16)
    assert "\x1b" not in said
    assert "an ordinary one" not in said


def test_as_json(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    told = json.loads(_report(capsys, data, "--format", "json", "--top", "2"))
    assert told["security_types"] == [
        {"type": "auth_failure", "records": 2},
        {"type": "own_type", "records": 1},
    ]
    assert [event["type"] for event in told["security_events"]] == ["auth_failure", "own_type"]
    assert told["security_events"][1]["body"] == HOSTILE
    assert told["security_events"][0]["attributes"] == {"security.event.type": "auth_failure"}


@pytest.mark.parametrize(
    ("form", "title", "escaped"),
    [
        ("md", "## The last security events", r"\<script\>alert('1')\</script\>\|\`x\`"),
        (
            "html",
            "<h2>The last security events</h2>",
            "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;|`x`",
        ),
    ],
)
def test_as_a_file(
    capsys: pytest.CaptureFixture[str], data: Path, form: str, title: str, escaped: str
) -> None:
    said = _report(capsys, data, "--format", form)
    section = said[said.index(title) :]
    assert "what happened" in section
    assert escaped in section
    assert "<script" not in section.replace(r"\<script", "")


def test_in_a_range_of_time(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    assert json.loads(_report(capsys, data, "--format", "json", "--since", "1h"))["security_types"] == []
    assert "ecurity events" not in _report(capsys, data, "--since", "1h")
