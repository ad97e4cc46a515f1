"""The wheels: what is inspected, and a release of this machine's platform that is installed and runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from release.build import ROOT, ReleaseError, build_extension, build_sdist, build_wheel, find_python, main
from release.inspection import different_versions, inspect_wheel, missing
from release.platforms import PLATFORMS, Platform

from harness import lacking, requires_otelcol
from harness._toolchains import packaged_toolchains

pytestmark = pytest.mark.slow
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
HERE, MACOS = PLATFORMS[0], PLATFORMS[3]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_python(VERSION) is None:
        lacking(f"needs Python {VERSION} with its headers")
    return build_sdist(ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def built(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Platform, Path]:
    """Build for two platforms, of which one is this machine's."""
    tools = packaged_toolchains()
    out = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tools / "cache"))
        zig = tools / "ziglang" / "zig"
        return {each: build_extension(sdist, out, each, VERSION, zig) for each in (HERE, MACOS)}


@pytest.mark.parametrize("platform", [HERE, MACOS], ids=lambda platform: platform.name)
def test_a_wheel_will_run_where_its_name_says(platform: Platform, built: dict[Platform, Path]) -> None:
    assert list(inspect_wheel(built[platform])) == []
    python = f"cp{VERSION.replace('.', '')}"
    assert built[platform].name.endswith(f"-{python}-{python}-{platform.tag}.whl")


@pytest.mark.collector
def test_a_release_is_installed_and_runs_on_this_platform(
    built: dict[Platform, Path], tmp_path: Path
) -> None:
    if sysconfig.get_platform() != HERE.python:
        pytest.skip(f"needs {HERE.name}")
    requires_otelcol()
    folders = [ROOT / "instrumentations" / name for name in ("subprocess", "wasmtime")]
    wheels = [build_wheel(folder, tmp_path / "dist") for folder in (*folders, ROOT / "collector-config")]
    assert [problem for wheel in wheels for problem in inspect_wheel(wheel)] == []
    environment = tmp_path / "environment"
    uv, python = str(Path(sysconfig.get_path("scripts")) / "uv"), environment / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    install = [uv, "pip", "install", "--quiet", "--no-index", "--no-deps", "--python", str(python)]
    subprocess.run([*install, str(built[HERE]), *map(str, wheels)], check=True)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # what the wheels depend on
    run = subprocess.run(
        [python, ROOT / "release" / "smoke.py"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert Path(run.stdout.splitlines()[0]).is_relative_to(packages)
    assert "2 executions (1 subprocess, 1 wasmtime): all succeeded" in run.stdout


def changed(wheel: Path, folder: Path, name: str, **instead: bytes | None) -> Path:
    """Return a copy of a wheel under another name, with files that are others or gone."""
    copy = folder / name
    with zipfile.ZipFile(wheel) as inside, zipfile.ZipFile(copy, "w") as outside:
        for item in inside.infolist():
            content = next((each for end, each in instead.items() if item.filename.endswith(end)), b"keep")
            if content is not None:
                outside.writestr(item, inside.read(item) if content == b"keep" else content)
    return copy


def test_an_extension_for_another_machine_is_found(built: dict[Platform, Path], tmp_path: Path) -> None:
    name = built[HERE].name.replace("x86_64", "aarch64")
    problems = list(inspect_wheel(changed(built[HERE], tmp_path, name)))
    assert [problem.partition(" ")[2] for problem in problems] == ["is for ELF X86_64, not ELF AARCH64"]


def test_an_extension_that_was_not_compiled_is_found(built: dict[Platform, Path], tmp_path: Path) -> None:
    wheel = changed(built[HERE], tmp_path, built[HERE].name, so=None)
    assert list(inspect_wheel(wheel)) == ["has 0 compiled files instead of 1: "]


@pytest.mark.parametrize(
    ("platform", "zig", "problems"),
    [
        (HERE, "x86_64-linux-gnu.2.34", {"needs GLIBC_2.34", "exports PyInit__native, another"}),
        (MACOS, "aarch64-macos.14.0", {"needs macOS 14.0.0", "exports PyInit__native, another"}),
    ],
    ids=["linux", "macos"],
)
def test_an_extension_that_needs_a_newer_system_or_shows_its_names_is_found(
    platform: Platform, zig: str, problems: set[str], built: dict[Platform, Path], tmp_path: Path
) -> None:
    tools, source = packaged_toolchains(), tmp_path / "newer.c"
    source.write_text(
        "#include <pthread.h>\nvoid *PyInit__native(void) { pthread_join(pthread_self(), 0); return 0; }\n"
        "int another;\n"
    )
    command = [
        tools / "ziglang" / "zig",
        "cc",
        "-target",
        zig,
        "-O1",
        "-shared",
        "-o",
        tmp_path / "newer.so",
        source,
    ]
    subprocess.run(command, check=True, env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(tools / "cache")})
    binary = (tmp_path / "newer.so").read_bytes()
    wheel = changed(built[platform], tmp_path, built[platform].name, so=binary)
    assert {problem.partition(" ")[2] for problem in inspect_wheel(wheel)} == problems


def test_what_is_missing_and_what_differs_is_named(built: dict[Platform, Path], tmp_path: Path) -> None:
    for wheel in built.values():
        shutil.copy(wheel, tmp_path)
    shutil.copy(built[HERE], tmp_path / built[HERE].name.replace("0.1.0", "0.2.0", 1))
    assert different_versions(tmp_path) == ["versions differ: 0.1.0, 0.2.0"]
    (tmp_path / built[HERE].name.replace("0.1.0", "0.2.0", 1)).unlink()
    assert different_versions(tmp_path, tag="v0.1.0") == []
    assert different_versions(tmp_path, tag="v0.2.0") == ["versions differ: 0.1.0, 0.2.0"]
    python = f"cp{VERSION.replace('.', '')}"
    gone = missing(tmp_path)
    assert f"sandscope-{python}-{python}-{HERE.tag}.whl" not in gone
    assert f"sandscope-{python}-{python}-manylinux_2_17_aarch64.whl" in gone
    assert "sandscope_collector-py3-none-macosx_12_0_arm64.whl" in gone
    assert "sandscope_instrumentation_torch's source distribution" in gone


def test_a_compiler_that_fails_leaves_no_wheel(sdist: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="Cannot compile the extension for linux-x86_64"):
        build_extension(sdist, tmp_path, HERE, VERSION, tmp_path / "no-zig")
    assert list(tmp_path.glob("*.whl")) == []


def test_a_platform_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--platform", "amiga"])
    assert ended.value.code == 2
    assert "invalid choice: 'amiga'" in capsys.readouterr().err
