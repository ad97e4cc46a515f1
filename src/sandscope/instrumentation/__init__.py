"""What the author of an instrumentation needs.

An instrumentation makes a `Site` for each function or program that it patches. Through a `Recorder` it begins an
`Execution`, and it ends that with a `Verdict`; it does not deal with spans, metrics or log records. ``docs/`` has
a tutorial, "Write an instrumentation".

- `RuntimeInstrumentor` patches a runtime when it is imported; `Patches` restores what was patched.
- `record_call` records one call of a function; `Recorder.begin` begins an execution that ends elsewhere.
- `Site`, `Execution`, `Verdict`, `Metric` and `Value` describe what is recorded; `OK` and `MISSING_EVIDENCE` are
  verdicts of every runtime, and `SECURITY_VIOLATIONS`, `LIMIT_VIOLATIONS` and `CAPABILITY_REQUESTS` its metrics.
- `inject_environment` puts the trace context into the environment of a child; `environment_names` are its variables.
- `GuestTelemetry` takes spans, log records and counts from guests, within `GuestLimits`, else with a `Refusal`.
- `read_boolean`, `read_choice`, `one_of` and `wrong_setting` read settings; a wrong one is a `SandscopeError`.
- `report_error` logs the first error of a component and counts all: telemetry never raises into the program.

`sandscope.instrumentation.testing` has what its tests need.
"""

from sandscope._errors import SandscopeError
from sandscope._execution import Execution, Measurement, SharedDetails, Site, Value, current_execution
from sandscope._forking import watch_forks
from sandscope._guard import report as report_error
from sandscope._guests._guest_rules import GuestLimits, Refusal
from sandscope._guests._guest_telemetry import GuestTelemetry
from sandscope._locks import new_lock
from sandscope._metric import CAPABILITY_REQUESTS, LIMIT_VIOLATIONS, SECURITY_VIOLATIONS, Metric
from sandscope._propagation import environment_names, inject_environment
from sandscope._recording._choice import get_recorder
from sandscope._recording._recorder import Recorder
from sandscope._recording._recorder import recording as record_call
from sandscope._scope import Scope
from sandscope._verdict import MISSING_EVIDENCE, OK, Limit, Verdict
from sandscope.instrumentation._declared_settings import Settings, choice, flag
from sandscope.instrumentation._instrumentor import RuntimeInstrumentor
from sandscope.instrumentation._patches import Patches

__all__ = [
    "CAPABILITY_REQUESTS",
    "LIMIT_VIOLATIONS",
    "MISSING_EVIDENCE",
    "OK",
    "SECURITY_VIOLATIONS",
    "Execution",
    "GuestLimits",
    "GuestTelemetry",
    "Limit",
    "Measurement",
    "Metric",
    "Patches",
    "Recorder",
    "Refusal",
    "RuntimeInstrumentor",
    "SandscopeError",
    "Scope",
    "Settings",
    "SharedDetails",
    "Site",
    "Value",
    "Verdict",
    "choice",
    "current_execution",
    "environment_names",
    "flag",
    "get_recorder",
    "inject_environment",
    "new_lock",
    "record_call",
    "report_error",
    "watch_forks",
]
