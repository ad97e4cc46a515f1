"""NVIDIA's GPUs by NVML, under the names of OpenTelemetry's conventions for hardware; read when metrics are collected.

Nothing is read before the program uses CUDA, and nothing without the package `nvidia-ml-py`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandscope.instrumentation import Metric, Patches, observe_metric

UTILIZATION = Metric("hw.gpu.utilization", "gauge", "1", "Fraction of time spent in a specific task")
MEMORY_USED = Metric("hw.gpu.memory.usage", "updowncounter", "By", "GPU memory used")
MEMORY_LIMIT = Metric("hw.gpu.memory.limit", "updowncounter", "By", "Size of the GPU memory")
MEMORY_UTILIZATION = Metric("hw.gpu.memory.utilization", "gauge", "1", "Fraction of GPU memory used")

_Values = Iterator[tuple[Mapping[str, str], float]]

_patched_by: list[Patches] = []
_started_in: list[int] = []
"""The process that has initialised NVML, if any: a forked child has to do so itself."""
_missing: list[str] = []
"""Why NVML cannot be used, after the first attempt."""


def observe_gpus(patches: Patches) -> None:
    """Report the GPUs until the patches are undone."""
    _patched_by[:] = [patches]
    for metric, source in (
        (UTILIZATION, _busy),
        (MEMORY_USED, _memory_used),
        (MEMORY_LIMIT, _memory_limit),
        (MEMORY_UTILIZATION, _memory_share),
    ):
        observe_metric(metric, source)


def _busy() -> _Values:
    return _read(lambda nvml, gpu: float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100))


def _memory_used() -> _Values:
    return _read(lambda nvml, gpu: int(nvml.nvmlDeviceGetMemoryInfo(gpu).used))


def _memory_limit() -> _Values:
    return _read(lambda nvml, gpu: int(nvml.nvmlDeviceGetMemoryInfo(gpu).total))


def _memory_share() -> _Values:
    def share(nvml: Any, gpu: Any) -> float:
        memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
        return float(memory.used / memory.total)

    return _read(share)


def _read(value_of: Callable[[Any, Any], float]) -> _Values:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if all(patches.undone for patches in _patched_by) or cuda is None or not cuda.is_initialized():
        return
    nvml = _nvml()
    if nvml is None:
        return
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            gpu = nvml.nvmlDeviceGetHandleByIndex(index)
            attributes = {
                "hw.id": nvml.nvmlDeviceGetUUID(gpu),
                "hw.name": nvml.nvmlDeviceGetName(gpu),
                "hw.vendor": "NVIDIA",
            }
            value = value_of(nvml, gpu)
        except nvml.NVMLError:
            continue  # This GPU cannot say it, as in a virtual machine.
        yield attributes, value


def _nvml() -> Any:
    """Return the module of `nvidia-ml-py`, or None."""
    if _missing:
        return None
    try:
        nvml = importlib.import_module("pynvml")
        if _started_in != [os.getpid()]:
            nvml.nvmlInit()
            _started_in[:] = [os.getpid()]
    except Exception as error:  # noqa: BLE001 -- no package, no driver, or one that is too old
        _missing.append(str(error))
        return None
    return nvml
