"""The wheel of `sandscope-collector`, in a new environment with neither Go nor network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from release.build import build_wheel

from collector.test_signals import send_all, wait_for
from harness import PATIENCE, collector_ports
from sandscope._collector._collector_process import is_ready
from sandscope_collector.stores import STORES

pytestmark = [pytest.mark.collector, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "collector-config"


@pytest.fixture(scope="module")
def wheel(otelcol: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(PROJECT, tmp_path_factory.mktemp("collector"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new environment with both wheels; only what `sandscope` depends on is borrowed."""
    folder = tmp_path_factory.mktemp("environment")
    sandscope = build_wheel(ROOT, tmp_path_factory.mktemp("sandscope"))
    uv = str(Path(sys.executable).with_name("uv"))
    python = ["--python", str(folder / "bin" / "python")]
    install = [uv, "pip", "install", "--quiet", "--no-index", "--no-deps", *python]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*install, str(wheel), str(sandscope)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture
def bare(environment: Path, tmp_path: Path) -> dict[str, str]:
    """Return variables with a PATH that holds nothing but the environment's own programs."""
    return {"PATH": str(environment / "bin"), "HOME": str(tmp_path), **collector_ports().environment}


def files_of(folder: Path) -> Iterator[str]:
    for name in ("base.yaml", "overlays", "prometheus", "jaeger", "loki"):
        found = folder / name
        for file in [found] if found.is_file() else found.rglob("*"):
            if file.is_file() and not file.is_relative_to(folder / "prometheus" / "tests"):
                yield str(file.relative_to(folder))


def test_it_carries_every_configuration_file_and_a_binary_that_can_be_executed(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel)
    with inside:
        missing = {f"sandscope_collector/config/{name}" for name in files_of(PROJECT)} - set(
            inside.namelist()
        )
        mode = inside.getinfo("sandscope_collector/bin/otelcol").external_attr >> 16
    assert missing == set()
    assert mode & 0o111 == 0o111


def test_it_carries_a_bill_of_materials_with_every_module_of_the_binary(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as inside:
        bill = json.loads(inside.read("sandscope_collector/sbom.cdx.json"))
    version = wheel.name.split("-")[1]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/sandscope-collector@{version}"
    components = {component["name"]: component["version"] for component in bill["components"]}
    manifest = (PROJECT / "distribution" / "manifest.yaml").read_text()
    wanted = dict(re.findall(r"^- gomod: (\S+) (\S+)$", manifest, re.MULTILINE))
    assert wanted
    assert wanted.items() <= components.items()
    assert re.fullmatch(r"1\.\d+(\.\d+)?", components["std"])
    pinned = dict(
        re.findall(r"^\s+(\S+) (v\S+)", (PROJECT / "distribution" / "go.mod").read_text(), re.MULTILINE)
    )
    assert {name for name in components.keys() & pinned.keys() if components[name] != pinned[name]} == set()
    assert len(components) > 200


def test_it_is_for_this_platform_and_any_python(wheel: Path) -> None:
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")


def test_the_wheels_own_binary_and_files_are_used(environment: Path, bare: dict[str, str]) -> None:
    sandscope = str(environment / "bin" / "sandscope")
    path = subprocess.check_output([sandscope, "collector", "path"], env=bare, text=True).strip()
    assert Path(path).is_relative_to(environment)
    command = [sandscope, "collector", "validate", "local", "prometheus"]
    assert subprocess.check_output(command, env=bare, text=True) == "base + local + prometheus: valid\n"


def test_the_stores_command_comes_with_the_wheel(environment: Path, bare: dict[str, str]) -> None:
    command = [str(environment / "bin" / "sandscope"), "stores", "status"]
    run = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "")
    rows = [line.split() for line in run.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows] == [[name, "missing"] for name in STORES]


def test_it_needs_no_other_distribution(environment: Path, bare: dict[str, str]) -> None:
    code = "import sys; import sandscope_collector.stores.command; print(sorted(sys.modules))"
    python = [str(environment / "bin" / "python"), "-I", "-S", "-c"]
    [packages] = environment.glob("lib/python*/site-packages")
    loaded = subprocess.check_output(
        [*python, f"import sys; sys.path.append({str(packages)!r}); {code}"], env=bare, text=True
    )
    assert "'sandscope_collector.stores._up'" in loaded
    assert "'sandscope'" not in loaded
    assert "'opentelemetry'" not in loaded


def test_it_runs_without_go(environment: Path, bare: dict[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [str(environment / "bin" / "sandscope"), "collector", "run", "--data", str(data)]
    with subprocess.Popen(command, env=bare, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + PATIENCE
        while not is_ready(int(bare["SANDSCOPE_HEALTH_PORT"])):
            assert run.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it is not ready"
            time.sleep(0.05)
        # It is ready before it listens to signals; once it has written, it does.
        send_all(f"http://127.0.0.1:{bare['SANDSCOPE_OTLP_HTTP_PORT']}")
        wait_for(data / "traces.jsonl")
        run.terminate()
        assert run.wait(PATIENCE) == 0
