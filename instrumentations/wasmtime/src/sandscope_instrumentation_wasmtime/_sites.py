"""What is known of a call before it starts: the guest, the function, and so the span's name.

wasmtime's objects carry it in one private attribute: a module and its instances their `Guest`, a function
its `Site`. No table here holds on to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from sandscope.instrumentation import Site, Value
from sandscope_instrumentation_wasmtime._evidence._host_errors import (
    hide_values,
    verdict_of_call,
    verdict_of_host,
)
from sandscope_instrumentation_wasmtime._evidence._violations import (
    report_failed_call,
    report_failed_instantiation,
    verdict_of_instantiation,
)
from sandscope_instrumentation_wasmtime._names._traits import Traits, traits_of

TAG = "_sandscope"
"""The attribute of wasmtime's objects that carries what is known of them."""

MODULE = "wasm.module"
FUNCTION = "wasm.function"
HOST_FUNCTION = "wasm.host_function"

_LONGEST = 128
"""Characters of a name: the guest's author chooses it."""


def call_site(module: str | None, function: str | None, *, isolated: bool = False) -> Site:
    """Return the site of a function's calls.

    Args:
        module: the guest's name, if it has one.
        function: the exported name, if it is known.
        isolated: nothing in the guest can call the host.
    """
    attributes: dict[str, Value] = {}
    if module:
        attributes[MODULE] = module[:_LONGEST]
    if function:
        attributes[FUNCTION] = function[:_LONGEST]
    name = f"wasm {function[:_LONGEST]}" if function else "wasm call"
    return Site(
        "wasmtime",
        "call",
        name,
        attributes=attributes,
        verdict_of=verdict_of_call,
        current=not isolated,
        failed=report_failed_call,
    )


UNNAMED = call_site(None, None)
"""A function of unknown origin: one that no guest exports."""

COUNTED = Site(
    "wasmtime", "call", UNNAMED.name, verdict_of=verdict_of_call, traced=False, failed=report_failed_call
)
"""Any function's calls where they have no spans: metrics know no names."""


def instantiation_site(module: str | None) -> Site:
    """Return the site of a guest's instantiations, which are executions if they run code or fail."""
    return Site(
        "wasmtime",
        "instantiate",
        "wasm instantiate",
        attributes={MODULE: module[:_LONGEST]} if module else {},
        verdict_of=verdict_of_instantiation,
        failed=report_failed_instantiation,
    )


COUNTED_INSTANTIATION = replace(instantiation_site(None), traced=False)
"""Any guest's instantiations where they have no spans."""


def host_site(function: str | None) -> Site:
    """Return the site of a host function's calls.

    Args:
        function: the name that guests import it by, else its own in Python.
    """
    name = (function or "call")[:_LONGEST]
    attributes = {HOST_FUNCTION: name} if function else {}
    return Site(
        "wasmtime",
        "host_call",
        f"wasm host {name}",
        attributes=attributes,
        verdict_of=verdict_of_host,
        failed=hide_values,
    )


class Exports(NamedTuple):
    """What a module exports, by position.

    Attributes:
        number: of exports.
        functions: the sites of their calls.
        reached: it has functions, and the guest or its host may hand them out, as values or in tables.
        memories: each once.
        maxima: the bytes that each of these may grow to by its declaration.
        fixed: the memories are the same in each instance; otherwise they are to be looked up.
    """

    number: int
    functions: tuple[tuple[int, Site], ...]
    reached: bool
    memories: tuple[int, ...]
    maxima: tuple[int | None, ...]
    fixed: bool


class Guest:
    """A module or component: what is known of all its instances, worked out once.

    Attributes:
        name: from its name section, else its file's name, else None.
        traits: what its type says; None until a module is instantiated, and for components.
        exports: what its instances export; None until a program asks the first of them.
        telemetry_imports: the host functions for telemetry that it imports; None until it is linked.
        starts: an instantiation runs code: it has a start function.
    """

    __slots__ = ("_instantiation", "_sites", "exports", "name", "starts", "telemetry_imports", "traits")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.traits: Traits | None = None
        self.exports: Exports | None = None
        self.telemetry_imports: tuple[tuple[str, str], ...] | None = None
        self.starts = False
        self._sites: dict[str | None, Site] = {}
        self._instantiation: Site | None = None

    def site(self, function: str | None) -> Site:
        """Return the one site of an exported function, None if its name is not known."""
        site = self._sites.get(function)
        if site is None:
            isolated = self.traits is not None and self.traits.isolated
            site = self._sites[function] = call_site(self.name, function, isolated=isolated)
        return site

    def instantiation(self) -> Site:
        """Return the one site of its instantiations."""
        if self._instantiation is None:
            self._instantiation = instantiation_site(self.name)
        return self._instantiation


def instantiated(module: Any) -> Guest:
    """Return the guest of a core module, with its traits."""
    guest = guest_of(module)
    if guest.traits is None:
        guest.traits = traits_of(module)
    return guest


def guest_of(holder: Any) -> Guest:
    """Return the guest of a module, component or instance; one without a name if none is known yet."""
    guest = getattr(holder, TAG, None)
    if guest is None:
        guest = Guest(None)
        setattr(holder, TAG, guest)
    return guest
