"""The engine's messages: the reason of a failure in one line, and the backtrace of the guest."""

from __future__ import annotations

import re

_BACKTRACE = "error while executing at wasm backtrace:\n"
_CAUSE = "Caused by:"
_CAUSE_LINE = re.compile(r"^\s*(?:\d+: )?(?:wasm trap: )?", re.MULTILINE)
_FRAMES = 32
"""Lines of a backtrace: the guest chooses how deep it is."""


def engine_message(error: BaseException) -> str:
    """Return the engine's message without the backtrace of the host, which some versions add; else nothing."""
    if not type(error).__module__.startswith("wasmtime."):
        return ""  # the program's exception may run code of the program to make its message
    message, backtrace, rest = str(error).rpartition("\n\nStack backtrace:")
    return message if backtrace else rest


def reason_of(message: str) -> str:
    """Return the reason of a failure in one line: of a trap, the words of the engine."""
    causes = message.rpartition(_CAUSE)[2] if message.startswith(_BACKTRACE) else message.replace(_CAUSE, "")
    lines = [_CAUSE_LINE.sub("", line).strip() for line in causes.splitlines()]
    return ": ".join(line for line in lines if line)


def backtrace_of(message: str) -> str | None:
    """Return the guest's backtrace, the innermost function first, or None if the message has none."""
    if not message.startswith(_BACKTRACE):
        return None
    lines = message[len(_BACKTRACE) :].rpartition(f"\n\n{_CAUSE}")[0].splitlines()
    frames = [line for line in lines if not line.startswith("note: ")]
    if len(frames) > _FRAMES:
        frames[_FRAMES:] = [f"... {len(frames) - _FRAMES} more"]
    return "\n".join(frames)
