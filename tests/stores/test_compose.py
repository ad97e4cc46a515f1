"""`compose.yaml` is consistent with the files and ports it names; Docker is not needed to check that."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness._stores import CONFIGURATION

COMPOSE: dict[str, Any] = yaml.safe_load((CONFIGURATION / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# The ports on which each service listens inside its container, besides those it publishes.
INSIDE = {"collector": {"9464"}, "jaeger": {"14317"}}


def mounts() -> list[tuple[str, str, str]]:
    """Return every mount of a file or folder: service, path on the host, path in the container."""
    return [
        (name, *re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[:2])
        for name, service in SERVICES.items()
        for volume in service["volumes"]
        if not is_named(volume)
    ]


def is_named(volume: str) -> bool:
    """Return whether a volume is one of Docker's, for data."""
    return volume.split(":", maxsplit=1)[0] in COMPOSE["volumes"]


def published(name: str) -> dict[str, str]:
    """Return the default port on the host by the port in the container."""
    pattern = re.compile(r"127\.0\.0\.1:\$\{SANDSCOPE_\w+_PORT:-(\d+)\}:(\d+)")
    found = [pattern.fullmatch(port) for port in SERVICES[name]["ports"]]
    assert all(found), f"{name} publishes beyond loopback, or a port that cannot be changed"
    return {match.group(2): match.group(1) for match in found if match}


def addresses() -> set[str]:
    """Return every ``service:port`` in the settings of the services."""
    environments = [
        str(value) for service in SERVICES.values() for value in service.get("environment", {}).values()
    ]
    targets = [
        target
        for file in (CONFIGURATION / "compose" / "targets").iterdir()
        for group in json.loads(file.read_text())
        for target in group["targets"]
    ]
    sources = yaml.safe_load((CONFIGURATION / "grafana" / "datasources.yaml").read_text())["datasources"]
    places = [*environments, *targets, *(source["url"] for source in sources)]
    return {found.group(1) for place in places if (found := re.search(r"\b([a-z]+:\d+)", place))}


def test_every_mounted_file_exists_and_cannot_be_written_to() -> None:
    for _, here, _ in mounts():
        assert (CONFIGURATION / here).exists(), here
    volumes = [volume for service in SERVICES.values() for volume in service["volumes"]]
    assert all(volume.endswith(":ro") for volume in volumes if not is_named(volume))
    assert [volume for volume in volumes if is_named(volume)] == ["collector:/data"]


def test_every_file_that_a_command_names_is_mounted() -> None:
    for name, service in SERVICES.items():
        for word in service.get("command", ()):
            if found := re.fullmatch(r"--?config(?:\.file)?=(.+)", word):
                sources = [
                    Path(here, Path(found.group(1)).relative_to(there))
                    for mounted, here, there in mounts()
                    if mounted == name and Path(found.group(1)).is_relative_to(there)
                ]
                assert sources, word
                assert (CONFIGURATION / sources[0]).is_file(), word


def test_every_address_is_that_of_a_service_that_listens_there() -> None:
    found = addresses()
    assert {"jaeger:14317", "loki:3100", "collector:9464", "prometheus:9090"} <= found
    for address in found:
        service, _, port = address.partition(":")
        assert port in published(service).keys() | INSIDE.get(service, set()), address


def test_no_two_services_want_one_port_of_the_host() -> None:
    taken = [port for name in SERVICES for port in published(name).values()]
    assert len(taken) == len(set(taken))


def test_every_variable_that_a_configuration_reads_is_spelt_as_there() -> None:
    read = {
        name
        for _, here, _ in mounts()
        for file in (
            (CONFIGURATION / here).iterdir() if (CONFIGURATION / here).is_dir() else [CONFIGURATION / here]
        )
        for name in re.findall(r"\$\{(?:env:)?(SANDSCOPE_\w+)", file.read_text())
    }
    given = {
        name
        for service in SERVICES.values()
        for name in service.get("environment", {})
        if "SANDSCOPE" in name
    }
    assert given <= read


def test_every_image_is_pinned_to_a_version() -> None:
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z-]+/[a-z-]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize(
    ("service", "module", "pattern"),
    [
        ("loki", "github.com/grafana/loki/v3", r"v(3\.\d+\.\d+)"),
        ("prometheus", "prometheus", r"v0\.(\d+)\.(\d+)"),
    ],
)
def test_the_images_are_the_versions_that_are_built_here(service: str, module: str, pattern: str) -> None:
    pinned = re.search(
        rf"{module} {pattern}$", (CONFIGURATION / service / "go.mod").read_text(), re.MULTILINE
    )
    assert pinned
    numbers = pinned.groups()
    # Prometheus 3.15.0 is the module's v0.315.0.
    version = numbers[0] if len(numbers) == 1 else f"{numbers[0][0]}.{numbers[0][1:]}.{numbers[1]}"
    assert (
        SERVICES[service]["image"].removeprefix("grafana/loki:").removeprefix("prom/prometheus:v") == version
    )


def test_exemplars_and_log_records_lead_to_their_trace() -> None:
    sources = yaml.safe_load((CONFIGURATION / "grafana" / "datasources.yaml").read_text())["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    links = [
        by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"][0],
        by_uid["loki"]["jsonData"]["derivedFields"][0],
    ]
    assert [by_uid[link["datasourceUid"]]["type"] for link in links] == ["jaeger", "jaeger"]
    assert by_uid[by_uid["jaeger"]["jsonData"]["tracesToLogsV2"]["datasourceUid"]]["type"] == "loki"


def docker_compose() -> bool:
    """Return whether the plugin `docker compose` is installed."""
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


if docker_compose():  # no skip: CI allows none, and the form is checked above

    def test_docker_accepts_it() -> None:
        command = ["docker", "compose", "-f", str(CONFIGURATION / "compose.yaml"), "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
