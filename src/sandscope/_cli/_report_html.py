"""A report as one HTML file with a picture, which needs nothing from elsewhere: an artefact of CI."""

from __future__ import annotations

from html import escape

from sandscope._cli._report_sections import Section, headline, sections
from sandscope._store import BARS, Summary

_STYLE = """
:root { color-scheme: light dark; --text: #1d2129; --quiet: #667085; --line: #e4e7ec; --back: #fff; --ok: #2f9e6e;
  --failed: #d6455d; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8ec; --quiet: #98a2b3; --line: #2b303b; --back: #14161b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 72rem;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
p { color: var(--quiet); margin: 0 0 1.25rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; } th { color: var(--quiet); font-weight: 500; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.trace { font: 12px/1.9 ui-monospace, monospace; }
svg { width: 100%; height: 110px; display: block; } .ok { fill: var(--ok); } .failed { fill: var(--failed); }
figcaption { color: var(--quiet); font-size: .85rem; } figure { margin: 0; }
figcaption b { font-weight: 500; } figcaption b::before { content: ""; display: inline-block; width: .7em; height: .7em;
  border-radius: 2px; margin: 0 .35em 0 .8em; background: var(--ok); }
figcaption b.no::before { background: var(--failed); }
"""
_WIDTH, _HEIGHT = 10, 100
"""Of a bar, in units of the picture."""


def write_summary(summary: Summary) -> None:
    """Write the page."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Executions</title><style>{_STYLE}</style>",
        f"<h1>Executions</h1><p>{escape(headline(summary))}</p>",
        _picture(summary) if summary.executions else "",
        *map(_table, sections(summary)),
        "</html>",
    ]
    print("\n".join(filter(None, parts)))


def _picture(summary: Summary) -> str:
    highest = max(succeeded + failed for _, succeeded, failed, *_ in summary.history.rows)
    bars = []
    for bar, succeeded, failed, *_ in summary.history.rows:
        top = _HEIGHT
        for count, kind in ((succeeded, "ok"), (failed, "failed")):
            height = count * _HEIGHT / highest
            top -= height
            bars.append(
                f'<rect class="{kind}" x="{bar * _WIDTH}" y="{top:.2f}" width="{_WIDTH - 2}" height="{height:.2f}"/>'
            )
    label = f"{summary.executions} executions over time, {summary.executions - summary.succeeded} failed"
    times = (
        f"Executions from {summary.first:%H:%M:%S} to {summary.last:%H:%M:%S} UTC, at most {highest:,} a bar"
    )
    return (
        f'<figure><svg viewBox="0 0 {BARS * _WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{"".join(bars)}</svg>'
        f'<figcaption>{times}<b>succeeded</b><b class="no">failed</b></figcaption></figure>'
    )


def _table(section: Section) -> str:
    kinds = [
        "number" if column.startswith("#") else "trace" if column == "trace" else ""
        for column in section.columns
    ]
    head = "".join(
        _cell("th", kind, column.lstrip("#")) for kind, column in zip(kinds, section.columns, strict=True)
    )
    rows = "\n".join(
        f"<tr>{''.join(_cell('td', kind, text) for kind, text in zip(kinds, row, strict=True))}</tr>"
        for row in section.rows
    )
    return (
        f'<h2>{escape(section.title)}</h2><div class="table"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'
    )


def _cell(tag: str, kind: str, text: str) -> str:
    return f"<{tag}{f' class={kind}' * bool(kind)}>{escape(str(text))}</{tag}>"
