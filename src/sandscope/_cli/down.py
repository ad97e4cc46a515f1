"""`sandscope down`: stop what `sandscope up` has started, and nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from sandscope._cli import _started
from sandscope._cli._collector_options import add_data_to, data_folder
from sandscope._cli._patience import Patience
from sandscope._cli._started import Started
from sandscope._cli._up_stores import stop_stores
from sandscope._errors import SandscopeError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Stop the Collector, the page and the stores that `sandscope up` has started with the same data folder. What "
        "the Collector has received is written first; its files stay, those of the stores are removed."
    )
    add_data_to(parser)
    parser.set_defaults(handler=_down)


def _down(arguments: argparse.Namespace) -> int:
    data, _ = data_folder(arguments)
    if not data.is_dir():
        raise SandscopeError(
            f"Cannot find {str(data)!r}: nothing was started there. Name the folder of `sandscope up` with --data."
        )
    with _started.alone(data):
        started = _started.read(data)
        if started is None:
            print("nothing to stop: `sandscope up` has started nothing here")
            return 0
        ran = started.collector.runs
        started.collector.stop(Patience("stopping the Collector"))
        stop_rest(started, data)
        _started.forget(data)
    print(
        f"stopped; the telemetry is in {data}" if ran else "nothing to stop: the Collector had ended already"
    )
    return 0


def stop_rest(started: Started, data: Path) -> None:
    """Stop what was started beside the Collector."""
    if started.page is not None:
        started.page.stop(Patience("stopping the page"))
    if started.stores:
        stop_stores(data)
