"""The command ``sandscope`` imports only what the subcommand needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "requests", "google.protobuf", "psutil", "packaging")


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["--help"], ("sandscope._collector", "sandscope_collector")),
        (["--version"], ("sandscope._collector", "sandscope_collector")),
        (["run", "--help"], ("sandscope._cli.doctor", "sandscope_collector.stores")),
    ],
    ids=["help", "version", "run"],
)
def test_it_starts_without_the_sdk_and_without_other_subcommands(
    arguments: list[str], others: tuple[str, ...]
) -> None:
    program = f"""
import sys
from sandscope._cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print([name for name in sys.modules if name.startswith({HEAVY + others!r})])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
