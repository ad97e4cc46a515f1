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


try:
    _start()
finally:
    _import_hidden()
