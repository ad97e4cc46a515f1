"""Claim: every lost span is counted, no execution is missing from the metrics, and memory does not grow.

Executions run as fast as a loop can start them: `kept` spans are exported, `dropped` ones are counted as dropped.
"""

from __future__ import annotations

import resource

from benchmarks._subjects import LEAF, Subject, patched


def run(*, short: bool) -> dict[str, float]:
    """Run executions in a loop, with the drain on its own thread."""
    warm, executions = 50_000, 200_000 if short else 10_000_000
    subject = Subject("deferred", encode=True)
    assert subject.pipeline is not None
    call = patched(subject.recorder, LEAF)
    for _ in range(warm):
        call()
    subject.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(executions):
        call()
    subject.flush()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes, total = subject.pipeline.outcomes, warm + executions
    kept, dropped = outcomes.count("span", "sent"), outcomes.count("span", "queue_full")
    return {
        "executions": total,
        "kept": kept,
        "dropped": dropped,
        "kept_and_dropped_over_n": (kept + dropped) / total,
        "metric_count_over_n": _counted(subject) / total,
        "peak_memory_grown_mb": (after - before) / 1024,
    }


def _counted(subject: Subject) -> float:
    data = subject.reader.get_metrics_data()
    assert data is not None
    return sum(
        point.value
        for resource_metrics in data.resource_metrics
        for scope in resource_metrics.scope_metrics
        for metric in scope.metrics
        if metric.name == "sandbox.executions"
        for point in metric.data.data_points
    )
