from __future__ import annotations

import socket
from dataclasses import astuple, fields

import pytest

from sandscope import SandscopeError
from sandscope._collector import Ports


def test_a_chosen_port_comes_before_its_variable_and_that_before_the_default() -> None:
    environment = {"SANDSCOPE_OTLP_HTTP_PORT": "1", "SANDSCOPE_HEALTH_PORT": "2"}
    ports = Ports.from_environment(environment, otlp_http=3, otlp_grpc=None)
    assert ports == Ports(otlp_grpc=4317, otlp_http=3, health=2, prometheus=9464, browser=4319)


def test_the_environment_that_is_written_can_be_read_back() -> None:
    ports = Ports.free()
    assert Ports.from_environment(ports.environment) == ports


def test_free_ports_differ_from_each_other() -> None:
    assert len(set(astuple(Ports.free()))) == len(fields(Ports))


@pytest.mark.parametrize("text", ["http", "-1", "4318.0", "0", "65536", "٣"])
def test_a_variable_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(SandscopeError, match=f"Cannot use SANDSCOPE_HEALTH_PORT='{text}'"):
        Ports.from_environment({"SANDSCOPE_HEALTH_PORT": text})


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(SandscopeError, match="Give --otlp-grpc-port a number from 1 to 65535"):
        Ports(otlp_grpc=port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - this is what is to be noticed
def test_a_port_that_is_taken_is_named_with_the_flag_that_changes_it(host: str) -> None:
    with socket.create_server((host, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandscopeError, match=f"127.0.0.1:{port}': the port is in use.*--otlp-http-port"):
            Ports(otlp_http=port).check("otlp_http")


def test_only_the_ports_that_are_used_are_looked_at() -> None:
    free = Ports.free()
    with socket.create_server(("127.0.0.1", free.prometheus)):
        free.check("otlp_grpc", "otlp_http", "health")
