"""What the author of an instrumentation needs.

An instrumentation makes a `Site` for each thing it patches, begins and ends an `Execution` through a `Recorder`,
and states a `Verdict`. It knows nothing of spans, metrics or log records.
"""

from sandscope._errors import SandscopeError
from sandscope._execution import Event, Execution, Site, Value, current_execution
from sandscope._forking import new_lock, watch_forks
from sandscope._guard import report as report_error
from sandscope._guests._guest_rules import GuestLimits, Refusal
from sandscope._guests._guest_telemetry import GuestTelemetry
from sandscope._metric import CAPABILITY_REQUESTS, LIMIT_VIOLATIONS, SECURITY_VIOLATIONS, Metric
from sandscope._propagation import environment_names, inject_environment
from sandscope._recording._choice import get_recorder
from sandscope._recording._recorder import Recorder
from sandscope._scope import Scope
from sandscope._verdict import MISSING_EVIDENCE, OK, Actor, Limit, Status, Verdict
from sandscope.instrumentation._instrumentor import RuntimeInstrumentor
from sandscope.instrumentation._patches import Patches
from sandscope.instrumentation._settings import Settings, choice, flag

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
    "Settings",
    "Site",
    "Status",
    "Value",
    "Verdict",
    "choice",
    "current_execution",
    "environment_names",
    "flag",
    "get_recorder",
    "inject_environment",
    "new_lock",
    "report_error",
    "watch_forks",
]
