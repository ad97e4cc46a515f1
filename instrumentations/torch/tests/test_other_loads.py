"""Loads by safetensors and transformers, in a program of its own: their packages are in no other environment."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, clean_environment
from harness._packages import environment_with
from sandscope_instrumentation_torch import TorchInstrumentor

pytestmark = pytest.mark.torch

_START = """
import json, sys
from harness import Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor
from pathlib import Path
telemetry = Telemetry("deferred")
TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
import torch
def show():
    assert Contract(Path(sys.argv[1])).violations(telemetry) == []
    spans = [{"span": span.name, **dict(span.attributes)} for span in telemetry.spans()]
    print(json.dumps(spans))
    telemetry.clear()
"""

_SAFETENSORS = """
import safetensors, safetensors.torch
safetensors.torch.save_file({"a": torch.ones(2)}, "net.safetensors")
assert safetensors.torch.load_file("net.safetensors")["a"].tolist() == [1, 1]
with safetensors.safe_open("net.safetensors", framework="pt") as file:
    assert isinstance(file, safetensors.safe_open)
    assert list(file.keys()) == ["a"]
open("broken.safetensors", "wb").write(b"x" * 100)
for name in ("broken.safetensors", "/missing folder/missing.safetensors"):
    try:
        safetensors.torch.load_file(name)
    except Exception as error:
        pass
show()
"""

_TRANSFORMERS = """
from transformers import BertConfig, BertModel
config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
model = BertModel(config)
model.save_pretrained("secret folder/tiny-bert", max_shard_size="8KB")
telemetry.clear()
loaded = BertModel.from_pretrained("secret folder/tiny-bert")
assert isinstance(loaded, BertModel)
show()
with torch.no_grad():
    loaded(input_ids=torch.ones(2, 5, dtype=torch.long))
show()
"""


def _run(program: str, folder: Path) -> list[list[dict[str, Any]]]:
    packages = environment_with("transformers", "safetensors")["PYTHONPATH"]
    environment = clean_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), packages])
    environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", _START + program, str(ROOT / "instrumentations" / "torch" / "telemetry.yaml")],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def test_loads_by_safetensors(torch: Any, tmp_path: Path) -> None:
    (spans,) = _run(_SAFETENSORS, tmp_path)
    assert [span["span"] for span in spans] == ["load safetensors"] * 4
    assert [span["sandbox.verdict.cause"] for span in spans] == [
        "normal_exit",
        "normal_exit",
        "re_file_unreadable",
        "re_file_missing",
    ]
    assert [span["torch.model.file"] for span in spans] == [
        "net.safetensors",
        "net.safetensors",
        "broken.safetensors",
        "missing.safetensors",
    ]
    assert spans[0]["torch.model.size"] == (tmp_path / "net.safetensors").stat().st_size


@pytest.mark.since_torch("2.6", "transformers needs it")
def test_a_load_by_transformers_is_one_execution_with_its_files(torch: Any, tmp_path: Path) -> None:
    loads, calls = _run(_TRANSFORMERS, tmp_path)
    (load,) = loads
    shards = list((tmp_path / "secret folder" / "tiny-bert").glob("*.safetensors"))
    assert len(shards) > 1
    assert load["span"] == "load transformers"
    assert load["torch.model.file"] == "tiny-bert"
    assert load["torch.module"] == "BertModel"
    assert load["torch.load.files"] == len(shards)
    assert load["torch.model.size"] == sum(shard.stat().st_size for shard in shards)
    (call,) = calls
    assert (call["span"], call["torch.input.shape"]) == ("inference BertModel", [2, 5])


def test_the_hash_of_a_file_is_recorded_if_asked(torch: Any, telemetry: Any, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "net.pt")
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), digest=True)
    try:
        torch.load(tmp_path / "net.pt")
    finally:
        instrumentor.uninstrument()
    (span,) = telemetry.spans()
    expected = hashlib.sha256((tmp_path / "net.pt").read_bytes()).hexdigest()
    assert (span.attributes or {})["torch.model.sha256"] == expected
