"""A model that a sandbox's code calls through its host: the sandbox's execution carries the model's attributes."""

from __future__ import annotations

from sandscope.instrumentation import Site, current_execution, report_error

_CARRIED = ("torch.module", "torch.device", "torch.dtype")


def describe_outer(site: Site) -> None:
    """Set the attributes of a model of the execution of another runtime in which it is about to be called.

    Args:
        site: of the model's call.
    """
    try:
        outer = current_execution()
        if outer is not None and outer.site.runtime != site.runtime:
            known = site.attributes
            outer.set_attributes({name: known[name] for name in _CARRIED if name in known})
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("torch.outer", error)
