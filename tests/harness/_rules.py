"""The rules of Prometheus, and what queries may use."""

from __future__ import annotations

import yaml

from harness._contract import Contract
from harness._promql import prometheus_names
from harness._stores import CONFIGURATION

FOLDER = CONFIGURATION / "prometheus"
FILES = sorted((FOLDER / "rules").glob("*.yaml"))
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
RULES = [
    rule for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = ("spans", "log_records", "metric_points")
OF_COLLECTOR = {
    *(f"otelcol_receiver_{end}_{what}_total" for end in ("accepted", "refused") for what in RECORDS),
    *(f"otelcol_exporter_sent_{what}_total" for what in RECORDS),
    "otelcol_exporter_queue_size",
    "otelcol_exporter_queue_capacity",
    "otelcol_process_memory_rss_bytes",
}
"""What is used of the Collector's own metrics, which overlay `own-metrics` adds."""
OF_FAILING_COLLECTOR = {
    f"otelcol_exporter_{end}_{what}_total" for end in ("send_failed", "enqueue_failed") for what in RECORDS
}
"""The same; these are there only after a failure."""
OF_MACHINE = {
    *("system_cpu_utilization_ratio", "system_memory_usage_bytes", "system_network_io_bytes_total"),
    "process_memory_usage_bytes",
}
"""What is used of OpenTelemetry's metrics of the machine and the process, with `SANDSCOPE_SYSTEM_METRICS`."""
OWN_LABELS = {
    "job",
    "instance",
    "le",
    "slo",
    "alertname",
    "alertstate",
    "severity",
    "unresolved",
    "exporter",
    "data_type",
    "state",
    "direction",
}


def declared_series() -> set[str]:
    """Return the names of all series that Prometheus has: of declared metrics, of rules, and its own."""
    declared = [prometheus_names(metric) for metric in Contract.whole().metrics.values()]
    return {"up", "ALERTS", *OF_COLLECTOR, *OF_FAILING_COLLECTOR, *OF_MACHINE}.union(
        *declared, (rule["record"] for rule in RULES if "record" in rule)
    )


def declared_labels() -> set[str]:
    """Return the names of all labels that these series can have."""
    return OWN_LABELS | {name.replace(".", "_") for name in Contract.whole().attributes}
