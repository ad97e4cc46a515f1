"""Sandscope: OpenTelemetry for code that runs in a sandbox.

This is what the author of a program needs; `sandscope.instrumentation` is for the author of an instrumentation.
"""

from sandscope._errors import SandscopeError
from sandscope._execution import Execution, current_execution
from sandscope._verdict import OK, Actor, Limit, Status, Verdict
from sandscope._version import __version__

__all__ = [
    "OK",
    "Actor",
    "Execution",
    "Limit",
    "SandscopeError",
    "Status",
    "Verdict",
    "__version__",
    "current_execution",
]
