"""The API for authors of instrumentations.

An instrumentation creates a `Site` for each function or program that it patches. It begins an `Execution` with a
`Recorder` and ends it with a `Verdict`; the recorder emits spans, metrics and log records. For a tutorial, see "Write
an instrumentation" in ``docs/``.

- `RuntimeInstrumentor` patches a runtime when it is imported. `Patches` restores the original functions.
  `native_attribute` is a compiled attribute for a runtime that reads one on each call, and `native_model_call` records
  the most frequent calls of models.
- `record_call` records one call of a function. `Recorder.begin` begins an execution that ends elsewhere.
- `Site`, `Execution`, `Verdict`, `Metric` and `Value` describe the recorded data. `OK` and `MISSING_EVIDENCE` are
  verdicts of every runtime; `SECURITY_VIOLATIONS`, `LIMIT_VIOLATIONS`, `CAPABILITY_REQUESTS`, `CLEANUPS`,
  `CLEANUP_DURATION` and `COLD_START` are metrics of every runtime.
- `inject_environment` injects the trace context into the environment of a child process, and `inject_execution` that of
  an execution. `environment_names` returns the names of the variables.
- `children_continue_trace`, `python_path_of_child` and `instruments_python` say what
  ``SANDSCOPE_CHILDREN`` asks for. `COLD_START_VARIABLE` asks a Python child when its interpreter is ready.
  `entries_at_start` returns the environment that this process inherited.
- `is_instrumentation_enabled` returns whether the current context does not suppress instrumentation.
- `note_execution` notes the executor in whose worker an execution begins, so that its queue is reported.
- `allowed_attributes` returns the attributes of an execution that the program's settings allow on metrics.
- `observe_metric` reads the values of a metric whenever metrics are collected.
- `report_incident` reports what happens inside an execution: `RESOURCE` (with `limit_attributes`), `SECURITY`.
  Without it, a record of `SECURITY` needs a `SECURITY_TYPE`.
- `GuestTelemetry` receives spans, log records and counts from guests within `GuestLimits`, or returns a `Refusal`.
- `Settings`, `choice`, `flag`, `patterns`, `subset` and `threshold` declare settings. An invalid value raises a
  `SandscopeError`.
- `new_lock` returns a lock that is reset in forked children. `watch_forks` notifies an object of forks, and
  `observe_forks` also before and after them in the parent process.
- `relay` returns what reads the pipe by which a child sends its telemetry, if ``SANDSCOPE_RELAY`` asks for it, and
  `relay_variable` the variable that tells the child of it.
- `report_error` counts internal errors and logs the first of each component. Telemetry never raises into the program.

For tests, see `sandscope.instrumentation.testing`.
"""

from sandscope._child._children import (
    COLD_START_VARIABLE,
    children_continue_trace,
    instruments_python,
    python_path_of_child,
)
from sandscope._child._propagation import environment_names, inject_environment, inject_execution
from sandscope._details import Measurement, SharedDetails, Value
from sandscope._errors import SandscopeError
from sandscope._execution import Execution, Severity, Site, current_execution
from sandscope._guard import report as report_error
from sandscope._guests._guest_rules import GuestLimits, Refusal
from sandscope._guests._guest_telemetry import GuestTelemetry
from sandscope._internals import is_instrumentation_enabled
from sandscope._locks import new_lock
from sandscope._metric import (
    CAPABILITY_REQUESTS,
    CLEANUP_DURATION,
    CLEANUPS,
    COLD_START,
    LIMIT_VIOLATIONS,
    SECURITY_VIOLATIONS,
    Metric,
)
from sandscope._own_process._forking import observe_forks, watch_forks
from sandscope._own_process._inherited import entries_at_start
from sandscope._recording._choice import get_recorder
from sandscope._recording._executors import note_execution
from sandscope._recording._incidents import (
    RESOURCE,
    SECURITY,
    SECURITY_TYPE,
    limit_attributes,
    report_incident,
)
from sandscope._recording._instruments import observe_metric
from sandscope._recording._metric_attributes import allowed_attributes
from sandscope._recording._recorder import Recorder
from sandscope._recording._recorder import recording as record_call
from sandscope._relay._relay_choice import relay
from sandscope._relay_pipe import variable_for as relay_variable
from sandscope._scope import Scope
from sandscope._verdict import MISSING_EVIDENCE, OK, Limit, Verdict
from sandscope.instrumentation._declared_settings import Settings, choice, flag, patterns, subset, threshold
from sandscope.instrumentation._instrumentor import RuntimeInstrumentor
from sandscope.instrumentation._native_attribute import native_attribute, native_model_call
from sandscope.instrumentation._patches import Patches

__all__ = [
    "CAPABILITY_REQUESTS",
    "CLEANUPS",
    "CLEANUP_DURATION",
    "COLD_START",
    "COLD_START_VARIABLE",
    "LIMIT_VIOLATIONS",
    "MISSING_EVIDENCE",
    "OK",
    "RESOURCE",
    "SECURITY",
    "SECURITY_TYPE",
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
    "Severity",
    "SharedDetails",
    "Site",
    "Value",
    "Verdict",
    "allowed_attributes",
    "children_continue_trace",
    "choice",
    "current_execution",
    "entries_at_start",
    "environment_names",
    "flag",
    "get_recorder",
    "inject_environment",
    "inject_execution",
    "instruments_python",
    "is_instrumentation_enabled",
    "limit_attributes",
    "native_attribute",
    "native_model_call",
    "new_lock",
    "note_execution",
    "observe_forks",
    "observe_metric",
    "patterns",
    "python_path_of_child",
    "record_call",
    "relay",
    "relay_variable",
    "report_error",
    "report_incident",
    "subset",
    "threshold",
    "watch_forks",
]
