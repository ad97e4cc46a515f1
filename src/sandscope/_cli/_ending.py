"""What is said about a program that has ended: one line, or one JSON object."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from sandscope._errors import SandscopeError
from sandscope._say import say
from sandscope._words import ACTORS, STATUSES

if TYPE_CHECKING:
    from sandscope._cli._limits import Limits
    from sandscope._cli._traced_program import Ended
    from sandscope._execution import Execution

_UNCERTAINTY = 1 << 20


class Memory(NamedTuple):
    """The peak of a program's memory.

    Attributes:
        size: bytes.
        is_bound: whether it is only known to be no more than that.
    """

    size: int
    is_bound: bool

    def __str__(self) -> str:
        return f"{'at most ' * self.is_bound}{self.size / (1 << 20):.0f} MiB"


def peak_of(ended: Ended) -> Memory | None:
    """Return the peak of a program's memory; None if it is not known.

    The kernel counts the parent's peak, too, as the child is a copy of it until the program starts.
    """
    if ended.usage is None:
        return None
    peak = ended.usage.ru_maxrss * 1024
    return Memory(peak, is_bound=peak <= ended.own_peak + _UNCERTAINTY)


def line(execution: Execution, ended: Ended) -> str:
    """Return one line for a human reader."""
    status, actor, cause, _ = _verdict(execution)
    memory = peak_of(ended)
    identity = _trace_id(execution)
    parts = [
        f"{STATUSES.get(status, status)} ({status}), {ACTORS.get(actor, actor)}: {cause}",
        _exit(ended),
        f"{_seconds(execution):.2f} s",
        "" if memory is None else f"peak memory {memory}",
        "" if identity is None else f"trace {identity}",
    ]
    return "; ".join(filter(None, parts))


def as_json(execution: Execution, ended: Ended, limits: Limits) -> str:
    """Return one JSON object, without the command's arguments."""
    status, actor, cause, limit = _verdict(execution)
    memory = peak_of(ended)
    code = os.waitstatus_to_exitcode(ended.status)
    basis = None if execution.details is None else execution.details.attributes.get("sandbox.verdict.basis")
    return json.dumps(
        {
            "program": execution.site.name,
            "status": status,
            "actor": actor,
            "cause": cause,
            "limit": limit,
            "basis": basis or "observed",
            "exit_code": code if code >= 0 else None,
            "signal": None if code >= 0 else _signal_name(-code),
            "duration_seconds": round(_seconds(execution), 6),
            "user_cpu_seconds": None if ended.usage is None else ended.usage.ru_utime,
            "system_cpu_seconds": None if ended.usage is None else ended.usage.ru_stime,
            "peak_memory_bytes": None if memory is None or memory.is_bound else memory.size,
            "peak_memory_at_most_bytes": None if memory is None else memory.size,
            "limits": {name: value for name, value in limits._asdict().items() if value is not None},
            "trace_id": _trace_id(execution),
        }
    )


def write(text: str, file: str) -> None:
    """Write one line to a file; ``-`` is standard error."""
    if file == "-":
        say(text)
        return
    try:
        with open(file, "w", encoding="utf-8") as stream:  # noqa: PTH123 -- it may be /dev/fd/3
            stream.write(f"{text}\n")
    except OSError as error:
        say(f"sandscope: cannot write {file!r}: {error.strerror}")


def check_file(file: str | None) -> None:
    """Raise a SandscopeError if nothing can be written to a file. It is empty afterwards."""
    if file in {None, "-"}:
        return
    try:
        with open(str(file), "w", encoding="utf-8"):  # noqa: PTH123 -- it may be /dev/fd/3
            pass
    except OSError as error:
        raise SandscopeError(
            f"Cannot write to --json {file!r}: {error.strerror}. Give the path of a file, or - for stderr."
        ) from error


def _verdict(execution: Execution) -> Any:
    from sandscope._verdict import MISSING_EVIDENCE

    return execution.verdict or MISSING_EVIDENCE


def _exit(ended: Ended) -> str:
    code = os.waitstatus_to_exitcode(ended.status)
    return f"exit code {code}" if code >= 0 else _signal_name(-code)


def _seconds(execution: Execution) -> float:
    return execution.duration


def _trace_id(execution: Execution) -> str | None:
    from opentelemetry import trace

    identity = trace.get_current_span(execution.context).get_span_context()
    return f"{identity.trace_id:032x}" if identity.is_valid else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
