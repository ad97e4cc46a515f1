"""A report in Markdown, for a pull request or a CI job's summary."""

from __future__ import annotations

import re

from sandscope._cli._report_sections import headline, sections
from sandscope._cli._text_tables import printable
from sandscope._store import Summary


def write_summary(summary: Summary) -> None:
    """Write the sections."""
    lines = ["# Executions", "", headline(summary)]
    for section in sections(summary):
        lines += [
            "",
            f"## {section.title}",
            "",
            _row([_text(column.lstrip("#")) for column in section.columns]),
            _row(["--:" if column.startswith("#") else "---" for column in section.columns]),
            *(_row([_text(cell) for cell in row]) for row in section.rows),
        ]
    print("\n".join(lines))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(cell: str) -> str:
    """Return a cell whose characters mean nothing to Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", printable(cell))
