"""The outermost module call of a thread is one execution."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from harness import ROOT, Contract, Telemetry

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_inference_gives_span_metrics_and_log_record(instrumented: Telemetry, torch: Any, net: Any) -> None:
    with torch.no_grad():
        result = net(torch.ones(3, 4))

    assert tuple(result.shape) == (3, 2)
    (span,) = instrumented.spans()
    assert span.name == "inference Net"
    attributes = dict(span.attributes or {})
    attributes.pop("torch.memory.peak", None)  # It is there if the call took a millisecond.
    assert attributes == {
        "sandbox.runtime": "torch",
        "sandbox.operation": "inference",
        "torch.module": "Net",
        "torch.device": "cpu",
        "torch.dtype": "float32",
        "torch.input.shape": (3, 4),
        "torch.batch.size": 3,
        "sandbox.verdict.status": "OK",
        "sandbox.verdict.actor": "guest",
        "sandbox.verdict.cause": "normal_exit",
    }
    (log,) = instrumented.logs()
    assert log.log_record.span_id == span.context.span_id
    ((attributes, count),) = instrumented.points("sandbox.executions")
    assert (attributes["sandbox.operation"], attributes["sandbox.verdict.status"], count) == (
        "inference",
        "OK",
        1.0,
    )
    assert "torch.module" not in attributes, "the program chooses it, metrics need a closed set"
    assert [value for _, value in instrumented.points("sandbox.execution.duration")] == [1.0]
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
def test_training_needs_training_mode_and_gradients(
    instrumented: Telemetry, torch: Any, net: Any, training: bool, gradients: bool
) -> None:
    net.train(training)
    with torch.set_grad_enabled(gradients):
        net(torch.ones(1, 4))
    operation = "training" if training and gradients else "inference"
    assert [span.name for span in instrumented.spans()] == [f"{operation} Net"]


def test_a_training_loop_gives_one_execution_for_each_forward(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    optimizer, loss = torch.optim.SGD(net.parameters(), lr=0.1), torch.nn.CrossEntropyLoss()
    for _ in range(5):
        optimizer.zero_grad()
        loss(net(torch.ones(3, 4)), torch.tensor([0, 1, 0])).backward()
        optimizer.step()
    assert [span.name for span in instrumented.spans()] == ["training Net"] * 5
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputing_a_checkpointed_layer_is_no_call_of_its_own(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any, reentrant: bool
) -> None:
    from torch.utils.checkpoint import checkpoint

    model = calling(lambda batch: checkpoint(net, batch, use_reentrant=reentrant))
    model(torch.ones(1, 4, requires_grad=True)).sum().backward()
    assert [span.name for span in instrumented.spans()] == ["training Calling"]
    assert net.layers[0].weight.grad is not None


def test_a_module_without_parameters_is_no_model(instrumented: Telemetry, torch: Any) -> None:
    torch.nn.CrossEntropyLoss()(torch.ones(2, 2), torch.tensor([0, 1]))
    torch.nn.Softmax(dim=1)(torch.ones(2, 2))
    torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten())(torch.ones(2, 2))
    assert instrumented.spans() == []


def test_a_module_becomes_a_model_with_its_first_parameter(instrumented: Telemetry, torch: Any) -> None:
    model = torch.nn.Sequential(torch.nn.ReLU())
    model(torch.ones(1))
    model.append(torch.nn.Linear(1, 1))
    model(torch.ones(1))
    model[1] = torch.nn.ReLU()
    model(torch.ones(1))
    assert [span.name for span in instrumented.spans()] == ["training Sequential"]


def test_the_device_is_where_the_module_is_now(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    net.to("meta")(torch.ones(1, 4, device="meta"))
    devices = [(span.attributes or {})["torch.device"] for span in instrumented.spans()]
    assert devices == ["cpu", "meta"]


def test_the_input_may_be_a_keyword_or_no_tensor_at_all(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    model = calling(lambda **kwargs: kwargs)
    batch = torch.ones(2)
    assert model(self_="x", module=1, batch=batch) == {"self_": "x", "module": 1, "batch": batch}
    model()
    shapes = [(span.attributes or {}).get("torch.input.shape") for span in instrumented.spans()]
    assert shapes == [(2,), None]


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_model_may_be_called_with_many_shapes(instrumented: Telemetry, torch: Any, net: Any) -> None:
    shapes = [(size, 4) for size in range(1, 41)]
    for _ in range(2):
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients):
                for shape in shapes:
                    net(torch.ones(shape))
    for name in ("training Net", "inference Net"):
        found = [(span.attributes or {})["torch.input.shape"] for span in instrumented.spans(name)]
        assert found == shapes * 2
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.filterwarnings("ignore:.*nested tensors.*:UserWarning")
def test_a_nested_tensor_has_no_shape(instrumented: Telemetry, torch: Any, calling: Any) -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert calling(lambda batch: batch)(nested) is nested
    assert ["torch.input.shape" in (span.attributes or {}) for span in instrumented.spans()] == [False]


def test_a_lazy_model_has_its_device_before_it_has_weights(instrumented: Telemetry, torch: Any) -> None:
    lazy = torch.nn.LazyLinear(2)
    for _ in range(2):
        lazy(torch.ones(1, 3))
    assert [(span.attributes or {})["torch.device"] for span in instrumented.spans()] == ["cpu", "cpu"]


def test_a_call_of_no_module_raises_as_before(
    instrumented: Telemetry, torch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TypeError, match="self"):
        torch.nn.Module.__call__()
    assert instrumented.spans() == []
    assert caplog.records == []


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_each_thread_has_its_own_root(instrumented: Telemetry, torch: Any, net: Any, calling: Any) -> None:
    barrier = threading.Barrier(8)
    tracer = instrumented.tracer_provider.get_tracer("user")

    def forward(batch: Any) -> Any:
        barrier.wait(30)  # All eight are inside their root call at once.
        return net(batch)

    def work(number: int) -> None:
        with tracer.start_as_current_span(f"thread {number}"):
            model(torch.ones(number + 1, 4))

    model = calling(forward)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    spans = instrumented.spans("training Calling")
    users = {span.context.span_id: span.name for span in instrumented.spans() if "thread" in span.name}
    found = {
        users[span.parent.span_id]: (span.attributes or {})["torch.input.shape"]
        for span in spans
        if span.parent
    }
    assert found == {f"thread {number}": (number + 1, 4) for number in range(8)}
    assert len(instrumented.spans()) == 16
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]


def test_a_task_begun_inside_a_call_is_a_root_once_that_has_ended(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    contexts: list[contextvars.Context] = []
    model = calling(lambda: contexts.append(contextvars.copy_context()) or contexts[0].copy().run(net, batch))
    batch = torch.ones(1, 4)
    model()
    assert [span.name for span in instrumented.spans()] == ["training Calling"], "it runs inside"
    contexts[0].run(net, batch)
    assert [span.name for span in instrumented.spans()] == ["training Calling", "training Net"]


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_model_called_in_a_thread_of_a_forward_is_its_child_with_its_context(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    def forward() -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(net, torch.ones(1, 4)))
        thread.start()
        thread.join()

    calling(forward)()
    inner, outer = instrumented.spans()
    assert [inner.name, outer.name] == ["training Net", "training Calling"]
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_functional_call_is_one_execution(instrumented: Telemetry, torch: Any, net: Any) -> None:
    weights = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    assert not torch.func.functional_call(net, weights, (torch.ones(3, 4),)).any()
    (span,) = instrumented.spans()
    assert (span.name, (span.attributes or {})["torch.batch.size"]) == ("inference Net", 3)


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_tasks_that_call_in_threads_have_executions_of_their_own(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    tracer = instrumented.tracer_provider.get_tracer("user")

    async def task(size: int) -> None:
        with tracer.start_as_current_span(f"task {size}"):
            await asyncio.to_thread(net, torch.ones(size, 4))

    async def main() -> None:
        await asyncio.gather(*(task(size) for size in (1, 2, 3)))

    asyncio.run(main())
    tasks = {span.context.span_id: span.name for span in instrumented.spans() if "task" in span.name}
    found = {
        tasks[span.parent.span_id]: (span.attributes or {})["torch.batch.size"]
        for span in instrumented.spans("training Net")
        if span.parent
    }
    assert found == {"task 1": 1, "task 2": 2, "task 3": 3}


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_suppressed_instrumentation_records_nothing(instrumented: Telemetry, torch: Any, net: Any) -> None:
    with suppress_instrumentation():
        net(torch.ones(1, 4))
    assert instrumented.spans() == []
    assert instrumented.points("sandbox.executions") == []


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_spans_of_the_user_inside_forward_are_children(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    tracer = instrumented.tracer_provider.get_tracer("user")

    def forward() -> None:
        with tracer.start_as_current_span("inner"):
            pass

    calling(forward)()
    inner, outer = instrumented.spans()
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
