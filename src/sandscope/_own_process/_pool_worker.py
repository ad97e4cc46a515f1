"""What a worker process of an executor tells the process that has started it: that executions run in the worker."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_tell: Callable[[], object] | None = None


def tell_at_first_execution(tell: Callable[[], object]) -> None:
    """Call a function once, when the first execution begins in this process."""
    global _tell  # noqa: PLW0603 -- one process
    _tell = tell


def start(seen: Any, initializer: Callable[..., object] | None, *initargs: Any) -> None:
    """Initialize a worker.

    Args:
        seen: a semaphore, which is released when the first execution begins.
        initializer: of the program.
        *initargs: its arguments.
    """
    tell_at_first_execution(seen.release)
    if initializer is not None:
        initializer(*initargs)


def on_execution() -> None:
    """Note that an execution begins."""
    global _tell
    if _tell is not None:
        tell, _tell = _tell, None
        tell()
