"""Start a Collector on ports and in a folder that no other uses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from sandscope._cli._collector_options import DEFAULT_OVERLAY, data_folder, ports_of
from sandscope._collector import CollectorProcess, Composition, FolderInUseError, PortInUseError, Ports
from sandscope._collector._ports import KNOWN_TO_OTHERS

_ATTEMPTS = 5
"""How often to look for free ports: another program may take one before the Collector does."""


@contextmanager
def started_collector(
    arguments: argparse.Namespace, *, free_ports: bool = False, otelcol: Path | None = None
) -> Iterator[CollectorProcess]:
    """Run a Collector for the duration of a `with` block, which begins when it is ready.

    Args:
        arguments: those of `_collector_options`, and `overlays`.
        free_ports: whether it listens on free ports, except for those that the user has chosen.
        otelcol: its binary; found by `find_otelcol` by default.

    Raises:
        SandscopeError: if it cannot be started, or if another one uses what the user has chosen.
    """
    with ExitStack() as stack:
        sealing = "security" in (arguments.overlays or ())
        if sealing:  # the first, so that it ends after the Collector; a wrong key is an error at start
            from sandscope._cli._sealing import Sealing

            sealer = stack.enter_context(Sealing())
        collector = _start(arguments, free_ports=free_ports, otelcol=otelcol)
        stack.callback(collector.stop)
        if sealing:
            sealer.start(collector.data)
        yield collector


def _start(arguments: argparse.Namespace, *, free_ports: bool, otelcol: Path | None) -> CollectorProcess:
    composition = Composition.of(*(arguments.overlays or [DEFAULT_OVERLAY]))
    folders = _folders(*data_folder(arguments))
    chosen = ports_of(arguments)
    data, attempts = next(folders), 1
    while True:
        known = {name: getattr(Ports, name) for name in KNOWN_TO_OTHERS}
        ports = replace(Ports.free(), **known) if free_ports else Ports()
        ports = replace(ports, **chosen)
        collector = CollectorProcess(composition, data=data, ports=ports, otelcol=otelcol)
        try:
            collector.start()
        except PortInUseError as error:
            if not free_ports or error.name in {*chosen, *KNOWN_TO_OTHERS} or attempts == _ATTEMPTS:
                raise
            attempts += 1
        except FolderInUseError:
            following = next(folders, None)
            if following is None:
                raise
            data = following
        else:
            return collector


def _folders(data: Path, is_chosen: bool) -> Iterator[Path]:
    """Yield the folder, and if the user has not chosen it, numbered ones in it for further Collectors at a time."""
    yield data
    if not is_chosen:
        yield from (data / str(number) for number in count(2))
