"""The settings of the instrumentation: arguments of ``instrument()``, or environment variables."""

from __future__ import annotations

from dataclasses import dataclass

from sandscope.instrumentation import Settings, flag


@dataclass(frozen=True)
class TorchSettings(Settings):
    """What is recorded.

    Attributes:
        digest: record the SHA-256 of each model file that is loaded from a path. It is read once more for this.
    """

    digest: bool = flag("SANDSCOPE_TORCH_DIGEST")
