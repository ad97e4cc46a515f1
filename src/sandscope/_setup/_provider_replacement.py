"""Lets a program set its own providers after Sandscope's distro has set the global providers."""

from __future__ import annotations

from collections.abc import Iterable

from sandscope import _guard, _internals
from sandscope._setup._recorder_setup import fall_back_to_direct


def let_program_replace(signals: Iterable[str]) -> None:
    """Let the program's first call of ``set_*_provider`` replace a provider of the distro.

    Args:
        signals: the signals whose providers the distro has set: ``traces``, ``metrics`` or ``logs``.
    """
    for signal in signals:
        _internals.let_provider_be_replaced(signal, _use_the_programs_providers)


def _use_the_programs_providers() -> None:
    from sandscope._recording._emitter import rebind  # most programs set no providers

    try:
        fall_back_to_direct("the program has set its own providers")
    except Exception as error:  # noqa: BLE001 -- the program's providers may be of any kind
        _guard.report("recorder.bind", error)
    rebind()
