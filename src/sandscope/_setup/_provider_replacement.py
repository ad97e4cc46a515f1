"""A program that sets its own providers gets them, also after Sandscope's distro has set some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import wrapt
from opentelemetry import _logs, metrics, trace

from sandscope import _internals
from sandscope._recording._emitter import rebind
from sandscope._setup._recorder_setup import fall_back_to_direct

_SIGNALS: tuple[tuple[str, Any, str, Callable[[], Any]], ...] = (
    ("traces", trace, "set_tracer_provider", trace.get_tracer_provider),
    ("metrics", metrics, "set_meter_provider", metrics.get_meter_provider),
    ("logs", _logs, "set_logger_provider", _logs.get_logger_provider),
)


def let_program_replace(ours: Sequence[Any]) -> None:
    """Let the program's first ``set_*_provider`` win over a provider that the distro has set.

    Args:
        ours: the providers that the distro has set.
    """
    for signal, api, name, current in _SIGNALS:
        wrapt.wrap_function_wrapper(api, name, _setter(signal, current, ours))


def _setter(signal: str, current: Callable[[], Any], ours: Sequence[Any]) -> Callable[..., Any]:
    def set_provider(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        replaced = any(current() is provider for provider in ours) and _internals.open_provider_slot(signal)
        result = wrapped(*args, **kwargs)
        if replaced:
            fall_back_to_direct("the program has set its own providers")
            rebind()
        return result

    return set_provider
