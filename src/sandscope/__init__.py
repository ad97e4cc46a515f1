"""Sandscope: OpenTelemetry for code that runs in a sandbox.

This package is for authors of programs; `sandscope.instrumentation` is for authors of instrumentations.

    with sandscope.execution("docker", "run", name="run python") as run:
        code = subprocess.run(command, env=run.environment()).returncode
        run.finish(sandscope.OK if code == 0 else sandscope.Verdict("RE", "guest", "re_nonzero_exit"))

`queue` reports the length of a queue of executions, and `worker` the health of a worker that runs them.
`current_execution` returns the execution that runs in the current context. `security_event` reports an event that is
relevant to security, such as a failed log-in. A `Metric` declares a metric of the program.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandscope._child._child_environment import child_environment
    from sandscope._errors import SandscopeError
    from sandscope._execution import Execution, current_execution
    from sandscope._manual import execution
    from sandscope._metric import Metric
    from sandscope._reports._queue import queue
    from sandscope._reports._security_event import security_event
    from sandscope._reports._worker import worker
    from sandscope._verdict import OK, Actor, Limit, Status, Verdict
    from sandscope._version import __version__

_MODULES = {
    "OK": "_verdict",
    "Actor": "_verdict",
    "Execution": "_execution",
    "Limit": "_verdict",
    "Metric": "_metric",
    "SandscopeError": "_errors",
    "Status": "_verdict",
    "Verdict": "_verdict",
    "__version__": "_version",
    "child_environment": "_child._child_environment",
    "current_execution": "_execution",
    "execution": "_manual",
    "queue": "_reports._queue",
    "security_event": "_reports._security_event",
    "worker": "_reports._worker",
}
"""The modules of the public names. Imported on first use: `sandscope.auto` needs none of them."""

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
    "queue",
    "security_event",
    "worker",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
