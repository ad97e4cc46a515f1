"""Inspect wheels, of any platform on any machine: are they complete, and will they run where their names say?

Usage: python -m release.inspection [--complete] [dist]
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import lief
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from release.build import INSTRUMENTATIONS, ROOT
from release.platforms import PLATFORMS, PYTHONS, Platform

LIBRARIES = {"libc.so.6", "libpthread.so.0", "/usr/lib/libSystem.B.dylib"}
"""What an extension may need. Every Linux with glibc and every macOS has them."""
SYSTEM = {"/usr/lib/libSystem.B.dylib", "/usr/lib/libresolv.9.dylib"}
"""What the Collector may need, in addition to frameworks of macOS; on Linux, nothing."""
FRAMEWORKS = "/System/Library/Frameworks/"
GLIBC = (2, 17)
lief.logging.disable()  # what it cannot read is an answer here, not an error
MACHINES = {
    "linux-x86_64": "ELF X86_64",
    "linux-aarch64": "ELF AARCH64",
    "macos-x86_64": "MACHO X86_64",
    "macos-arm64": "MACHO ARM64",
}
REQUIRED = {
    "sandscope": ("sandscope/telemetry.yaml", "sandscope/py.typed", "sandscope/_view/static/page.js"),
    "sandscope-collector": (
        "sandscope_collector/config/base.yaml",
        "sandscope_collector/sbom.cdx.json",
        "sandscope_collector/bin/otelcol",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Inspect a folder, and exit with status 1 if there is something wrong."""
    parser = argparse.ArgumentParser(
        prog="release.inspection", description="Inspect what a release publishes."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist")
    parser.add_argument("--complete", action="store_true", help="every platform and Python must be there")
    parser.add_argument("--tag", default="", help="such as v1.2.3: the version must be this one")
    chosen = parser.parse_args(arguments)
    wheels = sorted(chosen.folder.glob("*.whl"))
    problems = [f"{wheel.name}: {problem}" for wheel in wheels for problem in inspect_wheel(wheel)]
    problems += different_versions(chosen.folder, chosen.tag)
    if chosen.complete:
        problems += [f"{name} is missing" for name in missing(chosen.folder)]
    if not wheels:
        problems.append(f"{chosen.folder} has no wheels. Run `make wheels`.")
    print("\n".join(problems) or f"{len(wheels)} wheels: nothing wrong")
    sys.exit(1 if problems else 0)


def inspect_wheel(wheel: Path) -> Iterator[str]:
    """Yield what is wrong with a wheel."""
    name, _version, _build, tags = parse_wheel_filename(wheel.name)
    with zipfile.ZipFile(wheel) as inside:
        names = inside.namelist()
        yield from (f"{required} is missing" for required in REQUIRED.get(name, ()) if required not in names)
        yield from (f"{each} does not belong here" for each in names if _is_foreign(each))
        binaries = [each for each in names if each.endswith((".so", ".dylib", "/otelcol"))]
        platforms = [each for each in PLATFORMS if any(each.tag == tag.platform for tag in tags)]
        if not platforms:
            yield from (f"{binary} in a wheel for any platform" for binary in binaries)
            return
        if len(binaries) != 1:
            yield f"has {len(binaries)} compiled files instead of 1: {', '.join(binaries)}"
        for binary in binaries:
            found = lief.parse(inside.read(binary))
            check = _inspect_collector if name == "sandscope-collector" else _inspect_extension
            yield from (f"{binary} {problem}" for problem in check(found, platforms[0]))


def different_versions(folder: Path, tag: str = "") -> list[str]:
    """Return a line if the files of a folder are not all of one version, or not of that of a tag."""
    versions = {parse_wheel_filename(path.name)[1] for path in folder.glob("*.whl")}
    versions |= {parse_sdist_filename(path.name)[1] for path in folder.glob("*.tar.gz")}
    versions |= {Version(tag)} if tag else set()
    return [f"versions differ: {', '.join(map(str, sorted(versions)))}"] if len(versions) > 1 else []


def missing(folder: Path) -> list[str]:
    """Return what a complete release has and this folder does not."""
    wheels = {path.name.split("-", 2)[0] + "-" + path.name.split("-", 2)[2] for path in folder.glob("*.whl")}
    sdists = {path.name.rsplit("-", 1)[0] for path in folder.glob("*.tar.gz")}
    plain = [f"sandscope_instrumentation_{path.name}" for path in INSTRUMENTATIONS if path.name != "browser"]
    wanted = {f"{name}-py3-none-any.whl" for name in plain}
    for version, platform in product(PYTHONS, PLATFORMS):
        python = f"cp{version.replace('.', '')}"
        wanted.add(f"sandscope-{python}-{python}-{platform.tag}.whl")
    for platform in PLATFORMS:
        also = (
            f".{platform.tag.replace('manylinux_2_17', 'musllinux_1_1')}" if platform.goos == "linux" else ""
        )
        wanted.add(f"sandscope_collector-py3-none-{platform.tag}{also}.whl")
    sources = {"sandscope", "sandscope_collector", *plain}
    return sorted(wanted - wheels) + sorted(f"{name}'s source distribution" for name in sources - sdists)


def _is_foreign(name: str) -> bool:
    parts = name.split("/")
    return (
        name.endswith((".pyc", ".c", ".h"))
        or "tests" in parts
        or parts[0] in {"build", "benchmarks", "release"}
    )


def _inspect_extension(binary: Any, platform: Platform) -> Iterator[str]:
    yield from _inspect_machine(binary, platform)
    for library in _libraries(binary) - LIBRARIES:
        yield f"needs {library}"
    exported = {symbol.name.lstrip("_") for symbol in binary.exported_symbols} - {
        "mh_dylib_header",
        "dso_handle",
    }
    if exported != {"PyInit__native"}:
        yield f"exports {', '.join(sorted(exported))}"


def _inspect_collector(binary: Any, platform: Platform) -> Iterator[str]:
    yield from _inspect_machine(binary, platform)
    allowed = SYSTEM if platform.goos == "darwin" else set()
    for library in _libraries(binary) - allowed:
        if not (platform.goos == "darwin" and library.startswith(FRAMEWORKS)):
            yield f"needs {library}"


def _inspect_machine(binary: Any, platform: Platform) -> Iterator[str]:
    header = binary.header
    machine = header.machine_type if binary.format == lief.Binary.FORMATS.ELF else header.cpu_type
    kind = f"{binary.format.name} {machine.name.removeprefix('CPU_TYPE.')}"
    if kind != MACHINES[platform.name]:
        yield f"is for {kind}, not {MACHINES[platform.name]}"
        return
    if platform.goos == "linux":
        needed = {
            symbol.name
            for requirement in binary.symbols_version_requirement
            for symbol in requirement.get_auxiliary_symbols()
        }
        for name in needed:
            if name.startswith("GLIBC_") and Version(name.removeprefix("GLIBC_")).release > GLIBC:
                yield f"needs {name}"
        return
    # macOS on ARM runs no program without a signature, which may be one by nobody.
    if platform.goarch == "arm64" and not binary.has_code_signature:
        yield "is not signed"
    oldest = binary.build_version.minos if binary.has_build_version else [0]
    wanted = [int(part) for part in platform.tag.split("_")[1:3]]
    if list(oldest)[:2] > wanted:
        yield f"needs macOS {'.'.join(map(str, oldest))}"


def _libraries(binary: Any) -> set[str]:
    if binary.format == lief.Binary.FORMATS.ELF:
        return {str(library) for library in binary.libraries}
    own = {lief.MachO.LoadCommand.TYPE.ID_DYLIB}
    return {library.name for library in binary.libraries if library.command not in own}


if __name__ == "__main__":
    main()
