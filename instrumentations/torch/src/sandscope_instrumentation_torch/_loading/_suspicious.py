"""Security events of loads: pickles that name more than weights need."""

from __future__ import annotations

from sandscope.instrumentation import SECURITY, SECURITY_TYPE, SECURITY_VIOLATIONS, Execution, Recorder, Value
from sandscope_instrumentation_torch._loading._risk import Risk

REFUSED = "sv_unsafe_pickle"
_ALLOWED = {"high": "sv_code_execution", "medium": "sv_unsafe_globals"}
_RUNTIME = "torch"


def report_suspicious_load(
    recorder: Recorder, execution: Execution, risk: Risk, attributes: dict[str, Value], *, refused: bool
) -> None:
    """Report a load of a pickle that names more than weights need.

    Args:
        recorder: counts it, unless it was refused: then the verdict does.
        execution: the load.
        risk: of the pickle.
        attributes: of the load.
        refused: whether torch refused to unpickle it. Otherwise it is about to do so.
    """
    kind = REFUSED if refused else _ALLOWED[risk.level]
    event: dict[str, Value] = {
        SECURITY_TYPE: "suspicious_model_load",
        "sandbox.runtime": _RUNTIME,
        "sandbox.violation.type": kind,
        "sandbox.violation.action": "refused" if refused else "allowed",
        "sandbox.violation.resource": risk.names[0],
        "torch.load.risk_level": risk.level,
        "torch.load.globals": risk.names,
    }
    event |= {name: attributes[name] for name in ("torch.model.file",) if name in attributes}
    execution.set_attributes({"torch.load.risk_level": risk.level, "torch.load.globals": risk.names})
    execution.add_event(SECURITY, event)
    severity = "ERROR" if risk.level == "high" else "WARN"
    body = f"{execution.site.name}: {'refused' if refused else 'unpickles'} {risk.names[0]}"
    execution.log(SECURITY, body, severity=severity, attributes=event)  # type: ignore[arg-type]
    if not refused:
        counted: dict[str, Value] = {
            "sandbox.runtime": _RUNTIME,
            "sandbox.operation": "load",
            "sandbox.verdict.cause": kind,
        }
        recorder.measure(SECURITY_VIOLATIONS, 1, counted)
