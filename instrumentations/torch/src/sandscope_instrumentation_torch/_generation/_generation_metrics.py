"""The metrics of generations: those of OpenTelemetry's conventions for generative AI, and two of torch."""

from __future__ import annotations

from sandscope.instrumentation import Execution, Metric, Recorder, Value, Verdict, allowed_attributes
from sandscope_instrumentation_torch._generation._tokens import Tokens

# The names, units and boundaries of OpenTelemetry's conventions for generative AI.
TOKENS = Metric(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "Number of input and output tokens used",
    tuple(float(4**power) for power in range(14)),
)
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
OPERATION = Metric("gen_ai.client.operation.duration", "histogram", "s", "GenAI operation duration", _SECONDS)
REQUEST = Metric(
    "gen_ai.server.request.duration",
    "histogram",
    "s",
    "Generative AI server request duration such as time-to-last byte or last output token",
    _SECONDS,
)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TIME_TO_FIRST = Metric(
    "gen_ai.server.time_to_first_token",
    "histogram",
    "s",
    "Time to generate first token for successful responses",
    _FIRST,
)
_EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TIME_PER_TOKEN = Metric(
    "gen_ai.server.time_per_output_token",
    "histogram",
    "s",
    "Time per output token generated after the first token for successful responses",
    _EACH,
)
RATE = Metric(
    "torch.generation.rate",
    "histogram",
    "{token}/s",
    "Output tokens of a generation per second, of all its sequences together",
    (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000),
)
PADDING = Metric(
    "torch.generation.padding",
    "histogram",
    "1",
    "Share of the prompts' positions that are padding",
    (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
)
CONVENTION: dict[str, Value] = {
    "gen_ai.operation.name": "text_completion",
    "gen_ai.provider.name": "transformers",
}
_MODEL = "gen_ai.request.model"


class Measured:
    """What is measured of a generation, by the conventions' names."""

    def __init__(self, recorder: Recorder, execution: Execution) -> None:
        """Begin. The name of the model is an attribute if the program's settings allow it on metrics."""
        model = allowed_attributes(execution).get(_MODEL)
        self._measure = recorder.measure
        self._attributes = CONVENTION if model is None else {**CONVENTION, _MODEL: model}

    def failed(self, seconds: float, verdict: Verdict) -> None:
        """A generation has raised an exception: of it only the time is measured."""
        self._duration(seconds, {**self._attributes, "error.type": verdict.cause})

    def returned(self, seconds: float, tokens: Tokens, first: float | None, each: float | None) -> None:
        """A generation has returned.

        Args:
            seconds: how long it took.
            tokens: the numbers of its tokens.
            first: the seconds until the first token was there; None if there was none.
            each: the seconds of each token after it.
        """
        for kind, count in (("input", tokens.input), ("output", tokens.output)):
            if count is not None:
                self._measure(TOKENS, count, {**self._attributes, "gen_ai.token.type": kind})
        if first is not None:
            self._measure(TIME_TO_FIRST, first, self._attributes)
        if each is not None:
            self._measure(TIME_PER_TOKEN, each, self._attributes)
        self._duration(seconds, self._attributes)

    def _duration(self, seconds: float, attributes: dict[str, Value]) -> None:
        # The process that asks is the one that generates: both of the conventions' durations are the same.
        self._measure(OPERATION, seconds, attributes)
        self._measure(REQUEST, seconds, attributes)
