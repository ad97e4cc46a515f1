"""Workers of multiprocessing: they report the parent's service, and a pool flushes its workers before it ends them.

Those of ``concurrent.futures`` tell whether executions run in them.
"""

from __future__ import annotations

from sandscope import _first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_prepared = False


def prepare_workers() -> None:
    """Patch multiprocessing when the program imports it. Has no effect if called again."""
    global _prepared  # noqa: PLW0603 -- one program
    if not _prepared:
        _prepared = True
        _first_use.after_import("multiprocessing.util", _pass_program_name)
        _first_use.after_import("multiprocessing.pool", _flush_workers)
        _first_use.after_import("concurrent.futures.process", _watch_executors)


def _pass_program_name(util: Any) -> None:
    """Pass the name to workers that start in a new interpreter, because their command line names no program."""
    original: Callable[[], list[str]] | None = getattr(util, "_args_from_interpreter_flags", None)
    if original is None:
        return

    def _args_from_interpreter_flags() -> list[str]:
        from sandscope._setup._defaults import WORKER_OF, program_name

        name = program_name()
        return original() if name is None else [*original(), "-X", f"{WORKER_OF}={name}"]

    util._args_from_interpreter_flags = _args_from_interpreter_flags


def _watch_executors(process: Any) -> None:
    from sandscope._setup._process_pools import watch_process_pools

    watch_process_pools(process.ProcessPoolExecutor)


def _flush_workers(pool: Any) -> None:
    original = pool.Pool.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 -- takes the place of one
        from sandscope._setup._pool import create_pool

        create_pool(original.__get__(self), self, args, kwargs)

    __init__.__doc__, __init__.__wrapped__ = original.__doc__, original  # type: ignore[attr-defined]
    pool.Pool.__init__ = __init__
