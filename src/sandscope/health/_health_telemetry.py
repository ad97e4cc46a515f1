"""Health as telemetry: a status and a duration for each check, and a log record when a status changes."""

from __future__ import annotations

from sandscope import _guard
from sandscope._execution import Severity
from sandscope._metric import HEALTH_DURATION, HEALTH_STATUS, HEALTH_USAGE, HEALTH_USED
from sandscope._recording._choice import get_recorder
from sandscope._scope import Scope
from sandscope._settings import sdk_disabled
from sandscope._version import __version__
from sandscope.health._result import Status
from sandscope.health._state import State

_DETAILS = {"percent": HEALTH_USAGE, "bytes": HEALTH_USED}
_VALUES = {"healthy": 1.0, "degraded": 0.5, "unhealthy": 0.0}
_SEVERITIES: dict[Status, Severity] = {
    "healthy": "INFO",
    "unknown": "INFO",
    "degraded": "WARN",
    "unhealthy": "ERROR",
}


class HealthTelemetry:
    """Emits health through the recorder of the program."""

    def __init__(self) -> None:
        """Get the recorder, unless telemetry is disabled."""
        self._recorder = None if sdk_disabled() else get_recorder(Scope("sandscope.health", __version__))

    def measured(self, state: State) -> None:
        """Record the status, the duration and the details ``percent`` and ``bytes``; no status while it is unknown."""
        if self._recorder is None:
            return
        attributes: dict[str, str | bool] = {"check.name": state.check.name}
        if state.status in _VALUES:
            with_critical = {**attributes, "check.critical": state.check.critical}
            self._recorder.measure(HEALTH_STATUS, _VALUES[state.status], with_critical)
        for detail, metric in _DETAILS.items():
            used = state.latest.details.get(detail)
            if isinstance(used, (int, float)):
                self._recorder.measure(metric, used, attributes)
        self._recorder.measure(HEALTH_DURATION, state.duration, attributes)

    def check_changed(self, state: State) -> None:
        """Emit a log record about a check whose status has changed."""
        body = f"health check {state.check.name} is {state.status}"
        if state.latest.message:
            body = f"{body}: {state.latest.message}"
        self._log(body, state.status, state.check.name)

    def overall_changed(self, status: Status) -> None:
        """Emit a log record about the program, whose status has changed."""
        self._log(f"the program is {status}", status, None)

    def _log(self, body: str, status: Status, name: str | None) -> None:
        if self._recorder is None:
            return
        attributes = {"health.status": status} | ({"check.name": name} if name else {})
        try:
            self._recorder.log("health.change", body, severity=_SEVERITIES[status], attributes=attributes)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("health", error)
