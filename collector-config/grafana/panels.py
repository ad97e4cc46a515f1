"""What the dashboards show: for each its rows, for each row its panels, for each panel its queries by legend."""

from __future__ import annotations

from builds import BUILDS, SCANS
from panel import Panel, quantiles
from runtimes import BROWSER, SUBPROCESS, TORCH, WASM

OVERVIEW = {
    "Now": [
        Panel("Executions", "ops", {"": 'sum(sandbox:executions:rate5m{job=~"$job"})'}, "stat"),
        Panel(
            "Not OK",
            "percentunit",
            {
                "": 'sum(sandbox:executions:rate5m{job=~"$job", sandbox_verdict_status!="OK"}) / sum(sandbox:executions:rate5m{job=~"$job"})'
            },
            "stat",
        ),
        Panel("Running", "short", {"": 'sum(sandbox_execution_active{job=~"$job"})'}, "stat"),
        Panel("Waiting", "short", {"": 'sum(sandbox_execution_queued{job=~"$job"})'}, "stat"),
        Panel(
            "Alerts",
            "short",
            {"{{severity}}": 'count by (severity) (ALERTS{alertstate="firing"})'},
            "stat",
        ),
    ],
    "Executions": [
        Panel(
            "By status",
            "ops",
            {
                "{{sandbox_verdict_status}}": 'sum by (sandbox_verdict_status) (sandbox:executions:rate5m{job=~"$job"})'
            },
        ),
        Panel(
            "By runtime",
            "ops",
            {"{{sandbox_runtime}}": 'sum by (sandbox_runtime) (sandbox:executions:rate5m{job=~"$job"})'},
        ),
        Panel(
            "By cause, if not OK",
            "ops",
            {
                "{{sandbox_verdict_cause}}": 'topk(10, sum by (sandbox_verdict_cause) (sandbox:executions:rate5m{job=~"$job", sandbox_verdict_status!="OK"}))'
            },
        ),
    ],
    "Resources": [
        quantiles("Duration", "sandbox_execution_duration_seconds_bucket"),
        Panel(
            "Limits reached",
            "ops",
            {
                "{{sandbox_limit}}": 'sum by (sandbox_limit) (rate(sandbox_limit_violations_total{job=~"$job"}[5m]))'
            },
        ),
        Panel(
            "Running, and the peak of the hour",
            "short",
            {
                "{{job}}": 'sum by (job) (sandbox:active:sum{job=~"$job"})',
                "{{job}} peak": 'sum by (job) (sandbox:active:max1h{job=~"$job"})',
            },
        ),
        Panel(
            "Longer than 1 s",
            "short",
            {"{{job}} {{sandbox_operation}}": 'sandbox:hotspots:increase5m{job=~"$job"}'},
        ),
    ],
    "Health": [
        Panel(
            "Health checks (1 is healthy)",
            "short",
            {"{{job}} {{check_name}}": 'health_check_status{job=~"$job"}'},
        ),
        Panel("In use", "percent", {"{{job}} {{check_name}}": 'health_check_usage_percent{job=~"$job"}'}),
        Panel(
            "Workers",
            "short",
            {"{{sandbox_worker_state}}": 'sum by (sandbox_worker_state) (sandbox_workers{job=~"$job"})'},
        ),
    ],
    "Machine and processes, with SANDSCOPE_SYSTEM_METRICS": [
        Panel(
            "Processors",
            "percentunit",
            {"{{job}}": '1 - avg by (job) (system_cpu_utilization_ratio{job=~"$job", state="idle"})'},
        ),
        Panel(
            "Memory",
            "bytes",
            {
                "{{job}} machine": 'max by (job) (system_memory_usage_bytes{job=~"$job", state="used"})',
                "{{job}} processes": 'sum by (job) (process_memory_usage_bytes{job=~"$job"})',
            },
        ),
        Panel(
            "Network",
            "Bps",
            {
                "{{job}} {{direction}}": 'max by (job, direction) (rate(system_network_io_bytes_total{job=~"$job"}[5m]))'
            },
        ),
    ],
}

SECURITY = {
    "Refusals": [
        Panel(
            "Violations",
            "ops",
            {
                "{{sandbox_runtime}} {{sandbox_verdict_cause}}": 'sum by (sandbox_runtime, sandbox_verdict_cause) (sandbox:security_violations:rate5m{job=~"$job"})'
            },
        ),
        Panel(
            "Capabilities that were not granted",
            "ops",
            {
                "{{sandbox_capability}}": 'sum by (sandbox_capability) (rate(sandbox_capability_requests_total{job=~"$job", sandbox_capability_granted="false"}[5m]))'
            },
        ),
        Panel(
            "Reported by programs",
            "ops",
            {
                "{{security_event_type}}": 'sum by (security_event_type) (rate(security_events_total{job=~"$job"}[5m]))'
            },
        ),
    ],
    "Dependencies, as scans of the last day have found them": SCANS,
    "Controls and abuse": [
        Panel(
            "Controls that are missing",
            "ops",
            {
                "{{sandbox_control}}": 'sum by (sandbox_control) (rate(sandbox_control_degraded_total{job=~"$job"}[5m]))'
            },
        ),
        Panel(
            "Abuse",
            "ops",
            {
                "{{sandbox_abuse_pattern}}": 'sum by (sandbox_abuse_pattern) (rate(sandbox_abuse_patterns_total{job=~"$job"}[5m]))'
            },
        ),
        Panel(
            "Telemetry of guests that was refused",
            "ops",
            {
                "{{sandbox_guest_reason}}": 'sum by (sandbox_guest_reason) (rate(sandbox_guest_refused_total{job=~"$job"}[5m]))'
            },
        ),
    ],
}

SLO = {
    "Error budgets": [
        Panel(
            "Left of 14 days",
            "percentunit",
            {"{{job}} {{slo}}": 'slo:error_budget_remaining:ratio14d{job=~"$job"}'},
        ),
        Panel(
            "Left in three days, if it goes on like this",
            "percentunit",
            {
                "{{job}} {{slo}}": 'predict_linear(slo:error_budget_remaining:ratio14d{job=~"$job"}[6h], 259200)'
            },
        ),
    ],
    "Burn rates": [
        Panel(
            f"Over {window} (1 spends the budget in 14 days)",
            "short",
            {
                "{{job}} {{slo}}": f'slo:error_ratio:rate{window}{{job=~"$job"}} / on (slo) group_left () slo:error_budget:ratio'
            },
        )
        for window in ("5m", "1h", "6h")
    ],
    "Anomalies, in standard deviations of the last day": [
        Panel("Slow", "short", {"{{job}} {{sandbox_operation}}": 'anomaly:slow:zscore1d{job=~"$job"}'}),
        Panel(
            "Unsteady", "short", {"{{job}} {{sandbox_operation}}": 'anomaly:unstable:zscore1d{job=~"$job"}'}
        ),
        Panel("Failing", "short", {"{{job}} {{sandbox_operation}}": 'anomaly:failing:zscore1d{job=~"$job"}'}),
    ],
}

TELEMETRY = {
    "Collector": [
        Panel("Answers Prometheus", "short", {"{{instance}}": 'up{job="collector"}'}, "stat"),
        Panel(
            "Received",
            "ops",
            {
                "spans": "sum(rate(otelcol_receiver_accepted_spans_total[5m]))",
                "log records": "sum(rate(otelcol_receiver_accepted_log_records_total[5m]))",
                "data points": "sum(rate(otelcol_receiver_accepted_metric_points_total[5m]))",
            },
        ),
        Panel(
            "Refused",
            "ops",
            {
                "spans": "sum(rate(otelcol_receiver_refused_spans_total[5m]))",
                "log records": "sum(rate(otelcol_receiver_refused_log_records_total[5m]))",
                "data points": "sum(rate(otelcol_receiver_refused_metric_points_total[5m]))",
            },
        ),
        Panel(
            "Sent to stores",
            "ops",
            {
                "{{exporter}} spans": "sum by (exporter) (rate(otelcol_exporter_sent_spans_total[5m]))",
                "{{exporter}} log records": "sum by (exporter) (rate(otelcol_exporter_sent_log_records_total[5m]))",
                "{{exporter}} data points": "sum by (exporter) (rate(otelcol_exporter_sent_metric_points_total[5m]))",
            },
        ),
        Panel(
            "Rejected by stores for good",
            "ops",
            {
                "{{exporter}} spans": "sum by (exporter) (rate(otelcol_exporter_send_failed_spans_total[5m]))",
                "{{exporter}} log records": "sum by (exporter) (rate(otelcol_exporter_send_failed_log_records_total[5m]))",
                "{{exporter}} data points": "sum by (exporter) (rate(otelcol_exporter_send_failed_metric_points_total[5m]))",
            },
        ),
        Panel(
            "Queues",
            "percentunit",
            {
                "{{exporter}}": "max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)"
            },
        ),
        Panel("Queues on disk", "bytes", {"{{exporter}} {{data_type}}": "otelcol_exporter_queue_size"}),
        Panel(
            "Found no place in a queue",
            "ops",
            {
                "{{exporter}} spans": "sum by (exporter) (rate(otelcol_exporter_enqueue_failed_spans_total[5m]))",
                "{{exporter}} log records": "sum by (exporter) (rate(otelcol_exporter_enqueue_failed_log_records_total[5m]))",
                "{{exporter}} data points": "sum by (exporter) (rate(otelcol_exporter_enqueue_failed_metric_points_total[5m]))",
            },
        ),
        Panel("Memory", "bytes", {"{{instance}}": "otelcol_process_memory_rss_bytes"}),
    ],
    "Programs": [
        Panel(
            "Records by outcome",
            "ops",
            {
                "{{sandscope_signal}} {{sandscope_outcome}}": 'sum by (sandscope_signal, sandscope_outcome) (rate(sandscope_recorder_records_total{job=~"$job"}[5m]))'
            },
        ),
        Panel(
            "On disk until the Collector is back",
            "bytes",
            {"{{job}}": 'max by (job) (sandscope_spool_size_bytes{job=~"$job"})'},
        ),
        Panel(
            "Errors of Sandscope",
            "ops",
            {
                "{{sandscope_component}}": 'sum by (sandscope_component) (rate(sandscope_errors_total{job=~"$job"}[5m]))'
            },
        ),
        quantiles("Health checks", "health_check_duration_seconds_bucket"),
    ],
}

DASHBOARDS: dict[str, tuple[str, dict[str, list[Panel]]]] = {
    "overview": ("Sandscope: overview", OVERVIEW),
    "wasm": ("Sandscope: WebAssembly", WASM),
    "subprocess": ("Sandscope: child processes", SUBPROCESS),
    "torch": ("Sandscope: models", TORCH),
    "browser": ("Sandscope: browsers", BROWSER),
    "builds": ("Sandscope: builds and tests", BUILDS),
    "security": ("Sandscope: security", SECURITY),
    "slo": ("Sandscope: objectives", SLO),
    "telemetry": ("Sandscope: the telemetry itself", TELEMETRY),
}
