"""Where the telemetry of `sandscope run` goes: to a Collector of its own, or to one that the user names."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

from sandscope import _settings
from sandscope._cli._collector_options import data_folder
from sandscope._cli._short_report import ShortReport
from sandscope._cli._start_collector import started_collector
from sandscope._collector import CollectorProcess
from sandscope._collector._credentials import credentials_for
from sandscope._collector._log_lines import problems
from sandscope._collector._ports import HOST, variable
from sandscope._errors import SandscopeError
from sandscope._own_process._inherited import set_by_program
from sandscope._say import say

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LOCALE = "LC_CTYPE"
_SIGNALS = ("TRACES", "METRICS", "LOGS")


@contextmanager
def destination(arguments: argparse.Namespace, *, announces: bool = True) -> Iterator[dict[str, str]]:
    """Yield the program's environment while its telemetry is received, and say on stderr where it goes.

    Args:
        arguments: those of `add_destination_to`.
        announces: whether to say so at the start, and not only what there is at the end.

    Raises:
        SandscopeError: if the Collector cannot be started, or if the address of another is not a URL.
    """
    environment = _environment()
    announce = say if announces else _say_nothing
    if _settings.sdk_disabled():
        announce("sandscope: nothing is recorded and no Collector is started: OTEL_SDK_DISABLED is true")
        yield environment
    elif arguments.collector:
        _check_alone(arguments)
        for signal in _SIGNALS:
            environment.pop(_variable(signal), None)
        environment[_ENDPOINT] = _url(arguments.collector)
        announce(f"sandscope: telemetry goes to {arguments.collector} (--collector)")
        yield environment
    elif _is_set(environment) and not _own_is_wanted(arguments):
        announce(f"sandscope: telemetry goes to {_described(environment)}")
        yield environment
    else:
        with _own_collector(arguments, announce) as collector:
            yield _sending_to(collector, environment, announce)


@contextmanager
def _own_collector(
    arguments: argparse.Namespace, announce: Callable[[str], object]
) -> Iterator[CollectorProcess]:
    with started_collector(arguments, free_ports=True) as collector:
        page = ""
        if collector.composition.uses(variable("prometheus")):
            page = f"; metrics are on {_page(collector)}/metrics"
        announce(f"sandscope: telemetry goes to this run's own Collector, {collector.endpoint}{page}")
        report = ShortReport(collector.data)
        yield collector
        if collector.pid is None:
            say(f"sandscope: the Collector has ended before the program. Its log: {collector.log}")
    for problem in problems(collector.log, errors_only=True):
        say(f"sandscope: the Collector reports: {problem}. Its log: {collector.log}")
    is_silent = getattr(arguments, "quiet", False) or getattr(arguments, "json", None) == "-"
    if collector.composition.writes_files and not is_silent:
        recorded = report.line()
        if recorded is not None:
            announce(f"sandscope: {recorded}")
        default, _ = data_folder(arguments)
        because = "" if collector.data == default else f", because another Collector is writing to {default}"
        say(f"sandscope: the telemetry is in {collector.data}{because}{_where_to_look(arguments)}")


def _where_to_look(arguments: argparse.Namespace) -> str:
    if find_spec("duckdb") is None:
        return ""
    folder, chosen = data_folder(arguments)
    option = f" --data {shlex.quote(str(folder))}" if chosen else ""
    return f"; to look at it: sandscope report{option}"


def _sending_to(
    collector: CollectorProcess, environment: Mapping[str, str], announce: Callable[[str], object]
) -> dict[str, str]:
    """Return the environment with the Collector's endpoint, except for signals whose own endpoint is set."""
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    credentials = credentials_for(collector.composition)
    added = {_ENDPOINT: _endpoint(collector, general)}
    for signal in _SIGNALS:
        protocol = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or general
        own = environment.get(_variable(signal))
        if own:
            announce(f"sandscope: {signal.lower()} go to {own} ({_variable(signal)})")
            continue
        if credentials is not None:
            added |= credentials.variables(signal, environment)
        if (protocol == "grpc") != (general == "grpc"):
            path = "" if protocol == "grpc" else f"/v1/{signal.lower()}"
            added[_variable(signal)] = _endpoint(collector, protocol) + path
    if any(environment.get(name) or environment.get(name.upper()) for name in ("http_proxy", "all_proxy")):
        # A proxy cannot reach this machine's loopback interface, and the telemetry is not its business.
        direct = environment.get("no_proxy") or environment.get("NO_PROXY")
        here = urlsplit(collector.endpoint).hostname or HOST
        added["no_proxy"] = f"{direct},{here}" if direct else here
    return {**environment, **added}


def _environment() -> dict[str, str]:
    """Return this process's environment, without the locale that Python sets if there is none."""
    environment = dict(os.environ)
    locale = environment.get(_LOCALE)
    if locale is not None and set_by_program(_LOCALE, locale):
        del environment[_LOCALE]
    return environment


def _say_nothing(_text: str) -> None:
    pass


def _endpoint(collector: CollectorProcess, protocol: str | None) -> str:
    return collector.address(collector.ports.otlp_grpc if protocol == "grpc" else collector.ports.otlp_http)


def _page(collector: CollectorProcess) -> str:
    """Return the address of the page for Prometheus, which `secure` changes and `mutual-tls` does not."""
    port = collector.ports.prometheus
    return f"https://localhost:{port}" if collector.composition.uses("basicauth") else f"http://{HOST}:{port}"


def _is_set(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names an endpoint for every signal."""
    return all(environment.get(_variable(signal)) or environment.get(_ENDPOINT) for signal in _SIGNALS)


def _described(environment: Mapping[str, str]) -> str:
    """Return each endpoint, with the variable that sets it."""
    names = [name for name in (_ENDPOINT, *map(_variable, _SIGNALS)) if environment.get(name)]
    if all(_variable(signal) in names for signal in _SIGNALS):
        names = [name for name in names if name != _ENDPOINT]
    return " and ".join(f"{environment[name]} ({name})" for name in names)


def _variable(signal: str) -> str:
    return f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"


def _own_is_wanted(arguments: argparse.Namespace) -> bool:
    """Return whether an option describes the Collector that is to be started."""
    return bool(arguments.overlays or arguments.data or _chosen_ports(arguments))


def _chosen_ports(arguments: argparse.Namespace) -> dict[str, int]:
    return {
        name: port for name, port in vars(arguments).items() if name.endswith("_port") and port is not None
    }


def _check_alone(arguments: argparse.Namespace) -> None:
    if _own_is_wanted(arguments):
        raise SandscopeError(
            "Cannot use --collector with --with, --data or a port: these are for a Collector that it starts. "
            "Use one or the other."
        )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SandscopeError(
            f"Cannot use --collector {text!r}: it is not a URL. Give one such as http://localhost:4318."
        )
    return text
