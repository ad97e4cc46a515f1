"""The ports on which the Collector listens, on loopback."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields

from sandscope._errors import SandscopeError

HOST = "127.0.0.1"


KNOWN_TO_OTHERS = ("prometheus", "browser")
"""The ports whose numbers others have to know: Prometheus, and pages in browsers."""


class PortInUseError(SandscopeError):
    """Another program listens on a port.

    Attributes:
        name: the name of the port, as an attribute of `Ports`.
    """

    def __init__(self, name: str, port: int) -> None:
        """Name the port and the option that changes it."""
        super().__init__(
            f"Cannot listen on '{HOST}:{port}': the port is in use. "
            f"Choose another with {flag(name)}, or stop the program that uses it."
        )
        self.name = name


@dataclass(frozen=True)
class Ports:
    """The ports of the Collector; the defaults are those of OpenTelemetry and Prometheus.

    Attributes:
        otlp_grpc: for OTLP over gRPC.
        otlp_http: for OTLP over HTTP.
        health: for its health check.
        prometheus: for the page that Prometheus scrapes, with the overlay `prometheus`.
        browser: for OTLP over HTTP from browsers, with the overlay `browser`.
        own_metrics: for the Collector's own metrics, which it sends to itself, with the overlay `own-metrics`.
    """

    otlp_grpc: int = 4317
    otlp_http: int = 4318
    health: int = 13133
    prometheus: int = 9464
    browser: int = 4319
    own_metrics: int = 4320

    def __post_init__(self) -> None:
        """Raise a SandscopeError if a number is not a port."""
        for name, port in asdict(self).items():
            if not 0 < port < 65536:
                raise SandscopeError(
                    f"Cannot listen on port {port}: it is not a port number. "
                    f"Give {flag(name)} a number from 1 to 65535."
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **chosen: int | None) -> Ports:
        """Return each port as chosen, else from its environment variable, else the default.

        Args:
            environment: the environment variables; by default those of this process.
            chosen: port numbers by the names of the attributes; None means not chosen.

        Raises:
            SandscopeError: if the value of a variable is not a port.
        """
        return cls(**chosen_ports(environment, **chosen))

    @classmethod
    def free(cls) -> Ports:
        """Return ports on which no program is listening."""
        with ExitStack() as stack:
            listeners = [stack.enter_context(socket.create_server((HOST, 0))) for _ in fields(cls)]
            return cls(*(listener.getsockname()[1] for listener in listeners))

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that the configuration files read."""
        return {variable(name): str(port) for name, port in asdict(self).items()}

    def check(self, *names: str) -> None:
        """Raise an error if a program is already listening.

        Args:
            names: the names of the attributes to check.

        Raises:
            PortInUseError: with the port and the option that changes it.
        """
        for name in names:
            port = getattr(self, name)
            if _is_in_use(port):
                raise PortInUseError(name, port)


def chosen_ports(environment: Mapping[str, str] | None = None, **chosen: int | None) -> dict[str, int]:
    """Return the ports that are chosen or that an environment variable sets, by the names of the attributes.

    Args:
        environment: the environment variables; by default those of this process.
        chosen: port numbers; None means not chosen.

    Raises:
        SandscopeError: if the value of a variable is not a port.
    """
    environment = os.environ if environment is None else environment
    ports = {name: port for name, port in chosen.items() if port is not None}
    for field in fields(Ports):
        text = environment.get(variable(field.name))
        if text and field.name not in ports:
            ports[field.name] = _parse(variable(field.name), text)
    return ports


def flag(name: str) -> str:
    """Return the command-line option for a port, such as `--otlp-http-port`."""
    return f"--{name.replace('_', '-')}-port"


def variable(name: str) -> str:
    """Return the environment variable for a port, such as `SANDSCOPE_OTLP_HTTP_PORT`."""
    return f"SANDSCOPE_{name.upper()}_PORT"


def _parse(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise SandscopeError(f"Cannot use {name}={text!r}: it is not a port. Give a number from 1 to 65535.")
    return int(text)


def _is_in_use(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return True
    return False
