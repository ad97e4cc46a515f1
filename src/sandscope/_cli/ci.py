"""`sandscope ci`: what a CI job says of its whole run, and of what its scanners have found."""

from __future__ import annotations

import argparse
from pathlib import Path

from sandscope._cli._collector_options import add_destination_to


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's actions and their options."""
    parser.description = (
        "Report the run of a CI pipeline: of GitHub Actions, of GitLab CI, or of the one that "
        "OTEL_RESOURCE_ATTRIBUTES names by cicd.pipeline.name and cicd.pipeline.run.id. Its steps run under "
        "`sandscope exec`, in the same trace."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    end = actions.add_parser(
        "end",
        help="close the run: the root of its trace, with result and duration",
        description="Close the run. In a workflow that begins `on: workflow_run`, it is the completed one.",
    )
    end.add_argument(
        "--result",
        metavar="WORD",
        help="success, failure, error, timeout, cancellation or skip, or what the CI system calls it, such as "
        "${{ job.status }}; needed unless the CI system tells it",
    )
    end.add_argument(
        "--started",
        metavar="TIME",
        help="when the run has begun, as 2026-01-31T12:00:00Z or in seconds since 1970; needed unless the CI "
        "system tells it",
    )
    add_destination_to(end)
    end.set_defaults(handler=_end)
    found = actions.add_parser(
        "vulnerabilities",
        help="count what pip-audit has found",
        description="Count the known vulnerabilities that `pip-audit --format json` has found.",
    )
    found.add_argument("file", metavar="FILE", type=Path, help="what `pip-audit --format json` has written")
    add_destination_to(found)
    found.set_defaults(handler=_vulnerabilities)


def _end(arguments: argparse.Namespace) -> int:
    from sandscope._cli._ci_end import end_run

    return end_run(arguments)


def _vulnerabilities(arguments: argparse.Namespace) -> int:
    from sandscope._cli._ci_vulnerabilities import count_vulnerabilities

    return count_vulnerabilities(arguments)
