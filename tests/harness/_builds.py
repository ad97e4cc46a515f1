"""What CI tells of a run and of a scan."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from harness._programs import BIN, clean_environment


def tell_of_a_build(folder: Path, endpoint: str) -> None:
    """Tell of a run that failed, and of what a scan has found, each in a process of its own."""
    audit = folder / "audit.json"
    found = [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"]}]
    audit.write_text(json.dumps([{"name": "flask", "version": "0.5", "vulns": found}]))
    run = "cicd.pipeline.name=build,cicd.pipeline.run.id=1"
    for words in (["end", "--result", "failure", "--started", "1790000000"], ["vulnerabilities", audit]):
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RESOURCE_ATTRIBUTES=run)
        subprocess.run([BIN / "sandscope", "ci", *words], env=environment, check=True)
