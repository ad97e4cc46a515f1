"""The telemetry of one trace, read from the local files or with the stores' APIs."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from examples.read_back import jaeger_trace, loki_records, prometheus_exemplars, prometheus_query


@dataclass
class Arrived:
    """One trace in all three signals; ``places`` are the names of the stores or files that were read."""

    trace_id: str
    places: tuple[str, str, str]
    spans: list[dict] = field(default_factory=list)  # the attributes of each
    executions: int = 0  # the value of the metric
    exemplars: int = 0  # those that link to this trace
    logs: int = 0  # of executions


def from_stores(urls: dict[str, str], trace_id: str) -> Arrived:
    """Query Jaeger, Prometheus and Loki."""
    arrived = Arrived(trace_id, ("Jaeger", "Prometheus", "Loki"))
    arrived.spans = [dict(span.attributes) for span in jaeger_trace(urls["jaeger"], trace_id)]
    executions = prometheus_query(urls["prometheus"], "sum(sandbox_executions_total)")
    arrived.executions = int(sum(sample.value for sample in executions))
    exemplars = prometheus_exemplars(urls["prometheus"], "sandbox_execution_duration_seconds_bucket")
    arrived.exemplars = sum(exemplar.labels.get("trace_id") == trace_id for exemplar in exemplars)
    query = f'{{service_name=~".+"}} | trace_id="{trace_id}" | sandbox_verdict_status!=""'
    arrived.logs = len(loki_records(urls["loki"], query))
    return arrived


def from_files(data: Path, trace_id: str) -> Arrived:
    """Read the files that the Collector's overlay ``local`` wrote."""
    arrived = Arrived(trace_id, ("traces.jsonl", "metrics.jsonl", "logs.jsonl"))
    spans = [span for span in _items(data, "traces", "Spans") if span["traceId"] == trace_id]
    arrived.spans = [
        {
            attribute["key"]: next(iter(attribute["value"].values()))
            for attribute in span.get("attributes", [])
        }
        for span in spans
    ]
    counts: dict[tuple[str, str], int] = {}
    for metric in _items(data, "metrics", "Metrics"):
        if metric["name"] == "sandbox.executions":
            points = metric["sum"]["dataPoints"]
            for point in points:  # cumulative: use the last point of each series
                series = point["startTimeUnixNano"], json.dumps(point["attributes"])
                counts[series] = int(point.get("asInt", 0))
            exemplars = [exemplar for point in points for exemplar in point.get("exemplars", [])]
            arrived.exemplars += sum(exemplar.get("traceId") == trace_id for exemplar in exemplars)
    arrived.executions = sum(counts.values())
    records = [record for record in _items(data, "logs", "LogRecords") if record.get("traceId") == trace_id]
    arrived.logs = sum(record.get("eventName") == "sandbox.execution" for record in records)
    return arrived


def _items(data: Path, name: str, kind: str) -> list[dict]:
    """Return the innermost items of a file in OTLP's JSON form."""
    outer, middle, inner = f"resource{kind}", f"scope{kind}", kind[0].lower() + kind[1:]
    if kind == "LogRecords":
        outer, middle = "resourceLogs", "scopeLogs"
    file = data / f"{name}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    groups = [group for line in lines for group in json.loads(line)[outer]]
    return [item for group in groups for scope in group[middle] for item in scope[inner]]
