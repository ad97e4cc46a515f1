"""Limits that a child has reached and survived: the kernel has counted it for the child's own cgroup."""

from __future__ import annotations

from sandscope.instrumentation import (
    LIMIT_VIOLATIONS,
    RESOURCE,
    Execution,
    Limit,
    Recorder,
    Verdict,
    limit_attributes,
    report_incident,
)
from sandscope_instrumentation_subprocess._evidence import Evidence


def report_survived(execution: Execution, evidence: Evidence, verdict: Verdict, recorder: Recorder) -> None:
    """Report the limits that the child has reached, other than that of the verdict.

    Args:
        execution: of the child.
        evidence: of how the child ended.
        verdict: on the child.
        recorder: counts the limits.
    """
    site = execution.site
    for limit in _reached(evidence):
        if limit != verdict.limit:
            point = {
                "sandbox.runtime": site.runtime,
                "sandbox.operation": site.operation,
                "sandbox.limit": limit,
            }
            recorder.measure(LIMIT_VIOLATIONS, 1, point)
            report_incident(execution, RESOURCE, f"survived its {limit} limit", limit_attributes(limit))


def _reached(evidence: Evidence) -> list[Limit]:
    cgroup = evidence.cgroup
    if cgroup is None or not cgroup.own or not cgroup.exact:
        return []
    counts: dict[Limit, int | None] = {
        "memory": cgroup.counters.oom_kills,
        "process": cgroup.counters.process_limit_hits,
    }
    return [limit for limit, count in counts.items() if count]
