"""Claim: nothing is lost without a count, metrics lose nothing, and memory stays flat."""

from __future__ import annotations

import tracemalloc

from benchmarks._subjects import LEAF, Subject, patched


def run(*, short: bool) -> dict[str, float]:
    """Run as fast as the loop can, with the drain on its thread."""
    executions = 50_000 if short else 10_000_000
    subject = Subject("deferred")
    assert subject.pipeline is not None
    call = patched(subject.recorder, LEAF)
    for _ in range(20_000):
        call()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    for _ in range(executions):
        call()
    subject.flush()
    losses = subject.pipeline.losses
    total = executions + 20_000
    data = subject.reader.get_metrics_data()
    assert data is not None
    points = {
        metric.name: sum(point.value for point in metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "sandbox.executions"
    }
    assert before >= 0
    kept, dropped = losses.count("span", "sent"), losses.count("span", "queue_full")
    return {
        "kept": kept,
        "dropped": dropped,
        "kept_plus_dropped_over_n": (kept + dropped) / total,
        "metric_count_over_n": points["sandbox.executions"] / total,
    }
