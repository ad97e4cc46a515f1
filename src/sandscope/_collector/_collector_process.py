"""Run a Collector for the duration of a `with` block."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType

from sandscope._collector import _die_with_parent
from sandscope._collector._composition import Composition
from sandscope._collector._find import find_otelcol
from sandscope._collector._ports import HOST, Ports, variable
from sandscope._collector._validate import rejected, validate
from sandscope._errors import SandscopeError


class CollectorProcess:
    """A Collector in its own session, so that it does not receive the terminal's Ctrl-C.

    On Linux it is stopped when the *thread* that started it ends, for any reason.

    Attributes:
        ports: the ports on which it listens.
        data: the folder for its files.
        log: the file with its own log.
    """

    def __init__(
        self,
        composition: Composition,
        *,
        data: Path,
        ports: Ports | None = None,
        otelcol: Path | None = None,
    ) -> None:
        """Prepare a Collector, without starting it.

        Args:
            composition: its configuration.
            data: the folder for its files and its log; created if it is missing.
            ports: the ports to listen on; by default those of the environment, else the default ports.
            otelcol: its binary; found by `find_otelcol` by default.
        """
        self.composition = composition
        self.data = data.absolute()
        self.ports = Ports.from_environment() if ports is None else ports
        self.log = self.data / "otelcol.log"
        self._otelcol = otelcol
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The value for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://{HOST}:{self.ports.otlp_http}"

    @property
    def pid(self) -> int | None:
        """The id of the process, or None if it is not running."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def start(self, timeout: float = 15.0) -> None:
        """Start it, and wait until it is ready to receive telemetry.

        Args:
            timeout: how long to wait, in seconds.

        Raises:
            SandscopeError: if a port is in use, or if it rejects its configuration or does not start.
        """
        otelcol = find_otelcol(self._otelcol)
        environment = environment_for(self.ports, self.data)
        validate(otelcol, self.composition, environment)
        self.ports.check(*listening(self.composition))
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [str(otelcol), *self.composition.arguments]
        if sys.platform == "linux":
            shim = [sys.executable, "-I", "-S", str(_die_with_parent.__file__), str(os.getpid())]
            command = shim + command
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(self._process, timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        """Stop the Collector after it has exported the received telemetry. Does nothing if it is not running.

        Args:
            timeout: the maximum time in seconds for the shutdown. After that, the process is killed.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> CollectorProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise rejected(self.composition, self.log.read_text(encoding="utf-8", errors="replace"))
            if is_ready(self.ports.health):
                return
            time.sleep(0.02)
        raise SandscopeError(
            f"Cannot start the Collector: it was not ready after {timeout:g} s. Read {str(self.log)!r}."
        )


def environment_for(ports: Ports, data: Path) -> dict[str, str]:
    """Return the environment of a Collector: this process's, and the variables of the configuration files."""
    return {**os.environ, **ports.environment, "SANDSCOPE_DATA": str(data)}


def listening(composition: Composition) -> list[str]:
    """Return the ports that a composition uses, as names of attributes of `Ports`."""
    return [name for name in Ports.__dataclass_fields__ if composition.uses(variable(name))]


def is_ready(port: int) -> bool:
    """Return whether the Collector with this health port is ready."""
    with contextlib.closing(HTTPConnection(HOST, port, timeout=1.0)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
