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
    try:
        from sandscope._start._ready import tell_ready
    except ModuleNotFoundError:
        return
    tell_ready(question)


_question = os.environ.pop("SANDSCOPE_COLD_START", None)  # the program does not see it, nor do its children
try:
    _start()
finally:
    _import_hidden()
    if _question is not None:
        _tell_ready(_question)
