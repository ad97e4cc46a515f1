"""What `docs/documents.md` names exists: metrics, alerts, objectives, panels, checks, settings, pages and tests."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from opentelemetry import environment_variables
from opentelemetry.sdk import environment_variables as sdk_variables

import sandscope
from harness import ROOT, Contract
from harness._dashboards import PANELS
from harness._documents import ROWS, TABLE, Row, documents
from harness._rules import ALERTS, RULES
from sandscope import health
from sandscope._collector import Composition

SETTINGS = (ROOT / "docs" / "settings.md").read_text()
EXISTS: dict[str, Callable[[str], bool]] = {
    "metric": lambda name: name in Contract.whole().metrics,
    "attribute": lambda name: name in Contract.whole().attributes,
    "alert": lambda name: name in {rule["alert"] for rule in ALERTS},
    "rule": lambda name: name in {rule.get("record") for rule in RULES},
    "slo": lambda name: name in {rule.get("labels", {}).get("slo") for rule in RULES},
    "panel": lambda name: name.partition("/")[2] in {p["title"] for p in PANELS[name.partition("/")[0]]},
    "check": lambda name: (
        name in health.__all__ and getattr(health, name).__module__ == "sandscope.health._builtin"
    ),
    "variable": lambda name: hasattr(environment_variables, name) or hasattr(sdk_variables, name),
    "setting": lambda name: f"| `{name}` |" in SETTINGS,
    "function": lambda name: callable(getattr(sandscope, name.removeprefix("sandscope."), None)),
    "page": lambda name: (ROOT / "docs" / name).is_file(),
    "file": lambda name: (ROOT / name).is_file(),
}
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.overlay}: {row.name}")


@each_row
def test_a_row_is_answered_by_what_exists_or_says_why_not(row: Row) -> None:
    assert ("by" in row.content) != bool(row.content.get("missing"))
    assert [answer for answer in row.answers if not EXISTS[answer[0]](answer[1])] == []
    assert ("instead" in row.content) == ("why" in row.content)
    assert set(row.content) <= {"by", "says", "missing", "test", "asks", "instead", "why"}


@pytest.mark.parametrize("name", TABLE["tests"])
def test_a_test_that_shows_an_answer_exists(name: str) -> None:
    file, _, function = TABLE["tests"][name].partition("::")
    assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_each_test_shows_something() -> None:
    sections = [section for document in TABLE["documents"] for section in document["sections"].values()]
    used = {row.content["test"] for row in ROWS if "test" in row.content} | {
        each["test"] for each in sections
    }
    assert used == set(TABLE["tests"])


def test_each_document_has_its_overlay_and_its_page() -> None:
    for document in TABLE["documents"]:
        assert Composition.of(document["overlay"])
        assert (ROOT / "docs" / document["page"]).is_file()


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_an_alert_of_a_documents_name_answers_it(name: str) -> None:
    asked = [row for row in ROWS if row.name == name]
    assert all(("alert", name) in row.answers for row in asked)


def test_what_does_not_exist_is_seen() -> None:
    assert not any(exists("overview/no such name") for exists in EXISTS.values())


def test_the_page_is_up_to_date() -> None:
    assert documents.page() == (ROOT / "docs" / "documents.md").read_text(), "run `make docs`"
