"""transformers' ``generate()``: one execution, with the calls of the model inside."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Execution, Recorder, Site, Value, report_error
from sandscope_instrumentation_torch._calls._outer import describe_outer
from sandscope_instrumentation_torch._dynamo import skip_frames, uncompiled
from sandscope_instrumentation_torch._generation._generation_metrics import (
    CONVENTION,
    PADDING,
    RATE,
    Measured,
)
from sandscope_instrumentation_torch._generation._tokens import Request, Tokens, count_tokens
from sandscope_instrumentation_torch._measures._memory import peak_setter
from sandscope_instrumentation_torch._messages import last_part
from sandscope_instrumentation_torch._models import parameters
from sandscope_instrumentation_torch._names import model_name
from sandscope_instrumentation_torch._verdicts import call_verdict


class Progress:
    """How far a generation is.

    Attributes:
        began: when it began, in seconds of `time.perf_counter`; `first` and `last` are when its first and its last
            tokens were there, or None.
        first_length: the positions of a sequence after its first token, with the prompt.
        length: its positions now.
        rows: the sequences so far, a tensor; those of all beams in a beam search.
        criteria: transformers' list of the reasons to stop.
    """

    __slots__ = ("began", "criteria", "first", "first_length", "last", "length", "rows", "timed")

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first: float | None = None
        self.last: float | None = None
        self.first_length = self.length = self.timed = 0
        self.rows: Any = None
        self.criteria: Any = ()


class Generations:
    """Makes the wrappers of what generates, which share the state of their threads."""

    def __init__(self, torch: Any, recorder: Recorder, state: Any) -> None:
        self._torch, self._recorder, self._state = torch, recorder, state
        self._uncompiled, self._set_peak = uncompiled(torch), peak_setter()
        self._sites: dict[tuple[str, ...], Site] = {}

    def wrap_generate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what replaces ``GenerationMixin.generate``."""
        is_compiling, state, hidden = self._torch.compiler.is_compiling, self._state, self._uncompiled

        @functools.wraps(original)
        def generate(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            if is_compiling():
                return original(model, *args, **kwargs)
            execution = None if state.inside else hidden(self._begin, model)
            outer, inside = state.progress, state.inside
            # A generation inside a generation is that of an assistant, whose tokens are only proposed.
            progress = state.progress = None if execution is None else Progress()
            state.inside = inside or execution is not None
            try:
                result = original(model, *args, **kwargs)
            except BaseException as error:
                state.progress, state.inside = outer, inside
                if execution is not None:
                    hidden(self._fail, execution, error, progress, Request(model, args, kwargs))
                raise
            state.progress, state.inside = outer, inside
            if execution is not None:
                hidden(self._finish, execution, progress, Request(model, args, kwargs), result)
            return result

        skip_frames(self._torch, generate)
        return generate

    def wrap_criteria(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what replaces ``StoppingCriteriaList.__call__``, which gets the sequences after each token."""
        state = self._state

        @functools.wraps(original)
        def __call__(criteria: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 -- it is this method
            progress = state.progress
            if progress is not None:
                try:
                    progress.rows = rows = args[0] if args else kwargs["input_ids"]
                    progress.length, progress.criteria = rows.shape[-1], criteria
                except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error("torch.generation", error)
            return original(criteria, *args, **kwargs)

        skip_frames(self._torch, __call__)
        return __call__

    def wrap_unfinished(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what replaces ``_has_unfinished_sequences``, which waits until the device has computed a token."""
        state, now = self._state, time.perf_counter

        @functools.wraps(original)
        def _has_unfinished_sequences(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = original(model, *args, **kwargs)
            progress = state.progress
            if progress is not None and progress.length != progress.timed:
                progress.last, progress.timed = now(), progress.length
                if progress.first is None:
                    progress.first, progress.first_length = progress.last, progress.length
            return result

        skip_frames(self._torch, _has_unfinished_sequences)
        return _has_unfinished_sequences

    def _begin(self, model: Any) -> Execution | None:
        try:
            first = next(parameters(model), None)
            place = (
                () if first is None else (first[2].device.type, str(first[2].dtype).removeprefix("torch."))
            )
            key = (model_name(self._torch, model), *place)
            site = self._sites.get(key)
            if site is None:
                names = ("torch.module", "torch.device", "torch.dtype")
                attributes = {**CONVENTION, **dict(zip(names, key, strict=False))}
                site = self._sites[key] = Site(
                    "torch",
                    "generation",
                    f"generation {key[0]}",
                    attributes=attributes,
                    verdict_of=call_verdict,
                )
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.generation", error)
            return None
        describe_outer(site)
        return self._recorder.begin(site)

    def _fail(
        self,
        execution: Execution,
        error: BaseException,
        progress: Progress,
        request: Request,
    ) -> None:
        self._describe(execution, progress, request, None)
        Measured(self._recorder, execution).failed(time.perf_counter() - progress.began, call_verdict(error))
        execution.fail(error, message="")  # What a streamer or a processor raises may contain the text.

    def _finish(
        self,
        execution: Execution,
        progress: Progress,
        request: Request,
        result: Any,
    ) -> None:
        ended = time.perf_counter()
        tokens = self._describe(execution, progress, request, result)
        Measured(self._recorder, execution).returned(ended - progress.began, tokens, *_times(progress))
        if tokens.output is not None and ended > progress.began:
            rate = tokens.output / (ended - progress.began)
            execution.measure(RATE, rate)
            execution.set_attributes({"torch.generation.rate": rate})
        if tokens.padding is not None:
            execution.measure(PADDING, tokens.padding)
        execution.finish()

    def _describe(
        self,
        execution: Execution,
        progress: Progress,
        request: Request,
        result: Any,
    ) -> Tokens:
        """Set the attributes of an execution that is about to end; return its numbers of tokens."""
        tokens = Tokens()
        self._set_peak(execution)
        try:
            name = getattr(request.model, "name_or_path", None)
            first, each = _times(progress)
            if not (isinstance(name, str) and name):
                name = str(execution.site.attributes["torch.module"])
            known: dict[str, Value | None] = {
                "gen_ai.request.model": last_part(name),
                "gen_ai.request.stream": request.kwargs.get("streamer") is not None,
                "torch.generation.time_to_first_token": first,
                "torch.generation.time_per_output_token": each,
            }
            execution.set_attributes({key: value for key, value in known.items() if value is not None})
            tokens = count_tokens(self._torch, request, progress, result)
            execution.set_attributes(tokens.attributes())
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.generation", error)
        return tokens


def _times(progress: Progress) -> tuple[float | None, float | None]:
    """Return the time to the first token, and the time of each one after it, in seconds; None if there were none."""
    if progress.first is None or progress.last is None:
        return None, None
    later = progress.timed - progress.first_length
    return progress.first - progress.began, (progress.last - progress.first) / later if later > 0 else None
