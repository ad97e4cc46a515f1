"""What is known of a call before it starts: the guest, the function, and so the span's name.

wasmtime's objects carry it in one private attribute: a module and its instances their `Guest`, a function
its `Site`. No table here holds on to them.
"""

from __future__ import annotations

from typing import Any

from sandscope import Site, Value
from sandscope_instrumentation_wasmtime._verdict import verdict_of

TAG = "_sandscope"
"""The attribute of wasmtime's objects that carries what is known of them."""

MODULE = "wasm.module"
FUNCTION = "wasm.function"

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
    return Site("wasmtime", "call", name, attributes=attributes, verdict_of=verdict_of, current=not isolated)


UNNAMED = call_site(None, None)
"""A function of unknown origin: out of a table, or older than the instrumentation."""


class Guest:
    """A module or component, and the sites of its exported functions.

    Attributes:
        name: from its name section, else its file's name, else None.
        isolated: nothing in it can call the host; None until it is instantiated.
    """

    __slots__ = ("_sites", "isolated", "name")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.isolated: bool | None = None
        self._sites: dict[str | None, Site] = {}

    def site(self, function: str | None) -> Site:
        """Return the one site of an exported function, None if its name is not known."""
        site = self._sites.get(function)
        if site is None:
            site = self._sites[function] = call_site(self.name, function, isolated=bool(self.isolated))
        return site


def guest_of(holder: Any) -> Guest:
    """Return the guest of a module, component or instance; one without a name if none is known yet."""
    guest = getattr(holder, TAG, None)
    if guest is None:
        guest = Guest(None)
        setattr(holder, TAG, guest)
    return guest
