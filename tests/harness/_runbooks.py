"""The runbooks, and the queries that they tell to ask."""

from __future__ import annotations

import re

from harness._contract import ROOT

TEXT = (ROOT / "docs" / "runbooks.md").read_text()
SECTIONS: dict[str, str] = {
    match[1]: match[2]
    for match in re.finditer(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
}
"""By the name of the alert."""
QUERIES = [
    (alert, line)
    for alert, text in SECTIONS.items()
    for line in re.findall(r"^    (.+)$", text, re.MULTILINE)
    if not line.startswith(("sandscope ", "curl ", "amtool "))
]
PROMQL = [(alert, line) for alert, line in QUERIES if not line.startswith("{")]
LOGQL = [(alert, line) for alert, line in QUERIES if line.startswith("{")]
