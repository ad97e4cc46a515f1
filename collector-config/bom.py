"""The bill of materials of the Collector: the Go modules in its binary, as CycloneDX 1.6. Standard library only."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_MODULE = re.compile(
    rb"^(mod|dep)\t([^\t\n]+)\t([^\t\n]+)(?:\t(h1:[^\n]+))?\n(?:=>\t([^\t\n]+)\t([^\t\n]+)\t(h1:[^\n]+)\n)?",
    re.M,
)
_GO = re.compile(rb"\xff Go buildinf:.{0,64}?(go1\.[0-9][0-9a-z.]*)", re.S)


def bill(otelcol: Path, version: str) -> dict[str, Any]:
    """Return the bill of materials.

    Args:
        otelcol: the binary, in which Go has listed its modules.
        version: of the wheel.

    Raises:
        ValueError: if the binary has no list.
    """
    binary = otelcol.read_bytes()
    modules = [
        _component(*match.groups()) for match in _MODULE.finditer(_list_in(binary)) if match[1] == b"dep"
    ]
    if not modules:
        raise ValueError(f"{otelcol} has no list of Go modules")
    go = _GO.search(binary)
    if go is not None:
        modules.append(_named("std", go[1].decode().removeprefix("go"), "golang"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "sandscope-collector",
                "version": version,
                "purl": f"pkg:pypi/sandscope-collector@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": sorted(modules, key=lambda component: str(component["purl"])),
    }


def _list_in(binary: bytes) -> bytes:
    """Return the longest part of the binary that looks like Go's list."""
    begins = [match.start() for match in re.finditer(rb"path\t[^\n]+\nmod\t", binary)]
    return max(
        (binary[begin : begin + (1 << 20)] for begin in begins),
        key=lambda part: part.count(b"\ndep\t"),
        default=b"",
    )


def _component(
    _kind: bytes,
    name: bytes,
    version: bytes,
    _digest: bytes | None,
    instead: bytes | None,
    of: bytes | None,
    _of: bytes | None,
) -> dict[str, Any]:
    """Return a module, or what has replaced it."""
    return _named((instead or name).decode(), (of or version).decode(), "golang")


def _named(name: str, version: str, kind: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:{kind}/{name}@{version}"}


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1]), "0"), sys.stdout, indent=1)
