"""The types of decorated functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import ROOT


def test_decorators_keep_the_types_of_functions(tmp_path: Path) -> None:
    source = """
import sandscope

@sandscope.execution("docker", "run")
def run(code: str, *, limit: int = 1) -> bytes:
    return b""

@sandscope.execution("docker", "run")
async def run_async(code: str) -> bytes:
    return b""

reveal_type(run)
reveal_type(run_async)
with sandscope.execution("docker", "run") as execution:
    reveal_type(execution)
    reveal_type(execution.environment())
"""
    (tmp_path / "program.py").write_text(source)
    check = [sys.executable, "-m", "mypy", str(tmp_path / "program.py")]
    run = subprocess.run(check, capture_output=True, text=True, check=False, cwd=ROOT)
    said = run.stdout
    assert run.returncode == 0, said + run.stderr
    for revealed in (
        "def (code: str, *, limit: int =) -> bytes",
        "Coroutine[Any, Any, bytes]",
        "_execution.Execution",
        "dict[str, str]",
    ):
        assert revealed in said.replace("builtins.", "").replace("typing.", ""), said
