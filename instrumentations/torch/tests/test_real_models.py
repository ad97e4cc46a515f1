"""Models as they are used: a convolutional network that learns digits, and transformers' BERT and ViT."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry, clean_environment
from harness._packages import environment_with

pytestmark = pytest.mark.torch
_HERE = ROOT / "instrumentations" / "torch"
CONTRACT = Contract(_HERE / "telemetry.yaml")


@pytest.fixture
def digits(torch: Any) -> Any:
    """Return a data set like that of handwritten digits: 8 x 8 pixels, each class with a pattern of its own."""
    torch.manual_seed(0)
    labels = torch.arange(10).repeat(8)
    patterns = torch.rand(10, 1, 8, 8)
    return torch.utils.data.TensorDataset(patterns[labels] + 0.1 * torch.rand(80, 1, 8, 8), labels)


@pytest.fixture
def cnn(torch: Any) -> Any:
    nn = torch.nn

    class DigitsCNN(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
            )
            self.classes = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 10))

        def forward(self, images: Any) -> Any:
            return self.classes(self.features(images))

    torch.manual_seed(1)
    return DigitsCNN()


def _learn(torch: Any, model: Any, digits: Any) -> tuple[list[Any], float]:
    """Train for three passes; return the parameters, and the share of digits that are recognised."""
    torch.manual_seed(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()
    for _ in range(3):
        for images, labels in torch.utils.data.DataLoader(digits, batch_size=20, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = (model(digits.tensors[0]).argmax(1) == digits.tensors[1]).float().mean()
    return [parameter.detach().clone() for parameter in model.parameters()], float(right)


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_network_learns_digits_as_without(
    torch: Any, cnn: Any, digits: Any, telemetry: Telemetry, instrument: Any
) -> None:
    plain, right = _learn(torch, copy.deepcopy(cnn), digits)
    with instrument():
        patched, also_right = _learn(torch, copy.deepcopy(cnn), digits)
    assert all(torch.equal(*pair) for pair in zip(plain, patched, strict=True))
    assert also_right == right > 0.5
    names = [span.name for span in telemetry.spans()]
    assert names == ["training DigitsCNN"] * 12 + ["inference DigitsCNN"]
    assert dict(telemetry.spans()[-1].attributes or {})["torch.input.shape"] == (80, 1, 8, 8)
    assert sum(value for _, value in telemetry.points("torch.training.samples")) == 240
    assert CONTRACT.violations(telemetry) == []


@pytest.fixture(scope="module")
def found(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was recorded of transformers' models, by scenario."""
    environment = clean_environment()
    packages = environment_with("transformers", "safetensors")["PYTHONPATH"]
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), packages])
    environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(
        [
            sys.executable,
            str(_HERE / "tests" / "programs" / "models.py"),
            "deferred",
            str(_HERE / "telemetry.yaml"),
        ],
        env=environment,
        cwd=tmp_path_factory.mktemp("models"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        line["scenario"]: line
        for line in map(json.loads, filter(lambda text: text[:1] == "{", done.stdout.splitlines()))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "name", "shape"),
    [
        ("bert", "inference BertForSequenceClassification", [3, 7]),
        ("bert_trained", "training BertForSequenceClassification", [3, 7]),
        ("vit", "inference ViTForImageClassification", [2, 3, 16, 16]),
        ("vit_exported", "inference ViTForImageClassification", [2, 3, 16, 16]),
        ("vit_compiled", "inference ViTForImageClassification", [2, 3, 16, 16]),
    ],
)
def test_models_of_transformers(found: dict[str, Any], scenario: str, name: str, shape: list[int]) -> None:
    line = found[scenario]
    assert line["equal"]
    assert line["violations"] == []
    assert [span["name"] for span in line["spans"]] == [name] * 2
    assert [span["torch.input.shape"] for span in line["spans"]] == [shape] * 2
    assert [span["torch.dtype"] for span in line["spans"]] == ["float32"] * 2
    assert [count > 0 for count in line["operators"]] == [False, scenario != "vit_compiled"]
    assert line["samples"] == (6 if scenario == "bert_trained" else 0)
