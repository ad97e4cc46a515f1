"""What the dashboards of the runtimes show, as `panels.py` has it for the others."""

from __future__ import annotations

from panel import Panel, executions, quantiles

WASM = {
    "Calls": executions("wasmtime"),
    "Memory and instances": [
        Panel(
            "Memory",
            "bytes",
            {
                "{{job}} used": 'sum by (job) (wasm_memory_usage_bytes{job=~"$job"})',
                "{{job}} limit": 'sum by (job) (wasm_memory_limit_bytes{job=~"$job"})',
            },
        ),
        Panel("Instances", "short", {"{{job}}": 'sum by (job) (wasm_active_instances{job=~"$job"})'}),
        quantiles("Creation of an instance", "wasm_instance_creation_duration_seconds_bucket"),
    ],
    "Work": [
        Panel("Fuel", "short", {"{{job}}": 'sum by (job) (rate(wasm_fuel_consumed_total{job=~"$job"}[5m]))'}),
        Panel(
            "CPU time", "s", {"{{job}}": 'sum by (job) (rate(wasm_cpu_time_seconds_total{job=~"$job"}[5m]))'}
        ),
        Panel(
            "Module cache",
            "ops",
            {
                "{{job}} hits": 'sum by (job) (rate(wasm_module_cache_hits_total{job=~"$job"}[5m]))',
                "{{job}} misses": 'sum by (job) (rate(wasm_module_cache_misses_total{job=~"$job"}[5m]))',
            },
        ),
        Panel(
            "Files and sockets",
            "ops",
            {
                "{{job}} files": 'sum by (job) (rate(wasm_file_operations_total{job=~"$job"}[5m]))',
                "{{job}} sockets": 'sum by (job) (rate(wasm_network_requests_total{job=~"$job"}[5m]))',
            },
        ),
    ],
}

SUBPROCESS = {
    "Children": executions("subprocess"),
    "Starts and ends": [
        Panel(
            "Cold start",
            "s",
            {
                "{{job}} {{sandbox_language}} p50": 'sandbox:cold_start_seconds:p50_rate5m{job=~"$job"}',
                "{{job}} {{sandbox_language}} p95": 'sandbox:cold_start_seconds:p95_rate5m{job=~"$job"}',
            },
        ),
        quantiles("Cleanup", "sandbox_cleanup_duration_seconds_bucket"),
        Panel(
            "Backends",
            "ops",
            {
                "cgroup {{sandbox_cgroup_version}}": 'sum by (sandbox_cgroup_version) (rate(sandbox_backend_cgroup_total{job=~"$job"}[5m]))',
                "pidfd {{sandbox_pidfd_mode}}": 'sum by (sandbox_pidfd_mode) (rate(sandbox_backend_pidfd_total{job=~"$job"}[5m]))',
            },
        ),
        Panel(
            "Cleanups by outcome",
            "ops",
            {
                "{{sandbox_cleanup_outcome}}": 'sum by (sandbox_cleanup_outcome) (rate(sandbox_cleanups_total{job=~"$job"}[5m]))'
            },
        ),
    ],
    "Load": [
        Panel(
            "Queues",
            "short",
            {"{{sandbox_queue}}": 'sum by (sandbox_queue) (sandbox_execution_queued{job=~"$job"})'},
        ),
        Panel("Quarantined workers", "percentunit", {"{{job}}": 'sandbox:quarantined:ratio{job=~"$job"}'}),
        Panel(
            "Endings that are not known",
            "percentunit",
            {"{{job}} {{sandbox_verdict_cause}}": 'sandbox:unknown:ratio_rate5m{job=~"$job"}'},
        ),
    ],
}

TORCH = {
    "Models": executions("torch"),
    "By operation": [
        Panel(
            "p95",
            "s",
            {
                "{{job}} {{sandbox_operation}}": 'sandbox:duration_seconds:p95_rate5m{job=~"$job", sandbox_runtime="torch"}'
            },
        ),
        Panel(
            "p99 of inference",
            "s",
            {"{{job}}": 'sandbox:duration_seconds:p99_rate5m{job=~"$job", sandbox_operation="inference"}'},
            "stat",
        ),
        Panel(
            "p95 of loading",
            "s",
            {"{{job}}": 'sandbox:duration_seconds:p95_rate5m{job=~"$job", sandbox_operation="load"}'},
            "stat",
        ),
        Panel(
            "p95 by model, with torch.module in SANDSCOPE_METRIC_ATTRIBUTES",
            "s",
            {
                "{{torch_module}}": 'histogram_quantile(0.95, sum by (torch_module, le) (rate(sandbox_execution_duration_seconds_bucket{job=~"$job", sandbox_runtime="torch", torch_module!=""}[5m])))'
            },
        ),
    ],
    "Memory and accelerators": [
        Panel(
            "Memory",
            "bytes",
            {
                "{{job}} {{torch_memory_device}} {{torch_memory_kind}}": 'sum by (job, torch_memory_device, torch_memory_kind) (torch_memory_usage_bytes{job=~"$job"})'
            },
        ),
        Panel(
            "GPU memory",
            "bytes",
            {
                "{{hw_id}} used": 'max by (hw_id) (hw_gpu_memory_usage_bytes{job=~"$job"})',
                "{{hw_id}} limit": 'max by (hw_id) (hw_gpu_memory_limit_bytes{job=~"$job"})',
            },
        ),
        Panel(
            "GPU use",
            "percentunit",
            {"{{hw_id}}": 'max by (hw_id) (hw_gpu_utilization_ratio{job=~"$job"})'},
        ),
    ],
}

BROWSER = {
    "Executions": executions("browser"),
    "Web Vitals": [
        Panel(
            "p75",
            "s",
            {
                "{{browser_web_vital_name}}": 'histogram_quantile(0.75, sum by (browser_web_vital_name, le) (rate(browser_web_vital_duration_seconds_bucket{job=~"$job"}[5m])))'
            },
        ),
        Panel(
            "p75 of layout shifts",
            "short",
            {
                "{{browser_web_vital_name}}": 'histogram_quantile(0.75, sum by (browser_web_vital_name, le) (rate(browser_web_vital_shift_bucket{job=~"$job"}[5m])))'
            },
        ),
        Panel(
            "By rating",
            "ops",
            {
                "{{browser_web_vital_name}} {{browser_web_vital_rating}}": 'sum by (browser_web_vital_name, browser_web_vital_rating) (rate(browser_web_vital_duration_seconds_count{job=~"$job"}[5m]))'
            },
        ),
    ],
    "Modules and models": [
        Panel(
            "p95",
            "s",
            {
                "{{job}} {{sandbox_operation}}": 'sandbox:duration_seconds:p95_rate5m{job=~"$job", sandbox_runtime="browser"}'
            },
        ),
        quantiles("Compilation", "wasm_compilation_duration_seconds_bucket"),
        Panel(
            "Memory",
            "bytes",
            {
                "{{job}} guests": 'sum by (job) (wasm_memory_pages{job=~"$job"}) * 65536',
                "{{job}} pages": 'sum by (job) (browser_memory_usage_bytes{job=~"$job"})',
            },
        ),
        Panel(
            "Errors that nothing handled",
            "ops",
            {
                "{{job}} {{browser_error_source}}": 'sum by (job, browser_error_source) (rate(browser_errors_total{job=~"$job"}[5m]))'
            },
        ),
    ],
}
