"""What the dashboards show of CI: each run, session and scan is told by a process that ends, whose counters stay at their end."""

from __future__ import annotations

from panel import Panel

_RUNS = 'max_over_time(cicd_pipeline_run_duration_seconds_count{job=~"$job"}[1h])'
_RUN_SECONDS = 'max_over_time(cicd_pipeline_run_duration_seconds_sum{job=~"$job"}[1h])'
_FAILED = 'max_over_time(cicd_pipeline_run_duration_seconds_count{job=~"$job", cicd_pipeline_result=~"failure|error|timeout"}[1h])'
_TESTS = 'max_over_time(test_case_duration_seconds_count{job=~"$job"}[1h])'
_SESSIONS = 'max_over_time(test_suite_run_duration_seconds_count{job=~"$job"}[1h])'
_SESSION_SECONDS = 'max_over_time(test_suite_run_duration_seconds_sum{job=~"$job"}[1h])'
_FOUND = 'max by (security_vulnerability_id, security_vulnerability_package) (max_over_time(security_vulnerabilities_total{job=~"$job"}[1d]))'

BUILDS = {
    "Runs in the last hour": [
        Panel(
            "Runs by result",
            "short",
            {
                "{{cicd_pipeline_name}} {{cicd_pipeline_result}}": f"sum by (cicd_pipeline_name, cicd_pipeline_result) ({_RUNS})"
            },
        ),
        Panel(
            "Failed",
            "percentunit",
            {
                "{{cicd_pipeline_name}}": f"sum by (cicd_pipeline_name) ({_FAILED}) / sum by (cicd_pipeline_name) ({_RUNS})"
            },
        ),
        Panel(
            "Mean duration",
            "s",
            {
                "{{cicd_pipeline_name}}": f"sum by (cicd_pipeline_name) ({_RUN_SECONDS}) / sum by (cicd_pipeline_name) ({_RUNS})"
            },
        ),
    ],
    "Steps and tests in the last hour": [
        Panel(
            "Steps that failed",
            "short",
            {
                "{{cicd_pipeline_name}} {{error_type}}": 'sum by (cicd_pipeline_name, error_type) (max_over_time(cicd_pipeline_run_errors_total{job=~"$job"}[1h]))'
            },
        ),
        Panel(
            "Tests by result",
            "short",
            {
                "{{cicd_pipeline_name}} {{test_case_result_status}}": f"sum by (cicd_pipeline_name, test_case_result_status) ({_TESTS})"
            },
        ),
        Panel(
            "Mean duration of test sessions",
            "s",
            {
                "{{cicd_pipeline_name}}": f"sum by (cicd_pipeline_name) ({_SESSION_SECONDS}) / sum by (cicd_pipeline_name) ({_SESSIONS})"
            },
        ),
    ],
}

SCANS = [
    Panel(
        "Known vulnerabilities",
        "short",
        {"{{security_vulnerability_package}}": f"count by (security_vulnerability_package) ({_FOUND})"},
    ),
    Panel(
        "Packages that were scanned",
        "short",
        {
            "{{cicd_pipeline_name}}": 'max by (cicd_pipeline_name) (max_over_time(security_scanned_packages_total{job=~"$job"}[1d]))'
        },
    ),
]
"""What the scans of the last day have found."""
