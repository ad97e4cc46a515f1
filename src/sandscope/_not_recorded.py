"""The execution that is used while instrumentation is suppressed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context

from sandscope._details import OnEnd, Value
from sandscope._execution import Execution, Severity, Site
from sandscope._metric import Metric
from sandscope._verdict import OK, Verdict


class NotRecorded(Execution):
    """A no-op execution, used while instrumentation is suppressed."""

    __slots__ = ("details", "parent_context", "site", "verdict")

    start_time = end_time = 0

    def __init__(self, site: Site) -> None:
        self.site, self.verdict, self.details = site, None, None
        self.parent_context = context.get_current()

    @property
    def context(self) -> Context:
        """See `Execution.context`."""
        return self.parent_context

    def confirm(self, site: Site) -> None:
        """Keep the site."""
        self.site = site

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """Keep the verdict."""
        self.verdict = self.verdict or verdict

    def fail(
        self, error: BaseException, verdict: Verdict | None = None, *, message: str | None = None
    ) -> None:
        """Keep the verdict."""
        self.finish(verdict or self.site.verdict_of(error))

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Do nothing."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Do nothing."""

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        """Do nothing."""

    def measure(self, metric: Metric, value: float) -> None:
        """Do nothing."""

    def on_end(self, callback: OnEnd) -> None:
        """Do nothing."""

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an unchanged copy of the environment."""
        return dict(os.environ if base is None else base)
