"""A report in the terminal."""

from __future__ import annotations

from rich.text import Text

from sandscope._cli._report_sections import headline, sections
from sandscope._cli._text_tables import console, print_table, printable
from sandscope._store import BARS, SpanNode, Summary
from sandscope._words import seconds, verdict

_BARS = " ▁▂▃▄▅▆▇█"
_FAILED = "red"
_SHOWN = ("name", "module", "status", "actor", "cause", "limit", "status_code", "status_message", "service")
"""What is shown of a span beside its duration."""
_MOST_ALIKE = 3
"""Spans of a trace that follow one another and look alike: more than this are one line."""


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
    for row in _alike(nodes):
        shown = row if len(row) <= _MOST_ALIKE else row[:1]
        for node in shown:
            output.print(_line(node), soft_wrap=True)
        durations = [node.span["duration"] for node in row[len(shown) :]]
        if durations:
            more = Text(f"{'  ' * row[0].depth}... and {len(durations)} more like this", style="dim")
            more.append(f"  {seconds(min(durations))} to {seconds(max(durations))}", style="cyan")
            output.print(more, soft_wrap=True)


def _line(node: SpanNode) -> Text:
    depth, span = node
    line = Text("  " * depth + printable(str(span["name"])), style="bold" if depth == 0 else "")
    if span["module"]:
        line.append(f" ({printable(span['module'])})")
    line.append(f"  {seconds(span['duration'])}", style="cyan")
    if span["status"] is not None:
        words = verdict(span["status"], span["actor"], span["cause"], span["limit"])
        line.append(f"  {words}", style="" if span["status"] == "OK" else _FAILED)
        if span["status_message"] not in {None, span["cause"]}:
            line.append(f" ({printable(span['status_message'])})", style=_FAILED)
    elif span["status_code"] == "error":
        line.append(f"  error: {printable(span['status_message'] or '')}", style=_FAILED)
    if span["service"]:
        line.append(f"  {printable(span['service'])}", style="dim")
    return line


def _alike(nodes: list[SpanNode]) -> list[list[SpanNode]]:
    """Return the spans in rows: those in a row differ in their durations only, and have no spans inside."""
    rows: list[list[SpanNode]] = []
    last: tuple[object, ...] | None = None
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        has_inside = following is not None and following.depth > node.depth
        shown = None if has_inside else (node.depth, *(node.span[column] for column in _SHOWN))
        if shown is not None and shown == last:
            rows[-1].append(node)
        else:
            rows.append([node])
        last = shown
    return rows


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
