"""The steps of a training: how long each takes, how much of it is spent waiting for data, and how many samples it uses.

A step lasts from the wait for its first batch (or from its first forward, if no data loader is used) to the end of the
optimizer's step. What a program does between two steps, such as evaluation, belongs to neither.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.trace import set_span_in_context

from sandscope.instrumentation import (
    LIMIT_VIOLATIONS,
    Metric,
    Recorder,
    Value,
    Verdict,
    report_error,
    watch_forks,
)

_SECONDS = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STEP = Metric("torch.training.step.duration", "histogram", "s", "Time of steps of a training", _SECONDS)
WAIT = Metric(
    "torch.training.data_wait.duration", "histogram", "s", "Time that a step waits for its batches", _SECONDS
)
BACKWARD = Metric("torch.training.backward.duration", "histogram", "s", "Time of backward passes", _SECONDS)
OPTIMIZER = Metric(
    "torch.training.optimizer.duration", "histogram", "s", "Time of steps of optimizers", _SECONDS
)
SAMPLES = Metric("torch.training.samples", "counter", "{sample}", "Samples that the steps have used")
RATE = Metric(
    "torch.training.rate",
    "histogram",
    "{sample}/s",
    "Samples of a step per second",
    (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000),
)
_RUNTIME: dict[str, Value] = {"sandbox.runtime": "torch"}
_MOST_LOADERS = 16
_MOST_PHASES = 256
"""Of one step: how many data loaders are told apart, and how many backward passes and optimizer steps get spans."""


class _Step(threading.local):
    """The step that runs in this thread. Times are seconds of `time.perf_counter`.

    Attributes:
        began: when it began; None until its first forward.
        context: the context then, if there are spans.
        ended: when the step before ended.
        batch: the largest batch of the forwards since the last backward pass.
        samples: those of the backward passes so far.
        waiting: whether a data loader is asked for a batch.
        waits: for each data loader, when the first wait began and how long all took, since the last forward.
        exhausted: those of them that have no more batches.
        waited: how long the step has waited for batches; None if it uses no data loader.
        optimizers: when the steps of optimizers that run have begun, by the optimizer's identity.
        phases: the names, beginnings and ends of what the step consists of.
    """

    def __init__(self) -> None:
        self.ended, self.waiting = 0.0, False
        self.waits: dict[int, tuple[float, float]] = {}
        self.exhausted: set[int] = set()
        self.optimizers: dict[int, float] = {}
        self.reset()

    def reset(self) -> None:
        self.began: float | None = None
        self.context: Context | None = None
        self.batch = self.samples = 0
        self.waited: float | None = None
        self.phases: list[tuple[str, float, float]] = []


class Training:
    """Gets what happens in a training, and reports its steps. No method raises."""

    def __init__(self, recorder: Recorder, *, spans: bool) -> None:
        """Begin.

        Args:
            recorder: gets the metrics.
            spans: whether a step, its backward passes and its optimizer steps are spans, too.
        """
        self._recorder, self._spans = recorder, spans
        self._step = _Step()
        watch_forks(self)

    def after_fork_in_child(self) -> None:
        """Forget the step of the parent process."""
        self._step = _Step()

    def forward(self, batch: int) -> None:
        """A model is about to be called to be trained, with so many samples, or 0 if that is not known."""
        step = self._step
        step.batch = max(batch, step.batch)
        if step.began is None:
            began = min((began for began, _ in step.waits.values()), default=time.perf_counter())
            step.began, step.context = max(began, step.ended), get_current() if self._spans else None
        if step.waits:
            step.waited = (step.waited or 0.0) + sum(seconds for _, seconds in step.waits.values())
            step.waits.clear()
            step.exhausted.clear()

    def forget_forward(self) -> None:
        """The call of the model has failed."""
        self._step.batch = 0

    def begin_wait(self) -> bool:
        """A data loader is asked for a batch: return whether that is not for the sake of another data loader."""
        step = self._step
        outermost, step.waiting = not step.waiting, True
        if outermost:
            for loader in step.exhausted:
                step.waits.pop(loader, None)
            step.exhausted.clear()
        return outermost

    def end_wait(self, loader: Any, began: float) -> None:
        """A data loader has returned a batch."""
        waits, taken = self._step.waits, time.perf_counter() - began
        self._step.waiting = False
        first, before = waits.get(id(loader), (began, 0.0))
        if id(loader) in waits or len(waits) < _MOST_LOADERS:
            waits[id(loader)] = first, before + taken

    def end_data(self, loader: Any) -> None:
        """A data loader has no more batches, or fails. Its last ones are forgotten if another one is asked next."""
        self._step.waiting = False
        self._step.exhausted.add(id(loader))

    def backward(self, began: float, verdict: Verdict) -> None:
        """A backward pass has ended, or failed."""
        try:
            step, ended = self._step, time.perf_counter()
            status: dict[str, Value] = {**_RUNTIME, "sandbox.verdict.status": verdict.status}
            self._recorder.measure(BACKWARD, ended - began, status)
            if verdict.limit is not None:
                limit: dict[str, Value] = {"sandbox.operation": "training", "sandbox.limit": verdict.limit}
                self._recorder.measure(LIMIT_VIOLATIONS, 1, {**_RUNTIME, **limit})
            if verdict.status == "OK":
                step.samples += step.batch
                self._keep("backward", began, ended)
            step.batch = 0
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.training", error)

    def begin_optimizer(self, optimizer: Any) -> None:
        """An optimizer begins a step."""
        optimizers = self._step.optimizers
        if len(optimizers) >= _MOST_PHASES:
            optimizers.clear()  # Steps that have failed: nobody says when.
        optimizers[id(optimizer)] = time.perf_counter()

    def end_optimizer(self, optimizer: Any) -> None:
        """An optimizer has made a step. If there was a forward since the last one, the training has made one."""
        try:
            began, ended = self._step.optimizers.pop(id(optimizer), None), time.perf_counter()
            if began is not None:
                self._recorder.measure(OPTIMIZER, ended - began, _RUNTIME)
                self._keep("optimizer", began, ended)
            self.end_step(ended, skipped=False)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.training", error)

    def end_step(self, ended: float, *, skipped: bool) -> None:
        """End the step, if there is one.

        Args:
            ended: when it ended.
            skipped: whether the gradients were of no use, so that the optimizer has not changed the model.
        """
        step = self._step
        if step.began is None:
            return
        seconds, samples = ended - step.began, step.samples + step.batch
        attributes: dict[str, Value] = {"torch.training.skipped": skipped}
        measure = self._recorder.measure
        measure(STEP, seconds, {**_RUNTIME, **attributes})
        if step.waited is not None:
            measure(WAIT, step.waited, _RUNTIME)
        if samples:
            measure(SAMPLES, samples, _RUNTIME)
            measure(RATE, samples / max(seconds, 1e-9), _RUNTIME)
            attributes["torch.training.samples"] = samples
        if step.context is not None:
            self._write_spans(step.began, ended, attributes)
        step.ended = ended
        step.reset()

    def _keep(self, name: str, began: float, ended: float) -> None:
        phases = self._step.phases
        if self._spans and len(phases) < _MOST_PHASES:
            phases.append((name, began, ended))

    def _write_spans(self, began: float, ended: float, attributes: dict[str, Value]) -> None:
        """Write the spans of the step: not before its end, so that they change nothing in the program's own trace."""
        step, offset = self._step, time.time() - time.perf_counter()
        assert step.context is not None  # noqa: S101 -- the caller has checked this
        names = {**_RUNTIME, "sandbox.operation": "training"}

        def write(name: str, start: float, end: float, parent: Context, values: dict[str, Value]) -> Context:
            nanoseconds = round((start + offset) * 1e9)
            span = self._recorder.start_span(name, parent, {**names, **values}, start_time=nanoseconds)
            span.end(round((end + offset) * 1e9))
            return set_span_in_context(span, parent)

        inside = write("training step", began, ended, step.context, attributes)
        for name, start, end in step.phases:
            write(name, start, end, inside, {})
