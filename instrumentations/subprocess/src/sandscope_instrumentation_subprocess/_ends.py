"""The end of an execution: the verdict, how it follows, and what the child has used."""

from __future__ import annotations

import resource
from functools import partial

from opentelemetry.semconv._incubating.attributes.process_attributes import PROCESS_EXIT_CODE, PROCESS_PID

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Recorder, Verdict, report_error
from sandscope_instrumentation_subprocess._child import Child
from sandscope_instrumentation_subprocess._evidence import (
    NOT_INSPECTED,
    NOT_MEASURED,
    SUCCESS,
    Evidence,
    ExitStatus,
    Usage,
    Zombie,
    collect_evidence,
    needs_evidence,
    usage_of,
)
from sandscope_instrumentation_subprocess._incidents import SIGNAL, conclude, signal_name
from sandscope_instrumentation_subprocess._measures._backends import count_backends
from sandscope_instrumentation_subprocess._measures._cleanup import success
from sandscope_instrumentation_subprocess._measures._resource_use import (
    describe_usage,
    record,
    record_evidence,
)

BASIS = "sandbox.verdict.basis"


def end_execution(
    child: Child,
    exit_status: ExitStatus,
    zombie: Zombie,
    reported: resource.struct_rusage | None,
    recorder: Recorder,
) -> None:
    """End the execution of a child that has ended.

    Args:
        child: with what was observed while it ran.
        exit_status: how it ended.
        zombie: what was read before it was reaped.
        reported: what the kernel reported when it was reaped.
        recorder: counts what happened to it.
    """
    execution, verdict, evidence = child.execution, MISSING_EVIDENCE, None
    try:
        if exit_status == SUCCESS and not child.is_eventful():
            execution.on_end(partial(_describe_success, child, reported, zombie))
            count_backends(child, recorder)
            execution.finish(OK, end_time=child.exit_time)
            return
        if exit_status.signal is not None:
            execution.set_attributes({SIGNAL: signal_name(exit_status.signal)})
        elif exit_status.exit_code is not None:
            execution.set_attributes({PROCESS_EXIT_CODE: exit_status.exit_code})
        verdict = OK if exit_status == SUCCESS else MISSING_EVIDENCE
        usage = _usage(reported, zombie)
        record(execution, *describe_usage(usage, child.observed))
        if needs_evidence(child, exit_status):
            evidence = collect_evidence(child, exit_status, zombie, usage)
            verdict = _judge(child, evidence, recorder)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.end", error)
    finish(child, verdict, recorder, evidence)


def end_success(child: Child, reported: resource.struct_rusage, recorder: Recorder) -> None:
    """End the execution of a child of which there is nothing to be told but that it has succeeded.

    Args:
        child: has ended, was reaped, and has left nothing.
        reported: what the kernel reported when it was reaped.
        recorder: counts what happened to it.
    """
    try:
        child.execution.on_end(partial(_describe_success, child, reported, NOT_INSPECTED))
        recorder.measure_all(*success(child))
        count_backends(child, recorder)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.end", error)
    child.execution.finish(OK, end_time=child.exit_time)


def _describe_success(
    child: Child, reported: resource.struct_rusage | None, zombie: Zombie, *_end: object
) -> None:
    """Say what a child has used, before its ended execution is exported: not while the program waits."""
    details = child.execution.details
    if details is not None:
        attributes, measurements = describe_usage(_usage(reported, zombie), child.observed)
        details.attributes.update(attributes)
        details.attributes[PROCESS_EXIT_CODE] = 0
        if child.pid > 0:
            details.attributes[PROCESS_PID] = child.pid
        details.measurements.update(measurements)


def _usage(reported: resource.struct_rusage | None, zombie: Zombie) -> Usage:
    if reported is not None:
        return usage_of(reported)
    return NOT_MEASURED._replace(user_time=zombie.user_time, system_time=zombie.system_time)


def _judge(child: Child, evidence: Evidence, recorder: Recorder) -> Verdict:
    # Not imported before: most children succeed.
    from sandscope_instrumentation_subprocess._measures._survived import report_survived
    from sandscope_instrumentation_subprocess._verdicts import verdict_of

    verdict, basis = verdict_of(evidence)
    record_evidence(child.execution, evidence)
    report_survived(child.execution, evidence, verdict, recorder)
    if basis is not None:
        child.execution.set_attributes({BASIS: basis})
    return verdict


def finish(child: Child, verdict: Verdict, recorder: Recorder, evidence: Evidence | None = None) -> None:
    """Report what happened to a child, and finish its execution.

    Args:
        child: has ended, or is no longer observed.
        verdict: on the child, by the evidence of its end.
        recorder: counts what happened to it.
        evidence: of the end; None if none was collected.
    """
    try:
        if child.pid > 0:
            child.execution.set_attributes({PROCESS_PID: child.pid})
        verdict = conclude(child, verdict, recorder, evidence)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.end", error)
    child.execution.finish(verdict, end_time=child.exit_time)
