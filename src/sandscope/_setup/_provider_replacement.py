"""Lets a program set its own providers after Sandscope's distro has set the global providers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import wrapt
from opentelemetry import _logs, metrics, trace

from sandscope import _internals
from sandscope._setup._recorder_setup import fall_back_to_direct

_SIGNALS: tuple[tuple[str, Any, str, Callable[[], Any]], ...] = (
    ("traces", trace, "set_tracer_provider", trace.get_tracer_provider),
    ("metrics", metrics, "set_meter_provider", metrics.get_meter_provider),
    ("logs", _logs, "set_logger_provider", _logs.get_logger_provider),
)


def let_program_replace(providers: Sequence[Any]) -> None:
    """Let the program's first call of ``set_*_provider`` replace a provider of the distro.

    Args:
        providers: the providers that the distro has set.
    """
    for signal, api, name, current in _SIGNALS:
        wrapt.wrap_function_wrapper(api, name, _setter(signal, current, providers))


def _setter(signal: str, current: Callable[[], Any], providers: Sequence[Any]) -> Callable[..., Any]:
    def set_provider(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        replaced = any(current() is provider for provider in providers) and _internals.open_provider_slot(
            signal
        )
        result = wrapped(*args, **kwargs)
        if replaced:
            fall_back_to_direct("the program has set its own providers")
            from sandscope._recording._emitter import rebind  # most programs set no providers

            rebind()
        return result

    return set_provider
