"""Verdicts: how an execution ended, who ended it, and the evidence."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["OK", "RE", "TLE", "MLE", "PLE", "FSE", "SIG", "SV", "ABUSE", "IE"]
"""Success; runtime error; time, memory, process or output (file size) limit exceeded; signal; security violation;
abuse; infrastructure error.
"""

Actor = Literal["guest", "engine", "kernel", "host", "unknown"]
"""Who ended the execution: the guest itself, the runtime's own limiter, a limit of the operating system, the program
that started it, or unknown.
"""

Limit = Literal["memory", "cpu", "wall", "process", "output", "fuel", "epoch", "stack", "table", "instance"]
"""The resource whose limit ended an execution."""


class Verdict(NamedTuple):
    """How an execution ended, determined from evidence.

    Attributes:
        status: the result; all runtimes use the same set of values.
        actor: who ended the execution.
        cause: the evidence that decided; ``telemetry.yaml`` declares the values.
        limit: the resource whose limit was reached, if any.
    """

    status: Status
    actor: Actor
    cause: str
    limit: Limit | None = None


OK = Verdict("OK", "guest", "normal_exit")
MISSING_EVIDENCE = Verdict("IE", "unknown", "ie_missing_evidence")
