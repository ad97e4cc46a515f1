"""What another program reports about the child that it has run: a shell, ``timeout``, a sandbox."""

from __future__ import annotations

import signal

from sandscope_instrumentation_subprocess._evidence import Evidence
from sandscope_instrumentation_subprocess._evidence._wrappers import Wrapper, wrapper_of

_FAILED = 1
"""The exit code of ``isolate`` if its child has failed."""


def as_told(evidence: Evidence) -> Evidence:
    """Replace the exit code of a program that tells how its own child ended by what it tells."""
    meta = evidence.meta
    if meta is not None and evidence.exit_code == _FAILED:
        if meta.status == "SG" and meta.signal is not None:
            return evidence._replace(exit_code=None, signal=meta.signal, told=True)
        return evidence._replace(exit_code=meta.exit_code or _FAILED, told=True)
    number = (evidence.exit_code or 0) - 128
    if not _wrapper(evidence).tells_signals or number not in signal.valid_signals():
        return evidence
    return evidence._replace(exit_code=None, signal=number, told=True)


def contradicts_itself(evidence: Evidence) -> bool:
    """Return whether two sources disagree on whether the child has failed."""
    meta, code = evidence.meta, evidence.exit_code
    disagrees = meta is not None and (
        (code == 0 and meta.status is not None) or (code == _FAILED and meta.status is None)
    )
    return evidence.contradictory or disagrees


def lacks_meta_file(evidence: Evidence) -> bool:
    """Return whether ``isolate`` says that its child has failed, and not how, though it was asked to."""
    return evidence.lacks_meta and evidence.exit_code == _FAILED


def was_not_started(evidence: Evidence) -> bool:
    """Return whether the child could not start what it was to run."""
    if evidence.meta is not None and evidence.meta.status == "XX":
        return True
    return not evidence.told and evidence.exit_code in _wrapper(evidence).not_started


def timed_out(evidence: Evidence) -> bool:
    """Return whether the child has stopped its own child because its wall-clock time was over."""
    meta = evidence.meta
    if meta is not None:
        return meta.status == "TO" and meta.wall
    # `timeout` repeats any other signal that has ended its command.
    return evidence.exit_code in _wrapper(evidence).timed_out


def used_up_cpu_time(evidence: Evidence) -> bool:
    """Return whether ``isolate`` has stopped its child because its CPU time was over."""
    return evidence.meta is not None and evidence.meta.status == "TO" and not evidence.meta.wall


def was_oom_killed(evidence: Evidence) -> bool:
    """Return whether ``isolate`` says that the kernel killed its child for lack of memory."""
    return evidence.meta is not None and evidence.meta.oom_killed


def was_killed(evidence: Evidence) -> bool:
    """Return whether a signal has ended the child's own child, and is not told."""
    return evidence.exit_code in _wrapper(evidence).killed


def was_killed_as_timeout(evidence: Evidence) -> bool:
    """Return whether ``timeout`` was killed: it is in the group of processes to which it sends SIGKILL."""
    return bool(_wrapper(evidence).timed_out) and evidence.signal == signal.SIGKILL


def _wrapper(evidence: Evidence) -> Wrapper:
    return wrapper_of(evidence.program, is_shell=evidence.is_shell)
