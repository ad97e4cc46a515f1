"""Trains a tiny model with transformers' Trainer or with Lightning; prints its losses and weights.

Arguments: ``transformers`` or ``lightning``, how many batches make a step, and ``instrumented`` to instrument torch and
to write what was recorded to stderr.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from harness import Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

warnings.simplefilter("ignore")
torch.set_num_threads(1)
BATCH, EPOCHS = 4, 2


class Tiny(torch.nn.Module):
    """A model that returns its loss, as those of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 2))

    def forward(self, x: Any, labels: Any = None) -> Any:
        """Return the loss and the results."""
        results = self.layers(x)
        return {"loss": torch.nn.functional.mse_loss(results, labels), "logits": results}


def samples() -> list[dict[str, Any]]:
    """Return 24 samples."""
    random = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(4, generator=random), "labels": torch.randn(2, generator=random)} for _ in range(24)
    ]


def by_transformers(model: Tiny, accumulate: int, folder: str) -> dict[str, Any]:
    """Train with Trainer, and evaluate after each epoch."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        num_train_epochs=EPOCHS,
        gradient_accumulation_steps=accumulate,
        logging_steps=1,
        learning_rate=0.1,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=samples(), eval_dataset=samples()[:8])
    trainer.train()
    history = trainer.state.log_history
    losses = [line[key] for line in history for key in ("loss", "eval_loss") if key in line]
    figures = sorted({key for line in history for key in line})
    return {"losses": losses, "steps": trainer.state.global_step, "figures": figures}


def by_lightning(model: Tiny, accumulate: int, folder: str) -> dict[str, Any]:
    """Train with Lightning, and validate after each epoch."""
    import pytorch_lightning

    class Module(pytorch_lightning.LightningModule):  # type: ignore[misc] # untyped
        def __init__(self) -> None:
            super().__init__()
            self.model, self.losses = model, []

        def training_step(self, batch: Any, _index: int) -> Any:
            loss = self.model(**batch)["loss"]
            self.losses.append(loss.item())
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, _index: int) -> None:
            self.losses.append(self.model(**batch)["loss"].item())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Module()
    trainer = pytorch_lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    training, validation = samples(), samples()[:8]
    trainer.fit(
        module,
        torch.utils.data.DataLoader(training, batch_size=BATCH, shuffle=True),  # type: ignore[arg-type]
        torch.utils.data.DataLoader(validation, batch_size=BATCH),  # type: ignore[arg-type]
    )
    figures = sorted(trainer.callback_metrics)
    return {"losses": module.losses, "steps": trainer.global_step, "figures": figures}


def recorded(telemetry: Telemetry) -> dict[str, Any]:
    """Return how often each figure of the training was recorded, and which calls of models there were."""
    names = [span.name for span in telemetry.spans()]
    counts = {
        name.removeprefix("torch.training."): sum(value for _, value in telemetry.points(name))
        for name in telemetry.metrics()
        if name.startswith("torch.training.")
    }
    contract = Contract(Path(__file__).parents[2] / "telemetry.yaml")
    return {
        "counts": counts,
        "spans": {name: names.count(name) for name in sorted(set(names))},
        "violations": contract.violations(telemetry),
        "errors": telemetry.points("sandscope.errors"),
    }


def main() -> None:
    """Train."""
    library, accumulate = sys.argv[1], int(sys.argv[2])
    telemetry = Telemetry("deferred") if "instrumented" in sys.argv else None
    if telemetry is not None:
        TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
    torch.manual_seed(0)
    model = Tiny()
    train = {"transformers": by_transformers, "lightning": by_lightning}[library]
    with tempfile.TemporaryDirectory() as folder:
        result = train(model, accumulate, folder)
    weights = [parameter.tolist() for parameter in model.parameters()]
    sys.stdout.write(json.dumps({**result, "weights": weights}) + "\n")
    if telemetry is not None:
        sys.stderr.write("\n" + json.dumps(recorded(telemetry)) + "\n")


if __name__ == "__main__":
    main()
