"""Generates with tiny models, plain and instrumented; prints what was recorded, and whether the results are equal."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from harness import Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

CANARY = "canary-of-a-prompt"
END, PAD = 7, 0

torch.set_num_threads(1)
torch.manual_seed(0)
small = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": END, "pad_token_id": PAD}
gpt2 = GPT2LMHeadModel(GPT2Config(n_positions=64, n_embd=16, n_layer=2, n_head=2, **small)).eval()
helper = GPT2LMHeadModel(GPT2Config(n_positions=64, n_embd=8, n_layer=1, n_head=1, **small)).eval()
bart = BartForConditionalGeneration(
    BartConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        decoder_start_token_id=2,
        forced_eos_token_id=END,
        **small,
    )
).eval()
one = torch.tensor([[3, 4, 5]])
padded = {
    "input_ids": torch.tensor([[0, 0, 3, 4], [9, 8, 6, 5]]),
    "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
}


class Collects(BaseStreamer):
    def __init__(self) -> None:
        self.got: list[Any] = []

    def put(self, value: Any) -> None:
        self.got.append(value.tolist())

    def end(self) -> None:
        self.got.append("end")


class StopsAt(StoppingCriteria):
    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return torch.full((input_ids.shape[0],), input_ids.shape[1] >= 6)


class Forces(LogitsProcessor):
    """Makes the first row end at a position, and the others continue."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        forced = torch.full_like(scores, -1e9)
        forced[:, 9] = 0
        if input_ids.shape[1] == 6:
            forced[0, END] = 1
        return forced


class Raises(LogitsProcessor):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if input_ids.shape[1] == 5:
            raise self.error
        scores[:, END] = -1e9
        return scores


def greedy() -> Any:
    return gpt2.generate(one, max_new_tokens=8, min_new_tokens=8, do_sample=False)


def sampled() -> Any:
    torch.manual_seed(1)
    return gpt2.generate(
        one, max_new_tokens=5, min_new_tokens=5, do_sample=True, num_return_sequences=3, top_k=20
    )


def beams() -> Any:
    return gpt2.generate(
        **padded, max_new_tokens=6, min_new_tokens=6, num_beams=3, return_dict_in_generate=True
    ).sequences


def ragged() -> Any:
    return gpt2.generate(**padded, max_new_tokens=6, logits_processor=[Forces()])


def encoder_decoder() -> Any:
    return bart.generate(**padded, max_new_tokens=5, min_new_tokens=5, num_beams=1, do_sample=False)


def stopped() -> Any:
    return gpt2.generate(
        one, max_new_tokens=20, min_new_tokens=20, stopping_criteria=StoppingCriteriaList([StopsAt()])
    )


def assisted() -> Any:
    return gpt2.generate(one, assistant_model=helper, max_new_tokens=8, min_new_tokens=8, do_sample=False)


def streamed() -> Any:
    streamer = Collects()
    gpt2.generate(one, max_new_tokens=4, min_new_tokens=4, streamer=streamer)
    return streamer.got


def in_a_thread() -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(greedy()))
    thread.start()
    thread.join()
    return found[0]


def in_inference_mode() -> Any:
    with torch.inference_mode():
        return greedy()


def with_hidden_modes() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counts(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            Counts.calls += 1
            return function(*args, **(kwargs or {}))

    with Counts():
        return greedy().tolist(), Counts.calls


def embedded() -> Any:
    return gpt2.generate(
        inputs_embeds=gpt2.transformer.wte(one).detach(), max_new_tokens=4, min_new_tokens=4, do_sample=False
    )


def _raising(error: BaseException) -> Any:
    try:
        return gpt2.generate(one, max_new_tokens=8, logits_processor=[Raises(error)])
    except type(error) as raised:
        return raised is error


def failed() -> Any:
    return _raising(ValueError(CANARY))


def interrupted() -> Any:
    return _raising(KeyboardInterrupt(CANARY))


def out_of_memory() -> Any:
    return _raising(MemoryError(CANARY))


def wrong_arguments() -> Any:
    try:
        return gpt2.generate(one, max_new_tokens=3, **{CANARY.replace("-", "_"): 1})
    except ValueError:
        return "refused"


def compiled() -> Any:
    gpt2.forward = torch.compile(gpt2.forward, backend="eager")
    try:
        return greedy()
    finally:
        del gpt2.forward


SCENARIOS: list[Callable[[], Any]] = [
    greedy,
    sampled,
    beams,
    ragged,
    encoder_decoder,
    stopped,
    assisted,
    streamed,
    in_a_thread,
    in_inference_mode,
    with_hidden_modes,
    embedded,
    failed,
    interrupted,
    out_of_memory,
    wrong_arguments,
    compiled,
]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second) and first.dtype == second.dtype
    return bool(first == second)


def main() -> None:
    kind, contract = sys.argv[1], Contract(Path(sys.argv[2]))
    originals = {name: vars(owner)[name] for owner, name in _patched()}
    plain = [scenario() for scenario in SCENARIOS]
    telemetry = Telemetry(kind)
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
    for scenario, expected in zip(SCENARIOS, plain, strict=True):
        telemetry.clear()
        result = scenario()
        spans = telemetry.spans()
        print(  # noqa: T201
            json.dumps(
                {
                    "scenario": scenario.__name__,
                    "equal": _equal(result, expected),
                    "spans": [{"span": span.name, **dict(span.attributes or {})} for span in spans],
                    "seconds": [(span.end_time - span.start_time) / 1e9 for span in spans],
                    "logs": [dict(log.log_record.attributes or {}) for log in telemetry.logs()],
                    "violations": contract.violations(telemetry),
                }
            )
        )
    metrics = telemetry.metrics()
    points = {
        name: [[dict(point.attributes or {}), point.count, point.sum] for point in metric.data.data_points]
        for name, metric in metrics.items()
        if name.startswith(("gen_ai.", "torch.generation."))
    }
    bounds = {
        name: list(metric.data.data_points[0].explicit_bounds)
        for name, metric in metrics.items()
        if name.startswith("gen_ai.")
    }
    undeclared = contract.violations(telemetry)
    errors = [list(attributes.values()) for attributes, _ in telemetry.points("sandscope.errors")]
    instrumentor.uninstrument()
    restored = all(vars(owner)[name] is originals[name] for owner, name in _patched())
    end = {"points": points, "bounds": bounds, "violations": undeclared, "errors": errors}
    print(json.dumps({**end, "restored": restored}))  # noqa: T201


def _patched() -> list[tuple[Any, str]]:
    from transformers.generation.utils import GenerationMixin

    return [
        (GenerationMixin, "generate"),
        (GenerationMixin, "_has_unfinished_sequences"),
        (StoppingCriteriaList, "__call__"),
    ]


if __name__ == "__main__":
    main()
