"""The name of a model is the class that its author wrote; device, dtype and shape are those of the call."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


def _attributes(telemetry: Telemetry, name: str) -> list[Any]:
    assert CONTRACT.violations(telemetry) == []
    return [(span.attributes or {}).get(name) for span in telemetry.spans()]


def _names(telemetry: Telemetry) -> list[str]:
    return [span.name for span in telemetry.spans()]


def test_an_exported_model_is_an_inference_of_the_model_that_was_exported(
    instrumented: Telemetry, torch: Any, net: Any, tmp_path: Any
) -> None:
    program = torch.export.export(net, (torch.ones(1, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    instrumented.clear()
    program.module()(torch.ones(1, 4))
    torch.export.load(tmp_path / "net.pt2").module()(torch.ones(1, 4))
    assert [name for name in _names(instrumented) if "load" not in name] == ["inference Net"] * 2


def test_parametrised_and_weight_normed_modules_keep_their_name(instrumented: Telemetry, torch: Any) -> None:
    normed = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))
    normed(torch.ones(1, 2))

    class ParametrizedLinear(torch.nn.Linear):
        pass

    ParametrizedLinear(2, 2)(torch.ones(1, 2))
    assert _names(instrumented) == ["training Linear", "training ParametrizedLinear"]


@pytest.mark.since_torch("2.6", "FSDPModule")
def test_a_sharded_model_keeps_its_name(instrumented: Telemetry, torch: Any) -> None:
    """``fully_shard`` changes the class of a model to one that it derives from FSDPModule and the model's class."""
    from torch.distributed.fsdp import FSDPModule

    net = torch.nn.Linear(2, 2)
    net.__class__ = type("FSDPLinear", (FSDPModule, torch.nn.Linear), {})
    net(torch.ones(1, 2))
    assert _names(instrumented) == ["training Linear"]


def test_an_adapted_model_keeps_its_name(instrumented: Telemetry, torch: Any, net: Any) -> None:
    """As peft does it: PeftModel holds a tuner, which holds the model."""

    def holding(name: str, attribute: str, inner: Any) -> Any:
        def forward(self: Any, batch: Any) -> Any:
            return getattr(self, attribute)(batch)

        base = type(name, (torch.nn.Module,), {"forward": forward, "__module__": "peft.peft_model"})
        module = type(f"{name}ForMore", (base,), {})()
        setattr(module, attribute, inner)
        return module

    adapted = holding("PeftModel", "base_model", holding("BaseTuner", "model", net))
    adapted(torch.ones(1, 4))
    assert _names(instrumented) == ["training Net"]


def test_weights_that_are_elsewhere_have_the_device_of_the_input(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    """As accelerate offloads them: the parameters are on ``meta`` until the layer that needs them is called."""
    model = calling(lambda batch: batch).to("meta")
    model(torch.ones(1, 4))
    assert _attributes(instrumented, "torch.device") == ["cpu"]


def test_the_dtype_is_that_of_the_weights(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    net.to(torch.bfloat16)(torch.ones(1, 4, dtype=torch.bfloat16))
    assert _attributes(instrumented, "torch.dtype") == ["float32", "bfloat16"]


_INPUTS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda batch: {"mask": None, "input_ids": batch},
    "list": lambda batch: [batch, batch],
    "tuple of lists": lambda batch: ([], [batch]),
    "UserDict": lambda batch: collections.UserDict({"input_ids": batch}),
    "namedtuple": lambda batch: collections.namedtuple("Batch", "images labels")(batch, 1),
}


@pytest.mark.parametrize("kind", _INPUTS)
def test_the_shape_is_that_of_the_first_tensor_in_the_input(
    instrumented: Telemetry, torch: Any, calling: Any, kind: str
) -> None:
    calling(lambda _batch: None)(_INPUTS[kind](torch.ones(3, 4)))
    assert _attributes(instrumented, "torch.input.shape") == [(3, 4)]
    assert _attributes(instrumented, "torch.batch.size") == [3]


def test_a_parameter_is_an_input_too(instrumented: Telemetry, torch: Any, calling: Any) -> None:
    calling(lambda _batch: None)(torch.nn.Parameter(torch.ones(2)))
    assert _attributes(instrumented, "torch.input.shape") == [(2,)]
    assert _attributes(instrumented, "torch.batch.size") == [None], "a vector is no batch"


def test_containers_of_the_program_run_no_code_for_us(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    class Loud(dict[str, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("iterated")

        values = items = keys = __getitem__ = __iter__

    calling(lambda _batch: None)(Loud(batch=torch.ones(3, 4)))
    assert _attributes(instrumented, "torch.input.shape") == [(3, 4)]


def test_a_frozen_model_in_training_mode_is_not_training(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    net.requires_grad_(False)
    net(torch.ones(1, 4))
    net.layers[2].requires_grad_(True)
    net(torch.ones(1, 4))
    net.requires_grad_(False)
    net(torch.ones(1, 4))
    assert _names(instrumented) == ["inference Net", "training Net", "inference Net"]


def test_a_module_that_is_not_set_up_puts_nothing_on_stderr(
    instrumented: Telemetry, torch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Unready(torch.nn.Module):
        def __init__(self) -> None:
            pass

        def forward(self, batch: Any) -> Any:
            return batch

    with pytest.raises(AttributeError, match=re.escape("object has no attribute '_backward_hooks'")):
        Unready()(torch.ones(1))
    assert caplog.records == []
    assert instrumented.points("sandscope.errors") == []


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_frozen_script_is_a_model_without_parameters(instrumented: Telemetry, torch: Any, net: Any) -> None:
    frozen = torch.jit.freeze(torch.jit.script(net.layers.eval()))
    assert list(frozen.parameters()) == []
    frozen(torch.ones(3, 4))
    assert _names(instrumented) == ["inference Sequential"]
    assert _attributes(instrumented, "torch.device") == ["cpu"]


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_model_is_a_model_without_parameters(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    if torch.backends.quantized.engine == "none":
        pytest.skip("This torch has no engine for quantised layers.")
    quantised = torch.ao.quantization.quantize_dynamic(net.eval(), {torch.nn.Linear}, dtype=torch.qint8)
    assert list(quantised.parameters()) == []
    assert _names(instrumented) == [], "quantising calls modules that only observe"
    quantised(torch.ones(3, 4))
    assert _names(instrumented) == ["inference Net"]


def test_buffers_and_plain_tensors_are_weights_but_those_of_a_loss_are_not(
    instrumented: Telemetry, torch: Any
) -> None:
    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.tensor(2.0)

        def forward(self, batch: Any) -> Any:
            return batch * self.scale

    Fixed()(torch.ones(1))
    torch.nn.BatchNorm1d(2, affine=False)(torch.ones(3, 2))
    torch.nn.CrossEntropyLoss(weight=torch.ones(2))(torch.ones(2, 2), torch.tensor([0, 1]))
    assert _names(instrumented) == ["inference Fixed", "inference BatchNorm1d"]
