"""Instruments each Python program that has this folder in ``PYTHONPATH``."""

import os
import sys


def _start() -> None:
    try:
        from sandscope._errors import SandscopeError
        from sandscope._start import start
    except ModuleNotFoundError:
        return  # another Python, without Sandscope
    try:
        start()
    except SandscopeError as error:
        print(f"sandscope: {error} The program runs without instrumentation.", file=sys.stderr)  # noqa: T201


def _import_hidden() -> None:
    """Import the `sitecustomize` of the system or the user, which this module hides."""
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 -- pathlib is not loaded
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    own = sys.modules.pop("sitecustomize")
    try:
        __import__("sitecustomize")
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", own)


def _tell_ready(question: str) -> None:
    """Write the time to the parent's pipe, if the parent has asked this process: see `docs/decisions/0016`.

    The question is the pipe as a file in the parent's `/proc` folder, what that file is a link to, and a token.
    """
    import time

    now = time.perf_counter_ns()  # the same clock as in the parent
    try:
        file, pipe, token = question.split(" ")
        # An exec or another child may have inherited the variable; the parent's program may have reused the number.
        if not file.startswith(f"/proc/{os.getppid()}/fd/") or os.readlink(file) != pipe:  # noqa: PTH115
            return
        descriptor = os.open(file, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{token} {now}\n".encode())
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return  # another user or namespace, or the parent has ended


_question = os.environ.pop("SANDSCOPE_COLD_START", None)  # the program does not see it, nor do its children
try:
    _start()
finally:
    _import_hidden()
    if _question is not None:
        _tell_ready(_question)
