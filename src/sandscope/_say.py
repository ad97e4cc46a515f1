"""One line for the user."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO

_PATIENCE = 1.0
"""Seconds to wait for a reader that does not read."""


def say(text: str, stream: TextIO | None = None) -> bool:
    """Write one line, unless the stream is closed or its reader does not read.

    A message must not end the program, change its exit code or make it wait: an unread pipe would block it for good.

    Args:
        text: the line.
        stream: standard error by default.

    Returns:
        Whether it was written.
    """
    stream = stream or sys.stderr
    if stream is None:
        return False  # closed: its descriptor may be another file's by now
    try:
        if not any(stream is standard for standard in (sys.__stdout__, sys.__stderr__)):
            stream.write(f"{text}\n")
        elif select.select([], [stream.fileno()], [], _PATIENCE)[1]:
            # Unbuffered: what a closed pipe did not take would fail again when the interpreter exits.
            os.write(stream.fileno(), f"{text}\n".encode(stream.encoding, "backslashreplace"))
        else:
            return False
    except Exception:  # noqa: BLE001 -- the program may have put anything in the place of the stream
        return False
    return True
