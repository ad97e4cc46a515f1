"""Sandscope: OpenTelemetry for code that runs in a sandbox.

This package is for authors of programs; `sandscope.instrumentation` is for authors of instrumentations.

    with sandscope.execution("docker", "run", name="run python") as run:
        code = subprocess.run(command, env=run.environment()).returncode
        run.finish(sandscope.OK if code == 0 else sandscope.Verdict("RE", "guest", "re_nonzero_exit"))

`current_execution` returns the execution that runs in the current context. A `Metric` declares a metric of the
program.
"""

from sandscope._child_environment import child_environment
from sandscope._errors import SandscopeError
from sandscope._execution import Execution, current_execution
from sandscope._manual import execution
from sandscope._metric import Metric
from sandscope._verdict import OK, Actor, Limit, Status, Verdict
from sandscope._version import __version__

__all__ = [
    "OK",
    "Actor",
    "Execution",
    "Limit",
    "Metric",
    "SandscopeError",
    "Status",
    "Verdict",
    "__version__",
    "child_environment",
    "current_execution",
    "execution",
]
