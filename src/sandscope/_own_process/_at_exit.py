"""The exit handler of the process. Registered at the start, so that it runs after the program's own handlers."""

from __future__ import annotations

import atexit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_is_registered = False
_function: Callable[[], object] | None = None


def reserve() -> None:
    """Register the handler, before the program registers its own."""
    global _is_registered  # noqa: PLW0603 -- one process
    if not _is_registered:
        _is_registered = True
        atexit.register(_run)


def call_at_exit(function: Callable[[], object]) -> None:
    """Call a function at exit, in place of the one that was given before."""
    global _function  # noqa: PLW0603 -- one process
    _function = function
    reserve()


def run_now() -> None:
    """Do now what was to be done at exit. It is done only once."""
    global _function
    function, _function = _function, None
    if function is not None:
        function()


def _run() -> None:
    if _function is not None:
        _function()
