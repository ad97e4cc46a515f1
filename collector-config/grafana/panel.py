"""A panel of a dashboard, and those that several dashboards have."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Panel(NamedTuple):
    """A panel.

    Attributes:
        title: its title.
        unit: Grafana's name of the unit.
        queries: PromQL by legend.
        kind: a graph over time, or the latest value.
    """

    title: str
    unit: str
    queries: dict[str, str]
    kind: Literal["graph", "stat"] = "graph"


def quantiles(title: str, bucket: str, matchers: str = "") -> Panel:
    """Return a panel with the p50, p95 and p99 of a histogram."""
    rate = f'sum by (job, le) (rate({bucket}{{job=~"$job"{matchers}}}[5m]))'
    return Panel(
        title,
        "s",
        {f"{{{{job}}}} p{number}": f"histogram_quantile(0.{number}, {rate})" for number in (50, 95, 99)},
    )


def executions(runtime: str) -> list[Panel]:
    """Return the panels that every runtime has."""
    own = f'job=~"$job", sandbox_runtime="{runtime}"'
    return [
        Panel(
            "Executions by status",
            "ops",
            {
                "{{sandbox_verdict_status}}": f"sum by (sandbox_verdict_status) (sandbox:executions:rate5m{{{own}}})"
            },
        ),
        Panel(
            "Success",
            "percentunit",
            {"{{job}} {{sandbox_operation}}": f"sandbox:success:ratio_rate5m{{{own}}}"},
        ),
        quantiles("Duration", "sandbox_execution_duration_seconds_bucket", f', sandbox_runtime="{runtime}"'),
    ]
