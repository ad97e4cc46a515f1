"""The OpenTelemetry Collector for Sandscope: the paths of its binary and of its configuration files.

`sandscope_collector.stores` builds, starts and stops Prometheus, Jaeger, Loki and Alertmanager.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

__version__ = "0.1.0"
__all__ = ["__version__", "binary", "configuration"]

_HERE = Path(__file__).resolve().parent


def binary() -> Path:
    """Return the path of `otelcol`."""
    # With an editable install, this module is in the source tree, but the binary is in site-packages.
    installed = distribution("sandscope-collector").locate_file("sandscope_collector/bin/otelcol")
    return Path(str(installed))


def configuration() -> Path:
    """Return the folder with `base.yaml`, `overlays/` and the configuration of the stores."""
    bundled = _HERE / "config"
    return bundled if bundled.is_dir() else _HERE.parents[1]
