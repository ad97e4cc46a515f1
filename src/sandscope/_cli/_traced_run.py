"""Run a program in one trace, as an execution with a verdict: `sandscope exec` and `sandscope run --trace`."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING

from sandscope._ci import detect
from sandscope._cli._destination import destination
from sandscope._cli._forwarded_signals import ForwardedSignals
from sandscope._cli._limits import Limits

if TYPE_CHECKING:
    from sandscope._cli._traced_program import Ended
    from sandscope._execution import Execution

NO_LIMITS = Limits()


def run_traced(
    arguments: argparse.Namespace,
    command: Sequence[str],
    report: Callable[[Execution, Ended], object],
    *,
    limits: Limits = NO_LIMITS,
    variables: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda environment: environment,
    around: Callable[[Mapping[str, str]], AbstractContextManager[Mapping[str, str]]] = nullcontext,
    announces: bool = True,
) -> int:
    """Run a program with this process's streams, terminal and signals, and return its wait status.

    Args:
        arguments: those of `add_destination_to`.
        command: the path of the program's file, and its arguments.
        report: is called when it has ended.
        limits: that it has to keep.
        variables: returns the program's environment, from the one that says where telemetry goes.
        around: is entered around the program, and yields the environment from which `variables` makes that.
        announces: whether to say at the start where telemetry goes.

    Raises:
        OSError: if it cannot be started.
        SandscopeError: if the Collector cannot be started.
    """
    preparation = threading.Thread(target=_import, daemon=True)
    preparation.start()  # the imports take as long as the start of a Collector
    with destination(arguments, announces=announces) as environment, around(environment) as outside:
        preparation.join()
        from sandscope._cli._ci_task import task
        from sandscope._cli._recorded import recorded
        from sandscope._cli._traced_program import TracedProgram

        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        signals = ForwardedSignals()
        run = detect(os.environ)
        try:
            with recorded(run) as recorder:
                with task(run, command[0], recorder):
                    ended = TracedProgram(command, variables(outside), signals, limits).wait()
                signals.close()
                if recorder.execution is not None:
                    report(recorder.execution, ended)
        finally:
            signals.close()
    return ended.status


def _import() -> None:
    with suppress(ImportError):
        import sandscope_instrumentation_subprocess._registry  # noqa: F401
