"""The declarations are consistent with each other, with the code and with the generated page."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import yaml

from harness import ROOT, Contract
from sandscope import Limit, Status
from sandscope._metric import COMMON

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RUNTIMES = ("wasmtime", "subprocess", "torch")


def _members(contract: Contract, attribute: str) -> set[str]:
    return {member["value"] for member in contract.attributes[attribute]["type"]["members"]}


def test_the_common_metrics_are_declared_as_the_code_has_them() -> None:
    contract = Contract()
    assert {metric.name for metric in COMMON} == set(contract.metrics)
    for metric in COMMON:
        declared = contract.metrics[metric.name]
        assert (metric.instrument, metric.unit, metric.description) == (
            declared["instrument"],
            declared["unit"],
            declared["brief"],
        )


def test_closed_sets_equal_the_types() -> None:
    contract = Contract()
    assert _members(contract, "sandbox.verdict.status") == set(get_args(Status))
    assert _members(contract, "sandbox.limit") == set(get_args(Limit))
    assert _members(contract, "sandbox.runtime") == {*RUNTIMES, "browser", "other"}


def test_every_reference_names_a_declared_attribute() -> None:
    contract = Contract.whole()
    refs = {a["ref"] for group in contract.groups for a in group.get("attributes", []) if "ref" in a}
    assert refs <= set(contract.attributes)


def test_no_attribute_or_cause_is_declared_twice() -> None:
    groups = Contract.whole().groups
    for kind in ("attributes", "causes"):
        names = [entry["id"] for group in groups for entry in group.get(kind, []) if "id" in entry]
        assert len(names) == len(set(names)), kind


def test_every_cause_has_a_known_status() -> None:
    causes = Contract.whole().causes.values()
    assert {cause["status"] for cause in causes} <= set(get_args(Status))


@pytest.mark.parametrize("name", sorted(Contract.whole().metrics))
def test_metric_names_contain_neither_unit_nor_total(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)+", name)
    assert not re.search(r"total|seconds", name)
    # Prometheus appends the unit, so a name that contains `bytes` must have none.
    assert "bytes" not in name or Contract.whole().metrics[name]["unit"] == ""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_supported_versions_are_those_of_the_instruments_extra(runtime: str) -> None:
    project = tomllib.loads((ROOT / "instrumentations" / runtime / "pyproject.toml").read_text())["project"]
    module = importlib.import_module(f"sandscope_instrumentation_{runtime}")
    instrumentor = getattr(module, f"{runtime.capitalize()}Instrumentor")
    assert list(instrumentor.supported) == project["optional-dependencies"]["instruments"]
    assert instrumentor.scope.version == project["version"]
    assert instrumentor.scope.name == f"sandscope_instrumentation_{runtime}"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_instrumentation_has_the_same_files(runtime: str) -> None:
    folder = ROOT / "instrumentations" / runtime
    package = folder / "src" / f"sandscope_instrumentation_{runtime}"
    for file in ("README.md", "pyproject.toml", "telemetry.yaml", "tests"):
        assert (folder / file).exists(), file
    for file in ("__init__.py", "_patch.py", "_sites.py", "_verdicts.py", "py.typed"):
        assert (package / file).exists(), file


def test_the_reference_page_and_the_meanings_of_causes_are_up_to_date() -> None:
    path = ROOT / "docs" / "reference.py"
    reference = _load(path)
    assert reference.page() == (ROOT / "docs" / "reference.md").read_text(), "run `make docs`"
    assert reference.meanings() == reference.MEANINGS.read_text(), "run `make docs`"


def test_the_files_are_valid_yaml_of_the_registrys_shape() -> None:
    for file in [
        ROOT / "src/sandscope/telemetry.yaml",
        *(ROOT / "instrumentations").glob("*/telemetry.yaml"),
    ]:
        for group in yaml.safe_load(file.read_text())["groups"]:
            assert {"id", "type", "brief"} <= set(group), (file, group)
            assert group["type"] in {"attribute_group", "span", "event", "metric"}


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
