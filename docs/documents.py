"""Generate ``documents.md`` from ``documents.yaml``: ``make docs``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
HEAD = """# What four documents ask for, and what answers

Generated from `documents.yaml` by `make docs`. Tests check that each answer and each test below exists, and that
each metric and each expression answers on a real Prometheus. With its overlay, a document's metrics have its names.
"""


def read() -> dict[str, Any]:
    """Return the content of ``documents.yaml``."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "documents.yaml").read_text())
    return content


def page() -> str:
    """Return the whole page."""
    content = read()
    return "\n".join([HEAD, *(_document(each, content["tests"]) for each in content["documents"])])


def listed(value: Any) -> list[str]:
    """Return what a row has one or several of."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _document(document: dict[str, Any], tests: dict[str, str]) -> str:
    sections = document["sections"]
    rows = [row for section in sections.values() for row in section["rows"].values()]
    answered = sum("by" in row for row in rows)
    parts = [
        f"## {document['title']}\n",
        f"{answered} of {len(rows)} are answered. Overlay `{document['overlay']}`; "
        f"more in [its page]({document['page']}).\n",
    ]
    for title, section in sections.items():
        parts += [f"### {title}\n", "| the document | answered by | shown by |", "|---|---|---|"]
        parts += [
            _row(name, row, tests[row.get("test", section["test"])]) for name, row in section["rows"].items()
        ]
        parts.append("")
    expressions = [line for row in rows for line in _expressions(row)]
    parts += ["### Expressions\n", "| as written | what answers |", "|---|---|", *expressions, ""]
    return "\n".join(parts)


def _row(name: str, row: dict[str, Any], test: str) -> str:
    if "missing" in row:
        return f"| {_cell(name)} | not answered: {_cell(row['missing'])} | |"
    says = f": {row['says']}" if "says" in row else ""
    answers = ", ".join(_answer(each) for each in listed(row["by"]))
    file, function = test.split("::")
    return f"| {_cell(name)} | {_cell(answers + says)} | [{function}](../{file}) |"


def _answer(answer: str) -> str:
    kind, _, name = answer.partition(" ")
    if kind == "alert":
        return f"alert [{name}](runbooks.md#{name.lower()})"
    if kind == "page":
        return f"[{name}]({name})"
    if kind == "file":
        return f"[{name}](../{name})"
    if kind == "panel":
        board, _, title = name.partition("/")
        return f'dashboard {board}, "{title}"'
    return f"{'objective' if kind == 'slo' else kind} `{name}`"


def _expressions(row: dict[str, Any]) -> Iterator[str]:
    for asked in listed(row.get("asks")):
        answer = f"`{row['instead']}`: {row['why']}" if "instead" in row else "the same"
        yield f"| `{_cell(asked)}` | {_cell(answer)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    (FOLDER / "documents.md").write_text(page())
