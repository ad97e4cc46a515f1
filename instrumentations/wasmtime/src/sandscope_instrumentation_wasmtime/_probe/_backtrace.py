"""Takes the probe's own frames out of the message of an error that WASI itself has raised."""

from __future__ import annotations

import re
from typing import Any

from sandscope_instrumentation_wasmtime._probe import _gate, _meter

_MESSAGE = "_WasmtimeError__message"
"""What wasmtime shows in place of the engine's own words, if it is set."""

_INNERMOST = 1, f"{_meter.NAME}!"
_NEXT = 2, f"{_gate.NAME}!"
_NUMBER = re.compile(r" *\d+(?=:)")


def tidy(error: Any) -> None:
    """Make the message what it would be without the probe.

    Args:
        error: a `WasmtimeError` that a call has raised; changed in place.
    """
    if getattr(error, _MESSAGE, "") is not None:
        return  # made in Python
    lines = str(error).split("\n")
    for at, frame in (_INNERMOST, _NEXT):
        if at >= len(lines) or f" - {frame}" not in lines[at]:
            return
    del lines[1:3]
    for at in range(1, len(lines)):
        number = _NUMBER.match(lines[at])
        if number is None:
            break
        lines[at] = f"{int(number[0]) - 2:>{len(number[0])}}{lines[at][number.end() :]}"
    setattr(error, _MESSAGE, "\n".join(lines))
