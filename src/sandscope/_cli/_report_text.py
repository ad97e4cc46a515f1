"""A report in the terminal."""

from __future__ import annotations

from rich.text import Text

from sandscope._cli._report_sections import headline, sections
from sandscope._cli._tables import console, print_table, printable
from sandscope._store import BARS, SpanNode, Summary
from sandscope._words import seconds, verdict

_BARS = " ▁▂▃▄▅▆▇█"
_FAILED = "red"


def write_summary(summary: Summary) -> None:
    """Print the sections."""
    output = console()
    output.print(Text(headline(summary), style="bold"))
    if summary.executions:
        output.print(history(summary))
    for section in sections(summary):
        output.print()
        output.print(Text(section.title, style="bold"))
        numeric = {column.lstrip("#") for column in section.columns if column.startswith("#")}
        print_table([column.lstrip("#") for column in section.columns], section.rows, numeric)


def write_trace(nodes: list[SpanNode]) -> None:
    """Print a trace as a tree: each span with its duration, and its verdict if it is an execution."""
    output = console()
    for depth, span in nodes:
        line = Text("  " * depth + printable(str(span["name"])), style="bold" if depth == 0 else "")
        line.append(f"  {seconds(span['duration'])}", style="cyan")
        if span["status"] is not None:
            words = verdict(span["status"], span["actor"], span["cause"], span["limit"])
            line.append(f"  {words}", style="" if span["status"] == "OK" else _FAILED)
        elif span["status_code"] == "error":
            line.append(f"  error: {printable(span['status_message'] or '')}", style=_FAILED)
        if span["service"]:
            line.append(f"  {printable(span['service'])}", style="dim")
        output.print(line, soft_wrap=True)


def history(summary: Summary) -> Text:
    """Return executions over time as bars; red where some failed."""
    bars = {bar: (succeeded, failed) for bar, succeeded, failed, *_ in summary.history.rows}
    highest = max(sum(pair) for pair in bars.values())
    text = Text()
    for bar in range(BARS):
        succeeded, failed = bars.get(bar, (0, 0))
        height = -(-(succeeded + failed) * (len(_BARS) - 1) // highest)
        text.append(_BARS[height], style=_FAILED if failed else "green")
    return text
