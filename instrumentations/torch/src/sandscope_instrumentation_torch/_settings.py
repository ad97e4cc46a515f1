"""The settings of the instrumentation: arguments of ``instrument()``, or environment variables."""

from __future__ import annotations

from dataclasses import dataclass

from sandscope.instrumentation import Settings, flag, patterns, threshold


@dataclass(frozen=True)
class TorchSettings(Settings):
    """What is recorded.

    Attributes:
        device_time: measure how long each call of a model takes on its CUDA device.
        digest: record the SHA-256 of each model file that is loaded from a path. It is read once more for this.
        operators: in one of how many calls of models the operators are timed; None: in none.
        peak_memory: measure the peak of memory of each call of a model, by resetting the peak of the process.
        submodules: patterns of the names of the submodules whose calls are spans, too, such as ``encoder.*``.
        training_spans: the steps of a training, their backward passes and their optimizer steps are spans.
    """

    device_time: bool = flag("SANDSCOPE_TORCH_DEVICE_TIME")
    digest: bool = flag("SANDSCOPE_TORCH_DIGEST")
    operators: int | None = threshold("SANDSCOPE_TORCH_OPERATORS")
    peak_memory: bool = flag("SANDSCOPE_TORCH_PEAK_MEMORY")
    submodules: tuple[str, ...] = patterns("SANDSCOPE_TORCH_SUBMODULES")
    training_spans: bool = flag("SANDSCOPE_TORCH_TRAINING_SPANS")
