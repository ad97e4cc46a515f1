"""Sandscope: OpenTelemetry for code that runs in a sandbox.

An instrumentation makes a `Site` for each thing it patches, begins and ends an `Execution` through a
`Recorder`, and states a `Verdict`. Everything past that is OpenTelemetry's.
"""

from sandscope._context import environment_names, inject_environment
from sandscope._errors import SandscopeError
from sandscope._execution import Event, Execution, current_execution
from sandscope._guard import report as report_error
from sandscope._guest import GuestTelemetry
from sandscope._guest_rules import GuestLimits, Refusal
from sandscope._instrumentor import RuntimeInstrumentor
from sandscope._metric import CAPABILITY_REQUESTS, LIMIT_VIOLATIONS, SECURITY_VIOLATIONS, Metric
from sandscope._patches import Patches
from sandscope._recorder import Recorder, get_recorder
from sandscope._scope import Scope
from sandscope._settings import one_of, read_boolean, read_choice, wrong_setting
from sandscope._site import Site, Value
from sandscope._verdict import MISSING_EVIDENCE, OK, Actor, Limit, Status, Verdict
from sandscope._version import __version__

__all__ = [
    "CAPABILITY_REQUESTS",
    "LIMIT_VIOLATIONS",
    "MISSING_EVIDENCE",
    "OK",
    "SECURITY_VIOLATIONS",
    "Actor",
    "Event",
    "Execution",
    "GuestLimits",
    "GuestTelemetry",
    "Limit",
    "Metric",
    "Patches",
    "Recorder",
    "Refusal",
    "RuntimeInstrumentor",
    "SandscopeError",
    "Scope",
    "Site",
    "Status",
    "Value",
    "Verdict",
    "__version__",
    "current_execution",
    "environment_names",
    "get_recorder",
    "inject_environment",
    "one_of",
    "read_boolean",
    "read_choice",
    "report_error",
    "wrong_setting",
]
