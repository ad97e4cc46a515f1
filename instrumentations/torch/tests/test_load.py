"""Each of torch's three loads is one execution; of a path only the file's name is recorded."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"),
]
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


class Unsafe:
    def __reduce__(self) -> Any:
        return (os.getenv, ("HOME",))


@pytest.fixture
def saved(torch: Any, net: Any, tmp_path: Path) -> Path:
    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    return file


@pytest.fixture
def script(torch: Any, net: Any, tmp_path: Path) -> Path:
    file = tmp_path / "net.ts"
    torch.jit.trace(net, torch.ones(1, 4), check_trace=False).save(str(file))
    return file


@pytest.fixture
def one(instrumented: Telemetry) -> Any:
    """Return a function that returns the attributes of the one execution, by the ends of their names."""

    def attributes() -> dict[str, Any]:
        (span,) = instrumented.spans()
        assert len(instrumented.logs("sandbox.execution")) == 1
        assert CONTRACT.violations(instrumented) == []
        found = {name.rsplit(".", 1)[-1]: value for name, value in (span.attributes or {}).items()}
        found.pop("peak", None)  # of the process's memory: see test_memory
        return {"name": span.name, **found}

    return attributes


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
@pytest.mark.since_torch("2.6", "only weights are allowed by default")
def test_load_from_a_path(torch: Any, saved: Path, one: Any) -> None:
    state = torch.load(saved)
    assert list(state) == ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]
    assert one() == {
        "name": "load torch",
        "runtime": "torch",
        "operation": "load",
        "api": "torch",
        "weights_only": True,
        "file": "net.pt",
        "size": saved.stat().st_size,
        "format": "zip",
        "status": "OK",
        "actor": "guest",
        "cause": "normal_exit",
    }


def test_load_from_an_open_file(torch: Any, saved: Path, one: Any) -> None:
    with saved.open("rb") as file:
        torch.load(file)
        assert not file.closed
    found = one()
    assert (found["file"], found["size"]) == ("net.pt", saved.stat().st_size)


def test_load_from_memory_has_no_file(torch: Any, saved: Path, one: Any) -> None:
    torch.load(f=io.BytesIO(saved.read_bytes()))
    assert "file" not in one()


@pytest.mark.parametrize(
    "case",
    [
        ({}, {}, True),
        ({"weights_only": False}, {}, False),
        ({"pickle_module": pickle}, {}, False),
        ({}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}, False),
        ({"weights_only": True}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}, True),
        ({"weights_only": False}, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}, True),
    ],
)
@pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD:UserWarning")
@pytest.mark.since_torch("2.6", "only weights are allowed by default")
def test_weights_only_is_what_torch_decided(
    torch: Any, tmp_path: Path, one: Any, monkeypatch: pytest.MonkeyPatch, case: Any
) -> None:
    """The file holds a refused object: torch's own behaviour shows what it decided."""
    arguments, environment, expected = case
    torch.save({"object": Unsafe()}, tmp_path / "object.pt")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refused = False
    try:
        torch.load(tmp_path / "object.pt", **arguments)
    except pickle.UnpicklingError:
        refused = True
    assert refused is expected
    assert one()["weights_only"] is expected


def test_load_of_torchscript(torch: Any, script: Path, one: Any) -> None:
    loaded = torch.jit.load(script)
    assert loaded.original_name == "Net"
    found = one()
    assert (found["name"], found["api"], found["status"]) == ("load torch.jit", "torch.jit", "OK")
    assert "weights_only" not in found


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file:UserWarning")
def test_torchscript_through_torch_load_counts_once(torch: Any, script: Path, one: Any) -> None:
    torch.load(script, weights_only=False)
    assert one()["api"] == "torch"


@pytest.mark.since_torch("2.6", "export is recorded as a call before")
def test_load_of_an_exported_program(
    torch: Any, net: Any, tmp_path: Path, instrumented: Telemetry, one: Any
) -> None:
    file = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.ones(1, 4),)), file)
    assert instrumented.spans() == [], "export is no call"
    loaded = torch.export.load(file)
    found = one()
    assert (found["name"], found["status"], found["file"]) == ("load torch.export", "OK", "net.pt2")
    loaded.module()(torch.ones(1, 4))
    assert len(instrumented.spans()) == 2


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.since_torch("2.6", "only weights are allowed by default")
def test_an_object_that_weights_only_refuses_is_a_security_violation(
    torch: Any, tmp_path: Path, instrumented: Telemetry, one: Any, zipped: bool
) -> None:
    torch.save({"object": Unsafe()}, tmp_path / "object.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(tmp_path / "object.pt")
    found = one()
    assert (found["status"], found["actor"], found["cause"]) == ("SV", "engine", "sv_unsafe_pickle")
    ((attributes, value),) = instrumented.points("sandbox.security.violations")
    assert (attributes["sandbox.verdict.cause"], value) == ("sv_unsafe_pickle", 1.0)


@pytest.mark.parametrize("kind", ["class", "module"])
@pytest.mark.since_torch("2.6", "only weights are allowed by default")
def test_a_class_or_a_whole_module_is_refused_too(torch: Any, tmp_path: Path, one: Any, kind: str) -> None:
    torch.save(pickle.Pickler if kind == "class" else torch.nn.Linear(1, 1), tmp_path / "object.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "object.pt")
    assert one()["cause"] == "sv_unsafe_pickle"


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file:UserWarning")
@pytest.mark.since_torch("2.6", "only weights are allowed by default")
def test_torchscript_where_only_weights_are_allowed_is_a_security_violation(
    torch: Any, script: Path, one: Any
) -> None:
    with pytest.raises(RuntimeError, match="TorchScript archives"):
        torch.load(script)
    found = one()
    assert (found["actor"], found["cause"]) == ("engine", "sv_unsafe_script")


@pytest.mark.parametrize("api", ["torch", "jit", "export"])
@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_missing_file(torch: Any, tmp_path: Path, one: Any, api: str) -> None:
    load = torch.load if api == "torch" else getattr(torch, api).load
    with pytest.raises((FileNotFoundError, ValueError)):
        load(tmp_path / "missing.pt")
    found = one()
    assert (found["status"], found["actor"], found["cause"]) == ("RE", "host", "re_file_missing")
    assert found["file"] == "missing.pt"
    assert "size" not in found


@pytest.mark.parametrize("api", ["torch", "jit", "export"])
@pytest.mark.parametrize("content", ["empty", "half", "no pickle"])
def test_a_file_that_is_not_a_model(torch: Any, saved: Path, one: Any, api: str, content: str) -> None:
    data = saved.read_bytes()
    saved.write_bytes({"empty": b"", "half": data[: len(data) // 2], "no pickle": b"\xff" * 64}[content])
    load = torch.load if api == "torch" else getattr(torch, api).load
    with pytest.raises(Exception):  # noqa: B017, PT011 -- each torch raises another one
        load(saved)
    found = one()
    assert (found["status"], found["actor"], found["cause"]) == ("RE", "guest", "re_file_unreadable")


def test_arguments_that_torch_refuses(torch: Any, one: Any) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        torch.load()
    assert one()["cause"] == "re_python_exception"


def test_too_little_memory_to_load(torch: Any, saved: Path, one: Any) -> None:
    def place(_storage: Any, _location: str) -> Any:
        return torch.UntypedStorage(1 << 48)

    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        torch.load(saved, map_location=place)
    assert one()["cause"] == "mle_cpu_allocator"


def test_a_load_inside_a_call_is_its_child(
    torch: Any, saved: Path, calling: Any, instrumented: Telemetry
) -> None:
    calling(torch.load)(saved)
    load, call = instrumented.spans()
    assert load.parent is not None
    assert load.parent.span_id == call.context.span_id
