"""What a worker process of an executor tells the process that has started it: that executions run in the worker."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_tell: Callable[[], object] | None = None


def tell_at_first_execution(tell: Callable[[], object]) -> None:
    """Call a function once, when the first execution begins in this process."""
    global _tell  # noqa: PLW0603 -- one process
    _tell = tell


def on_execution() -> None:
    """Note that an execution begins."""
    global _tell
    if _tell is not None:
        tell, _tell = _tell, None
        tell()
