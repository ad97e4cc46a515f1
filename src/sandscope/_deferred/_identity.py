"""Creates span contexts and sampling decisions: on first use, or later in batches."""

from __future__ import annotations

from collections.abc import Iterable
from os import register_at_fork, urandom

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags, get_current_span

from sandscope import _guard
from sandscope._deferred._compiled import give_ids
from sandscope._deferred._deferred_execution import DeferredExecution
from sandscope._recording import _mapping


class _NotIdentified(SpanContext):
    """The span context of an execution whose sampler or id generator failed. It is not sampled."""


def count_not_identified(executions: Iterable[DeferredExecution]) -> int:
    """Return the number of executions whose sampler or id generator failed."""
    return sum(type(execution.identity) in {_NotIdentified, type(None)} for execution in executions)


class Identities:
    """Creates span contexts in the same way as the SDK's tracer."""

    def __init__(self, provider: TracerProvider) -> None:
        self._sampler = provider.sampler
        self._ids = provider.id_generator
        self._has_random_ids = type(provider.id_generator) is RandomIdGenerator
        self._uses_defaults = provider.sampler is DEFAULT_ON and self._has_random_ids
        random_flag = self._ids.is_trace_id_random() if hasattr(self._ids, "is_trace_id_random") else False
        self._root = TraceFlags(TraceFlags.SAMPLED | (_RANDOM if random_flag else 0))
        self._root_unsampled = TraceFlags(self._root & ~TraceFlags.SAMPLED)

    def give(self, executions: list[DeferredExecution]) -> list[DeferredExecution]:
        """Set the span context of every execution that has none.

        Returns:
            The sampled executions.
        """
        if self._uses_defaults and give_ids is not None:
            return give_ids(executions, urandom(32 * len(executions)), self._root)
        entropy, position, root = urandom(24 * len(executions)), 0, self._root
        sampled = []
        for execution in executions:
            identity = execution.identity
            if identity is None:
                if self._uses_defaults and not execution.parent_context:
                    trace_id = int.from_bytes(entropy[position : position + 16], "big") or 1
                    span_id = int.from_bytes(entropy[position + 16 : position + 24], "big") or 1
                    position += 24
                    made = SpanContext(trace_id, span_id, False, root)
                    identity = execution.adopt(made)
                else:
                    identity = execution.get_span_context()
            if identity[3] & 1:
                sampled.append(execution)
        return sampled

    def make(self, execution: DeferredExecution) -> SpanContext:
        """Return a new span context with the sampler's decision; not sampled if that fails.

        Raises:
            RecursionError: if the calling thread has used up its stack.
        """
        try:
            return self._make_root(execution) or self._make(execution)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 -- from a sampler or id generator of the program
            _guard.report("recorder.identify", error)
            return _NotIdentified(_fallback_ids.generate_trace_id(), _fallback_ids.generate_span_id(), False)

    def _make_root(self, execution: DeferredExecution) -> SpanContext | None:
        """Do what `_make` does for an execution without a parent, faster; None if that is not possible."""
        if (
            not self._uses_defaults
            or give_ids is None
            or execution.parent_context
            or not execution.site.traced
        ):
            return None
        give_ids([execution], urandom(_ROOT_ENTROPY), self._root)
        return execution.identity

    def _make(self, execution: DeferredExecution) -> SpanContext:
        parent = execution.parent
        if not execution.site.traced:
            return parent or INVALID_SPAN_CONTEXT
        trace_id = self._ids.generate_trace_id() if parent is None else parent.trace_id
        if self._uses_defaults:
            state = None if parent is None else parent.trace_state
            sampled = parent is None or parent.trace_flags.sampled
        else:
            site = execution.site
            start = _mapping.start_attributes(site)
            result = self._sampler.should_sample(
                execution.parent_context,
                trace_id,
                site.name,
                site.kind,
                start,
                (),
            )
            state, sampled = result.trace_state, bool(result.decision.is_sampled())  # type: ignore[no-untyped-call]
            added = {k: v for k, v in (result.attributes or {}).items() if k not in start}
            if added:
                # Not `set_attributes`, which has no effect after the end.
                execution._ensure_details().attributes.update(added)
        if parent is None:
            flags = self._root if sampled else self._root_unsampled
        else:
            flags = TraceFlags((parent.trace_flags & _RANDOM) | (TraceFlags.SAMPLED if sampled else 0))
        return SpanContext(trace_id, self._ids.generate_span_id(), False, flags, state)


_fallback_ids = RandomIdGenerator()
_RANDOM = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)
_ROOT_ENTROPY = 24
"""Bytes of a trace id and a span id."""


def _identify_current() -> None:
    """Give the current execution its ids: a forked child would give others to its copy, and record below them."""
    try:
        get_current_span().get_span_context()
    except Exception as error:  # noqa: BLE001 -- from a sampler or id generator of the program
        _guard.report("fork", error)


register_at_fork(before=_identify_current)
