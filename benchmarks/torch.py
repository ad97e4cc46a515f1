"""Claim: calls, generations and loads of models that are instrumented take little longer than plain ones.

`breakeven_ms_for_0.1pct_*` is the duration, in milliseconds, of a call for which the overhead is 0.1 %.
`torch_memory_grown_mb` is the growth of the process over 1,000,000 calls of a model (100,000 with `--short`).
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._rounds import Case, measure
from benchmarks._subjects import Subject, for_instrumentations
from sandscope_instrumentation_torch import TorchInstrumentor

_MEGABYTES = 100
_ROUNDS = 30
"""With --short as well: a block is one generation, and the least of a few of them is a matter of chance."""


def run(*, short: bool) -> dict[str, float]:
    """Compare patched and plain calls; none if torch is not installed, no generation without transformers."""
    if importlib.util.find_spec("torch") is None:
        return {}
    warnings.simplefilter("ignore")
    subject, instrumentor = for_instrumentations(), TorchInstrumentor()
    instrumentor.instrument()  # before the import, as in each of the three ways in
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        switched = {**_calls(torch, subject), **_others(torch, subject, instrumentor, Path(folder))}
        least = measure(switched, _ROUNDS)
    grown = _memory_grown(torch, subject, 100_000 if short else 1_000_000)
    instrumentor.uninstrument()
    torch.set_grad_enabled(True)
    result: dict[str, float] = {"torch_memory_grown_mb": grown}
    for name in (each.removesuffix(" plain") for each in switched if each.endswith(" plain")):
        plain, patched = least[f"{name} plain"], least[f"{name} patched"]
        result[f"torch_{name}_over_plain"] = patched / plain
        result[f"breakeven_ms_for_0.1pct_torch_{name}"] = (patched - plain) / 1e6 * 1000
    return result


def _calls(torch: Any, subject: Subject) -> dict[str, Case]:
    """Return the calls of models. They are patched and unpatched by the one attribute that is patched."""
    nn = torch.nn

    def case(model: Any, batch: Any) -> tuple[Case, Case]:
        patched: list[Any] = []  # another one whenever the other cases have switched the instrumentation

        def call() -> None:
            model(batch)

        def off() -> None:
            patched.append(vars(nn.Module)["_compiled_call_impl"])
            nn.Module._compiled_call_impl = None
            call()

        def on() -> None:
            nn.Module._compiled_call_impl = patched.pop()

        return Case(call, before=off, after=on), Case(call, before=call, after=subject.flush, most=2000)

    models = {
        "linear": (nn.Linear(8, 8), torch.zeros(1, 8)),
        "150_layers": (nn.Sequential(*(nn.Linear(8, 8) for _ in range(150))), torch.zeros(1, 8)),
        "block": (nn.TransformerEncoderLayer(64, 4, 256, batch_first=True), torch.zeros(8, 32, 64)),
        "compiled": (
            torch.compile(nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 256))),
            torch.zeros(64, 256),
        ),
    }
    cases: dict[str, Case] = {}
    for name, (model, batch) in models.items():
        cases[f"{name} plain"], cases[f"{name} patched"] = case(model.eval(), batch)
    return cases


def _memory_grown(torch: Any, subject: Subject, times: int) -> float:
    """Return the growth of the process in MB over a number of calls."""
    model, batch = torch.nn.Linear(8, 8).eval(), torch.zeros(1, 8)

    def resident_after(number: int) -> float:
        for index in range(number):
            model(batch)
            if not index % 2000:
                subject.flush()
                subject.reader.get_metrics_data()
        subject.flush()
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    before = resident_after(20_000)
    return resident_after(times) - before


def _others(torch: Any, subject: Subject, instrumentor: TorchInstrumentor, folder: Path) -> dict[str, Case]:
    """Return what is patched and unpatched by the instrumentor: a load, and a generation if there is transformers."""
    file = folder / "model.pt"
    torch.save({"weight": torch.zeros(_MEGABYTES << 18)}, file)
    functions: dict[str, Callable[[], Any]] = {"load_100_mb": lambda: torch.load(file, weights_only=True)}
    generate = _generation(torch)
    if generate is not None:
        functions["generate"] = generate

    cases: dict[str, Case] = {}
    for name, function in functions.items():

        def plain(function: Callable[[], Any] = function) -> None:
            instrumentor.uninstrument()
            function()

        def patched() -> None:
            instrumentor.instrument()

        cases[f"{name} plain"] = Case(function, before=plain, after=patched)
        cases[f"{name} patched"] = Case(function, before=function, after=subject.flush, most=2000)
    return cases


def _generation(torch: Any) -> Callable[[], Any] | None:
    if importlib.util.find_spec("transformers") is None and not _add_transformers():
        return None
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=100, n_positions=64, n_embd=64, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2
    )
    model = GPT2LMHeadModel(config).eval()
    prompt = torch.tensor([[3, 4, 5]])
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    return lambda: model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)


def _add_transformers() -> bool:
    """Add the folder with transformers that the tests use to the path."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    try:
        from harness._packages import environment_with

        sys.path.append(environment_with("transformers", "safetensors")["PYTHONPATH"])
    except BaseException as error:  # noqa: BLE001 -- pytest's outcome for a lack is not an Exception
        print(f"no generation: {error}")
        return False
    return importlib.util.find_spec("transformers") is not None
