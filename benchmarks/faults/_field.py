"""All that a fault can happen to: the stores, the Collector, and the programs that send to it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks.faults import _clock
from benchmarks.faults._disk import Disk
from benchmarks.faults._killable import Killable
from benchmarks.faults._load import RUNTIMES
from benchmarks.faults._lookup import Lookup
from benchmarks.faults._on_disk import OnDisk
from benchmarks.faults._program import Program
from benchmarks.faults._stores import Stores
from sandscope._collector import CollectorProcess, Composition, Ports


class Field:
    """What runs.

    Attributes:
        stores: by name.
        collector: which sends to them.
        programs: which send to it.
        lookup: finds executions in the stores.
        clock: of the programs.
        disk: of the spool, if it can be filled.
    """

    def __init__(
        self,
        stores: Mapping[str, Killable],
        collector: CollectorProcess,
        programs: list[Program],
        lookup: Lookup,
        *,
        clock: _clock.Clock | None,
        disk: Disk | None,
    ) -> None:
        """Take over what runs."""
        self.stores, self.collector, self.programs = stores, collector, programs
        self.lookup, self.clock, self.disk = lookup, clock, disk

    def kill_collector(self) -> None:
        """Kill the Collector, and wait for its end."""
        self._signal(signal.SIGKILL)
        while self.collector.pid is not None:
            time.sleep(0.01)

    def start_collector(self) -> None:
        """Start the Collector again."""
        self.collector.stop()  # forgets the one that was killed
        self.collector.start()

    def stop_collector(self, seconds: float) -> None:
        """Stop the Collector for a while, as a machine that swaps or a paused container does."""
        self._signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.collector.pid is not None
        os.kill(self.collector.pid, number)


@contextmanager
def field(
    stores: Stores,
    folder: Path,
    service: str,
    runtimes: list[str],
    *,
    disk: Disk | None,
    variables: Mapping[str, str],
) -> Iterator[Field]:
    """Start a Collector and programs for the duration of a `with` block.

    Args:
        stores: to which the Collector sends.
        folder: for all files; created.
        service: the name under which the programs send, followed by their runtimes.
        runtimes: of the programs.
        disk: for the spool; by default, that of the folder.
        variables: more environment variables of the programs.
    """
    with ExitStack() as ends:
        (folder / "programs").mkdir(parents=True)
        composition = Composition.of("local", "prometheus-otlp", "jaeger", "loki")
        collector = CollectorProcess(composition, data=folder / "collector", ports=Ports.free())
        ends.callback(collector.stop)
        collector.start()
        clock = _clock.build(folder)
        environment = {
            "SANDSCOPE_SPOOL": str((disk.path if disk else folder) / "spool"),
            **(clock.environment if clock else {}),
            **variables,
        }
        programs = [
            Program(name, f"{service}-{name}", folder / "programs", collector.endpoint, **environment)
            for name in runtimes
        ]
        for program in programs:
            ends.callback(program.stop)
            program.begin()
        for program in programs:
            program.wait()
        lookup = Lookup(
            **stores.addresses,
            spans=OnDisk(collector.data, "traces", "resourceSpans", "scopeSpans", "spans"),
            logs=OnDisk(collector.data, "logs", "resourceLogs", "scopeLogs", "logRecords"),
        )
        yield Field(stores.processes, collector, programs, lookup, clock=clock, disk=disk)


def installed_runtimes() -> list[str]:
    """Return the runtimes of which this Python has the package."""
    return [name for name in RUNTIMES if name == "subprocess" or find_spec(name)]
