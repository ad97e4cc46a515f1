"""Generate `operator.yaml` from `agent.yaml` and `gateway.yaml`: the same for the OpenTelemetry Operator.

The Operator takes the whole configuration inside its resource, so the files of each Collector are merged here, as the
Collector does: mappings are merged, anything else is replaced. `make docs` runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
HEAD = """\
# The agent and the gateways as resources of the OpenTelemetry Operator. Generated from agent.yaml and gateway.yaml by
# `make docs`; the Operator adds the selectors and the mounts of its configuration.
"""
_MODES = {"DaemonSet": "daemonset", "StatefulSet": "statefulset"}
_TAKEN = ("env", "resources", "securityContext")
"""Fields of the container that the Operator's resource has, too."""


def page() -> str:
    """Return the text of `operator.yaml`."""
    resources = [
        _resource(document)
        for name in ("agent.yaml", "gateway.yaml")
        for document in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))
        if document["kind"] in _MODES
    ]
    return HEAD + yaml.dump_all(resources, sort_keys=False, Dumper=_Dumper, width=120)


def merged(files: list[Path]) -> dict[str, Any]:
    """Return the configuration that the Collector makes of these files."""
    whole: dict[str, Any] = {}
    for file in files:
        whole = _merge(whole, yaml.safe_load(file.read_text(encoding="utf-8")))
    return whole


def files(arguments: list[str]) -> list[Path]:
    """Return the files of this repository that a container's arguments name, all in one folder there."""
    names = [argument.rpartition("/")[2] for argument in arguments]
    places = (FOLDER.parent, FOLDER.parent / "overlays")
    return [place / name for name in names for place in places if (place / name).is_file()]


def _resource(workload: dict[str, Any]) -> dict[str, Any]:
    spec = workload["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] != "configuration"]
    result = {
        "mode": _MODES[workload["kind"]],
        "image": container["image"],
        **{name: container[name] for name in _TAKEN},
        "podSecurityContext": pod["securityContext"],
        "volumeMounts": mounts,
    }
    if volumes := [volume for volume in pod["volumes"] if volume["name"] != "configuration"]:
        result["volumes"] = volumes
    for name in ("replicas", "volumeClaimTemplates"):
        if name in spec:
            result[name] = spec[name]
    if "initContainers" in pod:
        result["initContainers"] = pod["initContainers"]
    ports = [port for port in container.get("ports", ()) if "hostPort" in port]
    if ports:
        result["ports"] = [
            {"name": port["name"], "port": port["containerPort"], "hostPort": port["hostPort"]}
            for port in ports
        ]
    result["config"] = merged(files(container["args"]))
    return {
        "apiVersion": "opentelemetry.io/v1beta1",
        "kind": "OpenTelemetryCollector",
        "metadata": {"name": workload["metadata"]["name"]},
        "spec": result,
    }


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            **below,
            **{name: _merge(below[name], value) if name in below else value for name, value in above.items()},
        }
    return above


class _Dumper(yaml.SafeDumper):
    """Without anchors, which hide what a resource contains."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    (FOLDER / "operator.yaml").write_text(page(), encoding="utf-8")
