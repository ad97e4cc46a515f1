"""What CI tells of a run, its steps, its tests and a scan."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from harness._programs import BIN, clean_environment


def tell_of_a_build(folder: Path, endpoint: str) -> None:
    """Tell of a run that failed: a step, a test session, its end, and a scan, each in a process of its own."""
    audit = folder / "audit.json"
    found = [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"]}]
    audit.write_text(json.dumps([{"name": "flask", "version": "0.5", "vulns": found}]))
    test = folder / "test_one.py"
    test.write_text("def test_one(): pass\n")
    run = "cicd.pipeline.name=build,cicd.pipeline.run.id=1"
    environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RESOURCE_ATTRIBUTES=run)
    environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    commands: list[tuple[list[str | Path], int]] = [
        (["sandscope", "exec", "--quiet", "--", "false"], 1),
        (["pytest", "--sandscope", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", test], 0),
        (["sandscope", "ci", "end", "--result", "failure", "--started", "1790000000"], 0),
        (["sandscope", "ci", "vulnerabilities", audit], 0),
    ]
    for command, code in commands:
        done = subprocess.run([BIN / command[0], *command[1:]], env=environment, cwd=folder, check=False)
        assert done.returncode == code, command
