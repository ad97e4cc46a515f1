"""The OpenTelemetry Collector for Sandscope: where the binary and its configuration files lie."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

__version__ = "0.1.0"
__all__ = ["__version__", "binary", "configuration"]

_HERE = Path(__file__).resolve().parent


def binary() -> Path:
    """Return the path of `otelcol`."""
    # An editable install leaves this module in the source tree, but puts the binary into site-packages.
    installed = distribution("sandscope-collector").locate_file("sandscope_collector/bin/otelcol")
    return Path(str(installed))


def configuration() -> Path:
    """Return the folder of `base.yaml`, `overlays/` and the stores' own files."""
    bundled = _HERE / "config"
    return bundled if bundled.is_dir() else _HERE.parents[1]
