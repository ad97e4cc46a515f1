"""Telemetry of `sandscope ci`: sent before the command ends, to where `sandscope exec` sends it, too."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandscope import _settings
from sandscope._ci import Run
from sandscope._cli._destination import destination


@contextmanager
def recording(arguments: argparse.Namespace, run: Run | None, **options: Any) -> Iterator[bool]:
    """Yield whether what the ``with`` block records is sent, which happens at its end.

    Args:
        arguments: those of `add_destination_to`.
        run: of the CI pipeline.
        options: see `set_up`.
    """
    _settings.check()
    if _settings.sdk_disabled():
        yield False
        return
    with destination(arguments, announces=False) as environment:
        os.environ.update(environment)
        from sandscope._cli._own_sdk import set_up
        from sandscope._own_process import _at_exit

        set_up(run, **options)
        try:
            yield True
        finally:
            _at_exit.run_now()
