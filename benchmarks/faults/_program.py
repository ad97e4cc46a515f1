"""A program under load: started by `sandscope run`, which tells of its executions when it has been killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.faults._load import OPERATIONS

RATES = {"wasmtime": 50, "subprocess": 5, "torch": 10}
"""Executions per second."""
PATIENCE = 300.0
"""Seconds after which a program hangs: on a busy machine, importing torch takes more than a minute."""


class Program:
    """One runtime's program, which is started again after it has been killed.

    Attributes:
        runtime: what it runs.
        operation: what its executions are called.
        service: the name under which it sends.
    """

    def __init__(self, runtime: str, service: str, folder: Path, endpoint: str, **variables: str) -> None:
        """Prepare it.

        Args:
            runtime: a name of `RATES`.
            service: the name under which it sends.
            folder: for the list of what it has seen ending, and its output.
            endpoint: of the Collector.
            variables: environment variables of the program.
        """
        self.runtime, self.operation, self.service = runtime, OPERATIONS[runtime], service
        self._folder, self._endpoint, self._variables = folder, endpoint, variables
        self._run: subprocess.Popen[bytes] | None = None
        self._before = 0

    def start(self) -> None:
        """Start it, and wait until it runs executions."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it."""
        self._pid_file.unlink(missing_ok=True)
        self._before = len(self.acknowledged())
        load = [sys.executable, "-m", "benchmarks.faults._load", self.runtime, str(RATES[self.runtime])]
        sandscope = Path(sys.executable).with_name("sandscope")
        with self.output.open("ab") as output:
            self._run = subprocess.Popen(
                [sandscope, "run", "--collector", self._endpoint, "--", *load, self._folder],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait(self) -> None:
        """Wait until it runs executions."""
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged()) == self._before:
            assert self._run is not None
            assert self._run.poll() is None, f"the program has ended; see {self.output}"
            assert time.monotonic() < deadline, f"no executions after {PATIENCE:.0f} s; see {self.output}"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the program, not `sandscope run`, and wait until that has told of it."""
        assert self._run is not None
        os.kill(int(self._pid_file.read_text()), signal.SIGKILL)
        self._run.wait(PATIENCE)

    def stop(self) -> None:
        """Let the program end as programs do, and wait for it."""
        if self._run is not None and self._run.poll() is None:
            try:
                os.kill(int(self._pid_file.read_text()), signal.SIGTERM)
            except FileNotFoundError:  # it has not begun
                self._run.terminate()
            except ProcessLookupError:
                pass
            self._run.wait(PATIENCE)

    def acknowledged(self) -> list[str]:
        """Return the trace ids of the executions that it has seen ending."""
        try:
            lines = (self._folder / f"{self.runtime}.ids").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if len(line) == 32]

    @property
    def output(self) -> Path:
        """The file of what it and `sandscope run` have printed."""
        return self._folder / f"{self.runtime}.log"

    @property
    def _pid_file(self) -> Path:
        return self._folder / f"{self.runtime}.pid"

    def _environment(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
        return inherited | {"OTEL_SERVICE_NAME": self.service} | self._variables
