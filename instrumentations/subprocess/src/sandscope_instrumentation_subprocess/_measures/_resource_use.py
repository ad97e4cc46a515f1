"""What a child has used: attributes of its execution, and histograms."""

from __future__ import annotations

from sandscope.instrumentation import Execution, Metric, Value
from sandscope_instrumentation_subprocess._evidence import Evidence, Observations, Usage, own_limits

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_MIB = 1 << 20
_BYTES = tuple(float(size * _MIB) for size in (1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384))
_SWITCHES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 100_000.0)

CPU_USER = Metric("sandbox.process.cpu.user", "histogram", "s", "CPU time of children in user mode", _SECONDS)
CPU_SYSTEM = Metric(
    "sandbox.process.cpu.system", "histogram", "s", "CPU time of children in the kernel", _SECONDS
)
MEMORY_PEAK = Metric(
    "sandbox.process.memory.peak", "histogram", "By", "Peak of children's resident memory", _BYTES
)
DISK_WRITTEN = Metric(
    "sandbox.process.disk.written",
    "histogram",
    "By",
    "Bytes that children have written to disks",
    (0.0, *_BYTES),
)
VOLUNTARY_SWITCHES = Metric(
    "sandbox.process.context_switches.voluntary",
    "histogram",
    "{context_switch}",
    "Voluntary context switches of children",
    _SWITCHES,
)
INVOLUNTARY_SWITCHES = Metric(
    "sandbox.process.context_switches.involuntary",
    "histogram",
    "{context_switch}",
    "Involuntary context switches of children",
    _SWITCHES,
)
CGROUP_MEMORY_PEAK = Metric(
    "sandbox.cgroup.memory.peak", "histogram", "By", "Peak of memory of children's own cgroups", _BYTES
)
CGROUP_CPU_TIME = Metric(
    "sandbox.cgroup.cpu.time", "histogram", "s", "CPU time of children's own cgroups", _SECONDS
)
NETWORK_RECEIVED = Metric(
    "sandbox.process.network.received",
    "histogram",
    "By",
    "Bytes that children with a network of their own have received",
    (0.0, *_BYTES),
)
NETWORK_SENT = Metric(
    "sandbox.process.network.sent",
    "histogram",
    "By",
    "Bytes that children with a network of their own have sent",
    (0.0, *_BYTES),
)

MEMORY_SOURCE = "sandbox.process.memory.source"
_IO = ("sandbox.process.output.written", "sandbox.process.syscalls.read", "sandbox.process.syscalls.write")
_LIMIT = "sandbox.process.limit."


def describe_usage(usage: Usage, observed: Observations) -> tuple[dict[str, Value], dict[Metric, float]]:
    """Return the attributes and measurements that say what a child has used, as far as it is known.

    Args:
        usage: as the kernel reported it.
        observed: while the child ran.
    """
    peak, source = usage.memory_peak, "exit"
    if peak is None and observed.memory.resident is not None:
        peak, source = observed.memory.resident, "sampled"
    network = observed.network
    attributes, measurements = _described(
        (
            (CPU_USER, usage.user_time),
            (CPU_SYSTEM, usage.system_time),
            (MEMORY_PEAK, peak),
            (DISK_WRITTEN, usage.disk_written),
            (VOLUNTARY_SWITCHES, usage.voluntary_switches),
            (INVOLUNTARY_SWITCHES, usage.involuntary_switches),
            (NETWORK_RECEIVED, None if network is None else network.received),
            (NETWORK_SENT, None if network is None else network.sent),
        )
    )
    if peak is not None:
        attributes[MEMORY_SOURCE] = source
    return attributes, measurements


def record_evidence(execution: Execution, evidence: Evidence) -> None:
    """Record what is only looked for if a child has failed, or has a cgroup of its own.

    Args:
        execution: of the child.
        evidence: of how the child ended.
    """
    own = own_limits()._asdict()
    limits: dict[str, Value] = {
        _LIMIT + name: value
        for name, value in evidence.zombie.limits._asdict().items()
        if value is not None and value != own[name]
    }
    io = {name: value for name, value in zip(_IO, evidence.zombie.io, strict=True) if value is not None}
    execution.set_attributes({**limits, **io})
    cgroup = evidence.cgroup
    if cgroup is not None and cgroup.own:
        used = cgroup.usage
        record(
            execution,
            *_described(((CGROUP_MEMORY_PEAK, used.memory_peak), (CGROUP_CPU_TIME, used.cpu_time))),
        )


def record(execution: Execution, attributes: dict[str, Value], measurements: dict[Metric, float]) -> None:
    """Record what a running execution has used."""
    execution.set_attributes(attributes)
    for metric, value in measurements.items():
        execution.measure(metric, value)


def _described(
    values: tuple[tuple[Metric, float | None], ...],
) -> tuple[dict[str, Value], dict[Metric, float]]:
    known = {metric: value for metric, value in values if value is not None}
    return {metric.name: value for metric, value in known.items()}, known
