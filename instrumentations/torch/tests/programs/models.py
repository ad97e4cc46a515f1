"""Runs tiny models of transformers, plain and instrumented; prints what was recorded, and whether results are equal."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from harness import Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.manual_seed(0)
small = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
bert = BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=32, **small))
vit = ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, **small))
tokens = {"input_ids": torch.randint(1, 50, (3, 7)), "attention_mask": torch.ones(3, 7, dtype=torch.long)}
labelled = {**tokens, "labels": torch.tensor([0, 1, 0])}
images = torch.rand(2, 3, 16, 16)
exported = torch.export.export(vit.eval(), (images,), strict=False).module()


def without_gradients(model: Any, *args: Any, **kwargs: Any) -> list[Any]:
    model.eval()
    with torch.inference_mode():
        return [model(*args, **kwargs).logits]


def trained(model: Any, **kwargs: Any) -> list[Any]:
    """Return the gradients of one step, which is undone."""
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(**kwargs).loss.backward()
    optimizer.step()
    after = [parameter.detach().clone() for parameter in model.parameters()]
    model.zero_grad()
    model.load_state_dict(before)
    return after


SCENARIOS: dict[str, Callable[[], list[Any]]] = {
    "bert": lambda: without_gradients(bert, **tokens),
    "bert_trained": lambda: trained(bert, **labelled),
    "vit": lambda: without_gradients(vit, images),
    "vit_exported": lambda: [exported(images).logits],
    "vit_compiled": lambda: without_gradients(torch.compile(vit, backend="eager"), images),
}


def main() -> None:
    """Print a line for each scenario."""
    contract = Contract(Path(sys.argv[2]))
    for name, run in SCENARIOS.items():
        plain = run()
        torch.compiler.reset()
        telemetry, instrumentor = Telemetry(sys.argv[1]), TorchInstrumentor()
        # Every second call, so that the operators of the first one are not timed.
        instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), operators=2)
        results = [run(), run()]
        instrumentor.uninstrument()
        spans = [
            {"name": span.name, **{key: span.attributes[key] for key in sorted(span.attributes)}}
            for span in telemetry.spans()
        ]
        line = {
            "scenario": name,
            "equal": all(
                torch.equal(*pair) for result in results for pair in zip(plain, result, strict=True)
            ),
            "spans": spans,
            "operators": [
                len([e for e in s.events if e.name == "torch.operator"]) for s in telemetry.spans()
            ],
            "samples": sum(value for _, value in telemetry.points("torch.training.samples")),
            "violations": contract.violations(telemetry),
        }
        sys.stdout.write(json.dumps(line, default=str) + "\n")


if __name__ == "__main__":
    main()
