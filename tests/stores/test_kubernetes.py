"""The manifests are valid for Kubernetes, and start Collectors that the real one accepts; no cluster is needed."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from harness import collector_ports, requires_otelcol
from harness._stores import CONFIGURATION

FOLDER = CONFIGURATION / "kubernetes"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for name in ("agent.yaml", "gateway.yaml")
    for document in yaml.safe_load_all((FOLDER / name).read_text())
]
WORKLOADS = [document for document in DOCUMENTS if document["kind"] != "Service"]
OPERATED: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "operator.yaml").read_text()))


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operator_resources", FOLDER / "operator_resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _accepts(arguments: list[str], folder: Path) -> None:
    command = [str(requires_otelcol()), "validate", *arguments]
    environment = {**collector_ports().environment, "SANDSCOPE_DATA": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_kubernetes_knows_every_field(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.34", strict=True)


@pytest.mark.collector
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["kind"])
def test_the_collector_accepts_the_files_of_a_pod(workload: dict[str, Any], tmp_path: Path) -> None:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    files = _generator().files(container["args"])
    assert len(files) == len(container["args"])
    _accepts([f"--config=file:{file}" for file in files], tmp_path)


@pytest.mark.collector
@pytest.mark.parametrize("resource", OPERATED, ids=lambda resource: resource["metadata"]["name"])
def test_the_collector_accepts_what_the_operator_gives_it(resource: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(yaml.safe_dump(resource["spec"]["config"]))
    _accepts([f"--config=file:{file}"], tmp_path)


def test_the_resources_of_the_operator_are_up_to_date() -> None:
    assert (FOLDER / "operator.yaml").read_text() == _generator().page(), "run `make docs`"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["kind"])
def test_a_pod_is_ready_when_its_collector_is(workload: dict[str, Any]) -> None:
    network = yaml.safe_load((CONFIGURATION / "network.yaml").read_text())
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["args"][-1] == "--config=/etc/sandscope/network.yaml"
    health = network["extensions"]["health_check"]["endpoint"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert health == f"0.0.0.0:{container[probe]['httpGet']['port']}"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["kind"])
def test_what_a_pod_has_acknowledged_outlives_it(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    folder = {entry["name"]: entry.get("value") for entry in container["env"]}["SANDSCOPE_DATA"]
    (name,) = (mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == folder)
    kept = [volume["name"] for volume in pod["volumes"] if "hostPath" in volume]
    kept += [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())]
    assert name in kept
