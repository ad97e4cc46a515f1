"""What is measured of a training: its steps, backward passes, optimizer steps, waits for data and samples."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope.instrumentation import OK
from sandscope_instrumentation_torch import TorchInstrumentor
from sandscope_instrumentation_torch._training._training import Training

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
BOTH = pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
NAMES = ("step.duration", "data_wait.duration", "backward.duration", "optimizer.duration", "samples", "rate")


def _counts(telemetry: Telemetry) -> dict[str, float]:
    """Return how often each metric was recorded, or the sum if it is a counter, by the last part of its name."""
    points = {name: telemetry.points(f"torch.training.{name}") for name in NAMES}
    return {name.partition(".")[0]: sum(value for _, value in points[name]) for name in NAMES if points[name]}


def _sum(telemetry: Telemetry, name: str) -> float:
    return sum(float(point.sum) for point in telemetry.metrics()[f"torch.training.{name}"].data.data_points)


@pytest.fixture
def loader(torch: Any) -> Callable[..., Any]:
    """Return a function that makes a data loader of twelve samples, in batches of four."""

    def make(**options: Any) -> Any:
        torch.manual_seed(0)
        data = torch.utils.data.TensorDataset(torch.randn(12, 4), torch.randn(12, 2))
        return torch.utils.data.DataLoader(data, batch_size=4, **options)

    return make


def _train(torch: Any, net: Any, batches: Any, *, accumulate: int = 1, optimizers: int = 1) -> list[Any]:
    """Train for one pass, and return the parameters."""
    parameters = list(net.parameters())
    parts = [parameters[index::optimizers] for index in range(optimizers)]
    all_of_them = [torch.optim.Adam(part, lr=0.1) for part in parts]
    for index, (batch, wanted) in enumerate(batches):
        torch.nn.functional.mse_loss(net(batch), wanted).backward()
        if (index + 1) % accumulate == 0:
            for optimizer in all_of_them:
                optimizer.step()
                optimizer.zero_grad()
    return [parameter.detach().clone() for parameter in parameters]


@BOTH
def test_a_step_is_from_the_wait_for_its_batch_to_the_end_of_the_optimizer(
    instrumented: Telemetry, torch: Any, net: Any, loader: Any
) -> None:
    _train(torch, net, loader())
    counts = _counts(instrumented)
    assert counts == {"step": 3, "data_wait": 3, "backward": 3, "optimizer": 3, "samples": 12, "rate": 3}
    parts = sum(_sum(instrumented, f"{name}.duration") for name in ("data_wait", "backward", "optimizer"))
    assert 0 < parts < _sum(instrumented, "step.duration")
    ((attributes, _),) = instrumented.points("torch.training.step.duration")
    assert attributes == {"sandbox.runtime": "torch", "torch.training.skipped": False}
    assert CONTRACT.violations(instrumented) == []
    assert [span.name for span in instrumented.spans()] == ["training Net"] * 3


def test_the_numbers_of_the_model_are_unchanged(torch: Any, net: Any, loader: Any, instrument: Any) -> None:
    import copy

    plain = _train(torch, copy.deepcopy(net), loader())
    with instrument():
        patched = _train(torch, copy.deepcopy(net), loader())
    assert all(torch.equal(*pair) for pair in zip(plain, patched, strict=True))


def test_gradients_that_are_accumulated_are_one_step(
    instrumented: Telemetry, torch: Any, net: Any, loader: Any
) -> None:
    _train(torch, net, loader(), accumulate=3)
    expected = {"step": 1, "data_wait": 1, "backward": 3, "optimizer": 1, "samples": 12, "rate": 1}
    assert _counts(instrumented) == expected


def test_several_optimizers_make_one_step(instrumented: Telemetry, torch: Any, net: Any, loader: Any) -> None:
    _train(torch, net, loader(), optimizers=2)
    counts = _counts(instrumented)
    assert (counts["step"], counts["optimizer"], counts["samples"]) == (3, 6, 12)


def test_several_models_that_see_the_same_batch(instrumented: Telemetry, torch: Any) -> None:
    first, second = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    second(first(torch.ones(5, 4))).sum().backward()
    optimizer.step()
    assert _counts(instrumented)["samples"] == 5
    assert "data_wait" not in _counts(instrumented)


def test_an_evaluation_is_in_no_step(instrumented: Telemetry, torch: Any, net: Any, loader: Any) -> None:
    _train(torch, net, loader())
    slow = threading.Event()
    net.eval()
    for batch, _ in loader(
        collate_fn=lambda items: slow.wait(0.05) or torch.utils.data.default_collate(items)
    ):
        net(batch)
    net.train()
    _train(torch, net, loader())
    assert _counts(instrumented)["data_wait"] == 6
    assert _sum(instrumented, "data_wait.duration") < 0.1


@pytest.mark.parametrize("to_the_end", [False, True])
def test_batches_that_are_fetched_ahead_are_waited_for_in_one_step(
    instrumented: Telemetry, torch: Any, net: Any, loader: Any, to_the_end: bool
) -> None:
    slow = threading.Event()
    make = torch.utils.data.default_collate
    iterator = iter(loader(collate_fn=lambda items: slow.wait(0.02) or make(items)))
    _train(torch, net, list(iterator) if to_the_end else [next(iterator) for _ in range(3)], accumulate=3)
    assert _counts(instrumented)["data_wait"] == 1
    assert 0.06 <= _sum(instrumented, "data_wait.duration") < _sum(instrumented, "step.duration")


def test_a_data_loader_inside_another_one_is_part_of_its_wait(
    instrumented: Telemetry, torch: Any, net: Any, loader: Any
) -> None:
    def collate(items: Any) -> Any:
        assert len(list(loader())) == 3
        return torch.utils.data.default_collate(items)

    _train(torch, net, loader(collate_fn=collate))
    assert _counts(instrumented)["data_wait"] == 3


def test_workers_of_a_data_loader_record_nothing(
    instrumented: Telemetry, torch: Any, net: Any, loader: Any
) -> None:
    _train(torch, net, loader(num_workers=2))
    expected = {"step": 3, "data_wait": 3, "backward": 3, "optimizer": 3, "samples": 12, "rate": 3}
    assert _counts(instrumented) == expected


def test_a_backward_pass_that_fails(instrumented: Telemetry, torch: Any, net: Any) -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, value: Any) -> Any:
            return value.clone()

        @staticmethod
        def backward(_context: Any, _gradient: Any) -> Any:
            raise error

    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for error in (ValueError("canary"), torch.cuda.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(type(error)) as caught:
            Broken.apply(net(torch.ones(4, 4))).sum().backward()
        assert caught.value is error
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    by_status = {
        point["sandbox.verdict.status"]: count
        for point, count in instrumented.points("torch.training.backward.duration")
    }
    assert by_status == {"RE": 1, "MLE": 1, "OK": 1}
    ((limit, count),) = instrumented.points("sandbox.limit.violations")
    assert (limit["sandbox.operation"], limit["sandbox.limit"], count) == ("training", "memory", 1)
    assert _counts(instrumented)["samples"] == 2
    assert CONTRACT.violations(instrumented) == []


def test_gradients_that_are_only_returned_are_no_backward_pass(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    weight = next(net.parameters())
    torch.autograd.grad(net(torch.ones(1, 4)).sum(), weight)
    assert _counts(instrumented) == {}


def test_a_backward_pass_inside_another_one_is_part_of_it(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    from torch.utils.checkpoint import checkpoint

    batch = torch.ones(1, 4, requires_grad=True)
    checkpoint(net, batch, use_reentrant=True).sum().backward()
    assert _counts(instrumented) == {"backward": 1}


def test_a_forward_that_fails_gives_no_samples(instrumented: Telemetry, torch: Any, net: Any) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(RuntimeError):
        net(torch.ones(8, 3))
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert _counts(instrumented)["samples"] == 2


@BOTH
def test_a_step_that_the_scaler_skips(instrumented: Telemetry, torch: Any, net: Any) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for factor in (float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale(net(torch.ones(2, 4)).sum() * factor).backward()
        scaler.step(optimizer)
        scaler.update()
    steps = {
        point["torch.training.skipped"]: count
        for point, count in instrumented.points("torch.training.step.duration")
    }
    assert steps == {True: 1, False: 1}
    assert _counts(instrumented)["optimizer"] == 1
    assert CONTRACT.violations(instrumented) == []


def test_an_optimizer_that_calls_the_model_itself(instrumented: Telemetry, torch: Any, net: Any) -> None:
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = net(torch.ones(2, 4)).pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    counts = _counts(instrumented)
    assert (counts["step"], counts["optimizer"]) == (1, 1)
    assert counts["samples"] == 2 * counts["backward"]


def test_an_optimizer_whose_step_fails_raises_as_before(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    class Failing(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise ValueError("canary")

    failing, working = (kind(net.parameters(), lr=0.1) for kind in (Failing, torch.optim.SGD))
    net(torch.ones(1, 4)).sum().backward()
    with pytest.raises(ValueError, match="canary"):
        failing.step()
    working.step()
    assert (_counts(instrumented)["step"], _counts(instrumented)["optimizer"]) == (1, 1)


def test_threads_train_on_their_own(instrumented: Telemetry, torch: Any) -> None:
    def train() -> None:
        net = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(3):
            net(torch.ones(2, 4)).sum().backward()
            optimizer.step()

    threads = [threading.Thread(target=train) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = _counts(instrumented)
    assert (counts["step"], counts["samples"]) == (9, 18)


@pytest.fixture
def dynamo(torch: Any) -> Iterator[Any]:
    import torch._dynamo

    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


def test_a_compiled_optimizer_and_backward_break_no_more_graphs(
    torch: Any, net: Any, instrument: Any, dynamo: Any
) -> None:
    from torch._dynamo.utils import counters

    def compiled() -> tuple[Any, ...]:
        dynamo.reset()
        counters.clear()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        step = torch.compile(optimizer.step, backend="eager")

        @torch.compile(backend="eager")
        def forward(batch: Any) -> Any:
            torch.autograd.backward(net(batch).sum() * 2)
            return batch + 1

        for _ in range(3):
            net(torch.ones(1, 4)).sum().backward()
            forward(torch.ones(1, 4))
            step()
        return sum(counters["graph_break"].values()), dict(counters["stats"])

    first = compiled()  # what is made only once
    assert first
    plain = compiled()
    with instrument():
        assert compiled() == plain


def test_hooks_of_the_program_are_called(instrumented: Telemetry, torch: Any, net: Any) -> None:
    called: list[str] = []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    net(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert called == ["before", "after"]


def test_uninstrument_restores_what_was_patched(torch: Any, telemetry: Telemetry) -> None:
    import torch.optim.optimizer as optimizers

    def patched() -> list[Any]:
        loader = torch.utils.data.dataloader._BaseDataLoaderIter
        hooks = optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks
        return [
            torch.autograd._engine_run_backward,
            vars(torch.amp.GradScaler)["step"],
            vars(loader)["__next__"],
            *(list(each.values()) for each in hooks),
        ]

    before = patched()
    TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
    assert all(now != then for now, then in zip(patched(), before, strict=True))
    TorchInstrumentor().uninstrument()
    assert patched() == before


@BOTH
def test_spans_of_steps_if_asked(torch: Any, telemetry: Telemetry, net: Any, loader: Any) -> None:
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), training_spans=True)
    try:
        _train(torch, net, loader(), accumulate=3)
    finally:
        instrumentor.uninstrument()
    (step,) = telemetry.spans("training step")
    assert dict(step.attributes or {}) == {
        "sandbox.runtime": "torch",
        "sandbox.operation": "training",
        "torch.training.skipped": False,
        "torch.training.samples": 12,
    }
    children = [
        span.name for span in telemetry.spans() if span.parent and span.parent.span_id == step.context.span_id
    ]
    assert sorted(children) == ["backward"] * 3 + ["optimizer"]
    for span in (
        *telemetry.spans("backward"),
        *telemetry.spans("optimizer"),
        *telemetry.spans("training Net"),
    ):
        assert step.start_time <= span.start_time <= span.end_time <= step.end_time
    assert CONTRACT.violations(telemetry) == []


def test_a_forked_child_forgets_the_step_of_its_parent(torch: Any, telemetry: Telemetry) -> None:
    training = Training(telemetry.recorder(TorchInstrumentor.scope), spans=False)
    training.forward(4)
    training.backward(0.0, OK)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        found = b"failed"
        try:
            found = str(training._step.began).encode()
        finally:
            os.write(writing, found)
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"None"
    assert training._step.began is not None
