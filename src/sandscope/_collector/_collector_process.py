"""Run a Collector for the duration of a `with` block."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType

from sandscope._collector import _launch
from sandscope._collector._composition import Composition
from sandscope._collector._credentials import FOLDER
from sandscope._collector._data_folder import LOG, make_folder, open_log
from sandscope._collector._find import find_otelcol
from sandscope._collector._ports import HOST, Ports, variable
from sandscope._collector._queue_files import queue_error
from sandscope._collector._read_files import ReadFiles
from sandscope._collector._validate import rejected, validate
from sandscope._errors import SandscopeError


class CollectorProcess:
    """A Collector in its own session, so that it does not receive the terminal's Ctrl-C.

    On Linux it is stopped when the *thread* that started it ends, for any reason.

    Attributes:
        ports: the ports on which it listens.
        data: the folder for its files.
        log: the file with its own log.
        files: its configuration files, as it has read them last.
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
        self.log = self.data / LOG
        self.files = ReadFiles(composition.files)
        self._otelcol = otelcol
        self._process: subprocess.Popen[bytes] | None = None
        self._output_begins = 0

    @property
    def endpoint(self) -> str:
        """The value for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return self.address(self.ports.otlp_http)

    def address(self, port: int) -> str:
        """Return the address of one of its ports."""
        # The name, for which the certificates of `sandscope collector certificates` are, whatever the address is.
        if self.composition.uses(FOLDER):
            return f"https://localhost:{port}"
        return f"http://{HOST}:{port}"

    @property
    def pid(self) -> int | None:
        """The id of the process, or None if it is not running."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    @property
    def exit_code(self) -> int | None:
        """Its exit code if it has ended by itself, or the negative number of the signal that ended it; else None."""
        return None if self._process is None else self._process.poll()

    def start(self, timeout: float = 15.0, *, again: bool = False) -> None:
        """Start it, and wait until it is ready to receive telemetry and to be stopped.

        Args:
            timeout: how long to wait, in seconds.
            again: whether it has ended by itself before; its log is then kept.

        Raises:
            PortInUseError: if another program listens on one of its ports.
            FolderInUseError: if another Collector uses its folder.
            SandscopeError: if its folder cannot be used, or if it rejects its configuration or does not start.
        """
        otelcol = find_otelcol(self._otelcol)
        environment = environment_for(self.ports, self.data)
        self.files.remember()
        make_folder(self.data)  # otherwise the Collector says what is wrong with it, in other words
        validate(otelcol, self.composition, environment)
        self.ports.check(*listening(self.composition))
        launch = [sys.executable, "-I", "-S", str(_launch.__file__), str(os.getpid())]
        command = [*launch, str(otelcol), *self.composition.arguments]
        with open_log(self.data, keep=again) as log:
            self._output_begins = log.tell()
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
            self.stop(timeout=0.0)  # it has received nothing yet
            raise

    def reload(self) -> None:
        """Let it read its files again.

        Raises:
            SandscopeError: if they are not valid now; it then continues with what it has.
        """
        self.files.remember()
        validate(find_otelcol(self._otelcol), self.composition, environment_for(self.ports, self.data))
        if self.pid is not None:
            os.kill(self.pid, signal.SIGHUP)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop the Collector after it has exported the received telemetry. Does nothing if it is not running.

        Args:
            timeout: the maximum time in seconds for the shutdown. After that, the process is killed.
        """
        process, self._process = self._process, None
        if process is None:
            return
        deadline = time.monotonic() + timeout
        # The Collector ignores SIGINT until it handles it, so repeat it. An early SIGTERM would end it without a flush.
        while time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                return
        process.kill()
        process.wait()

    def __enter__(self) -> CollectorProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _output(self) -> str:
        """Return what it has logged since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._output_begins)
            return log.read().decode("utf-8", errors="replace")

    def _wait_until_ready(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self.ports.check(*listening(self.composition))  # taken since the first check
                output = self._output()
                raise queue_error(output, self.data) or rejected(self.composition, output)
            if is_ready(self.ports.health) and _can_be_stopped(process.pid):
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


def _can_be_stopped(pid: int) -> bool:
    """Return whether the Collector with this process id, which started with SIGINT ignored, handles it now.

    It does so last, after it has reported that it is ready. This also tells it from a stranger that answers on its
    port. On systems without `/proc`, True.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return caught is None or bool(int(caught[1], 16) >> (signal.SIGINT - 1) & 1)
