"""Listen on loopback, and serve the page until a signal ends it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sandscope._errors import SandscopeError
from sandscope._view._gate import new_token

_HOST = "127.0.0.1"
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Listener:
    """A port that accepts connections, also before they are served.

    Attributes:
        port: its number.
        token: who does not know it is not answered.
        address: to be opened in a browser.
    """

    def __init__(self, port: int) -> None:
        """Listen.

        Args:
            port: its number; 0 is a free one.

        Raises:
            SandscopeError: if it cannot.
        """
        try:
            if not 0 <= port < 1 << 16:
                raise OSError(0, "it is not a port number")
            self.socket = socket.create_server((_HOST, port))
        except OSError as error:
            raise SandscopeError(
                f"Cannot listen on '{_HOST}:{port}': {error.strerror}. Choose another one with --port, or leave it out."
            ) from error
        self.port: int = self.socket.getsockname()[1]
        self.token = new_token()
        self.address = f"http://{_HOST}:{self.port}/?token={self.token}"


def serve(listener: Listener, data: Path) -> None:
    """Serve the page until SIGINT, SIGTERM or SIGHUP.

    Args:
        listener: where.
        data: the folder of the Collector's files.
    """
    import uvicorn

    from sandscope._view._app import application
    from sandscope._view._live import Live

    with Live(data) as live:
        config = uvicorn.Config(
            application(live, listener.token, listener.port),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        with _stopping(server):
            server.run(sockets=[listener.socket])


@contextmanager
def _stopping(server: object) -> Iterator[None]:
    """Let signals end the server, and nothing else: uvicorn itself raises them again when it has ended."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True  # type: ignore[attr-defined] # uvicorn is imported late

    server.capture_signals = _no_signals  # type: ignore[attr-defined]
    before = {number: signal.getsignal(number) for number in _STOPPING}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def _no_signals() -> Iterator[None]:
    yield
