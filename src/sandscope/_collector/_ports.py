"""The ports on which the Collector listens, all on loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields

from sandscope._errors import SandscopeError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where the Collector listens; the defaults are OpenTelemetry's and Prometheus' own.

    Attributes:
        otlp_grpc: where it takes OTLP over gRPC.
        otlp_http: where it takes OTLP over HTTP.
        health: where it says whether it is ready.
        prometheus: where Prometheus scrapes it, with the overlay `prometheus`.
    """

    otlp_grpc: int = 4317
    otlp_http: int = 4318
    health: int = 13133
    prometheus: int = 9464

    def __post_init__(self) -> None:
        """Raise a SandscopeError for a number that is not a port."""
        for name, port in asdict(self).items():
            if not 0 < port < 65536:
                raise SandscopeError(
                    f"Cannot listen on port {port}: there is none of that number. "
                    f"Give {flag(name)} a number from 1 to 65535."
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **chosen: int | None) -> Ports:
        """Return, for each port, the one that was chosen, else its variable's, else the default.

        Args:
            environment: the variables; those of this process by default.
            chosen: ports by the names of the attributes; None is the same as leaving it out.

        Raises:
            SandscopeError: if a variable is not a port.
        """
        environment = os.environ if environment is None else environment
        ports = {name: port for name, port in chosen.items() if port is not None}
        for field in fields(cls):
            text = environment.get(variable(field.name))
            if text and field.name not in ports:
                ports[field.name] = _parse(variable(field.name), text)
        return cls(**ports)

    @classmethod
    def free(cls) -> Ports:
        """Return ports that nobody listens on now."""
        with ExitStack() as stack:
            listeners = [stack.enter_context(socket.create_server((HOST, 0))) for _ in fields(cls)]
            return cls(*(listener.getsockname()[1] for listener in listeners))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the configuration files read."""
        return {variable(name): str(port) for name, port in asdict(self).items()}

    def check(self, *names: str) -> None:
        """Raise if somebody listens already.

        Args:
            names: the attributes to look at.

        Raises:
            SandscopeError: naming the port and the flag that changes it.
        """
        for name in names:
            port = getattr(self, name)
            if _is_taken(port):
                raise SandscopeError(
                    f"Cannot listen on '{HOST}:{port}': the port is taken. "
                    f"Choose another with {flag(name)}, or stop what listens there."
                )


def flag(name: str) -> str:
    """Return the command line's flag for a port, such as `--otlp-http-port`."""
    return f"--{name.replace('_', '-')}-port"


def variable(name: str) -> str:
    """Return the environment variable for a port, such as `SANDSCOPE_OTLP_HTTP_PORT`."""
    return f"SANDSCOPE_{name.upper()}_PORT"


def _parse(name: str, text: str) -> int:
    if not text.isdecimal():
        raise SandscopeError(f"Cannot use {name}={text!r}: it is not a port. Give a number from 1 to 65535.")
    return int(text)


def _is_taken(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return True
    return False
