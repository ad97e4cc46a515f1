"""Reads files that another process is writing."""

from __future__ import annotations

from pathlib import Path


def complete_lines(file: Path) -> list[str]:
    """Return the lines that end: the last one may be being written, or torn because its writer was killed.

    Args:
        file: may not exist yet.
    """
    text = file.read_text() if file.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()
