"""Loading a pickle that names more than weights need is a security event; reading it executes nothing."""

from __future__ import annotations

import collections
import io
import os
import pickle
import time
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning"),
]
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


class Running:
    """Unpickling it makes a file: the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.canary}'",)


class Honest:
    """A class of the program."""


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def _save(torch: Any, what: Any, file: Path, kind: str) -> Path:
    if kind.startswith("bare"):
        file.write_bytes(pickle.dumps(what, protocol=int(kind[-1])))
    else:
        torch.save(
            {"weights": torch.ones(2), "other": what}, file, _use_new_zipfile_serialization=kind == "zip"
        )
    return file


def _event(telemetry: Telemetry) -> dict[str, Any]:
    assert CONTRACT.violations(telemetry) == []
    (log,) = telemetry.logs("sandbox.security")
    (span,) = telemetry.spans()
    assert log.log_record.span_id == span.context.span_id
    assert [event.name for event in span.events if event.name == "sandbox.security"] == ["sandbox.security"]
    attributes = dict(log.log_record.attributes or {})
    return {**attributes, "severity": log.log_record.severity_text}


def _counts(telemetry: Telemetry) -> list[tuple[Any, float]]:
    points = telemetry.points("sandbox.security.violations")
    return [(attributes["sandbox.verdict.cause"], value) for attributes, value in points]


KINDS = ["zip", "legacy", *(f"bare{protocol}" for protocol in range(6))]


@pytest.mark.parametrize("kind", KINDS)
def test_code_that_the_load_runs(
    instrumented: Telemetry, torch: Any, tmp_path: Path, canary: Path, kind: str
) -> None:
    file = _save(torch, Running(canary), tmp_path / "net.pt", kind)
    try:
        torch.load(file, weights_only=False)
    except (RuntimeError, pickle.UnpicklingError):
        assert kind.startswith("bare"), (
            "torch runs a bare pickle before it finds that it is none of its files"
        )
    assert canary.exists()
    event = _event(instrumented)
    assert event["security.event.type"] == "suspicious_model_load"
    assert event["sandbox.violation.type"] == "sv_code_execution"
    assert event["sandbox.violation.action"] == "allowed"
    assert event["sandbox.violation.resource"] == f"{os.name} system"
    assert event["torch.load.risk_level"] == "high"
    assert event["torch.model.file"] == "net.pt"
    assert event["severity"] == "ERROR"
    assert _counts(instrumented) == [("sv_code_execution", 1.0)]
    if not kind.startswith("bare"):
        (span,) = instrumented.spans()
        assert (span.attributes or {})["sandbox.verdict.status"] == "OK"
        assert (span.attributes or {})["torch.model.format"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_code_that_torch_refuses_to_run(
    instrumented: Telemetry, torch: Any, tmp_path: Path, canary: Path, kind: str
) -> None:
    file = _save(torch, Running(canary), tmp_path / "net.pt", kind)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)
    assert not canary.exists(), "neither torch nor the telemetry runs it"
    event = _event(instrumented)
    assert event["sandbox.violation.type"] == "sv_unsafe_pickle"
    assert event["sandbox.violation.action"] == "refused"
    assert event["torch.load.risk_level"] == "high"
    (span,) = instrumented.spans()
    assert (span.attributes or {})["sandbox.verdict.status"] == "SV"
    assert _counts(instrumented) == [("sv_unsafe_pickle", 1.0)]


def test_a_class_of_the_program_is_graded_lower(instrumented: Telemetry, torch: Any, tmp_path: Path) -> None:
    torch.load(_save(torch, Honest(), tmp_path / "net.pt", "zip"), weights_only=False)
    event = _event(instrumented)
    assert event["sandbox.violation.type"] == "sv_unsafe_globals"
    assert event["torch.load.risk_level"] == "medium"
    assert event["torch.load.globals"] == (f"{Honest.__module__} Honest",)
    assert event["severity"] == "WARN"
    assert _counts(instrumented) == [("sv_unsafe_globals", 1.0)]


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_no_event(
    instrumented: Telemetry, torch: Any, net: Any, tmp_path: Path, zipped: bool
) -> None:
    state = collections.OrderedDict(net.state_dict(), step=torch.tensor(1, dtype=torch.int8))
    torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    for weights_only in (True, False):
        torch.load(tmp_path / "net.pt", weights_only=weights_only)
    assert instrumented.logs("sandbox.security") == []
    assert _counts(instrumented) == []


@pytest.mark.since_torch("2.5", "safe_globals")
def test_what_the_program_allows_is_no_event(instrumented: Telemetry, torch: Any, tmp_path: Path) -> None:
    file = _save(torch, Honest(), tmp_path / "net.pt", "zip")
    with torch.serialization.safe_globals([Honest]):
        torch.load(file, weights_only=True)
    assert instrumented.logs("sandbox.security") == []


_TRUNCATED = {
    "no end": b"cposix\nsystem\n(S'touch canary'\ntR",
    "no such opcode": b"cposix\nsystem\n(S'touch canary'\ntR\xff",
    "strings in the memo": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "instance": b"(S'touch canary'\niposix\nsystem\n.",
}


@pytest.mark.parametrize("how", _TRUNCATED)
def test_hidden_and_truncated_names(
    instrumented: Telemetry, torch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception):  # noqa: B017, PT011 -- each torch raises another one
        torch.load(io.BytesIO(_TRUNCATED[how]), weights_only=True)
    assert not (tmp_path / "canary").exists()
    (span,) = instrumented.spans()
    assert (span.attributes or {})["sandbox.verdict.status"] == "SV"
    assert _event(instrumented)["torch.load.risk_level"] == "high"


def test_positions_of_open_files_stay(instrumented: Telemetry, torch: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO(b"before")
    buffer.seek(6)
    torch.save([1, 2], buffer, _use_new_zipfile_serialization=False)
    buffer.seek(6)
    assert torch.load(buffer, weights_only=False) == [1, 2]
    (tmp_path / "file").write_bytes(buffer.getvalue())
    with (tmp_path / "file").open("rb") as file:
        file.seek(6)
        assert torch.load(file, weights_only=False) == [1, 2]


def test_files_of_the_program_are_not_read_by_us(instrumented: Telemetry, torch: Any) -> None:
    calls: list[str] = []

    class Mine(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            calls.append("read")
            return super().read(size)

    whole = io.BytesIO()
    torch.save([1], whole, _use_new_zipfile_serialization=False)
    torch.load(Mine(whole.getvalue()), weights_only=False)
    seen = len(calls)
    from sandscope_instrumentation_torch import TorchInstrumentor

    TorchInstrumentor().uninstrument()
    calls.clear()
    torch.load(Mine(whole.getvalue()), weights_only=False)
    assert seen == len(calls)


def test_a_load_with_a_pickle_inside_another_load_is_graded(
    instrumented: Telemetry, torch: Any, tmp_path: Path, canary: Path
) -> None:
    file = _save(torch, Running(canary), tmp_path / "shard.bin", "zip")

    class Loading(io.BytesIO):
        """Loads another file when it is read."""

        def read(self, size: int | None = -1) -> bytes:
            if not canary.exists():
                torch.load(file, weights_only=False)
            return super().read(size)

    with pytest.raises(Exception):  # noqa: B017, PT011 -- it is no model
        torch.load(Loading(b"nothing"), weights_only=True)
    assert [span.name for span in instrumented.spans()] == ["load torch"]
    assert _event(instrumented)["torch.model.file"] == "shard.bin"


class Nested:
    """Unpickling it loads bytes as a tensor's are loaded."""

    def __init__(self, torch: Any, what: Any) -> None:
        content = io.BytesIO()
        torch.save(what, content)
        self.reduced = torch.storage._load_from_bytes, (content.getvalue(),)

    def __reduce__(self) -> Any:
        return self.reduced


def test_a_pickle_of_a_model_is_no_load_of_each_tensor(instrumented: Telemetry, torch: Any) -> None:
    """Python's own `pickle`, as of a `multiprocessing.Pool`, loads each tensor by `torch.load`."""
    model = torch.nn.Linear(4, 2)
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301 -- made here
    assert torch.equal(copied.weight, model.weight)
    assert instrumented.spans() == []


def test_code_that_is_hidden_in_a_tensor_of_a_pickle(
    instrumented: Telemetry, torch: Any, canary: Path
) -> None:
    pickled = pickle.dumps(Nested(torch, Running(canary)))
    assert instrumented.spans() == []
    assert not canary.exists()
    pickle.loads(pickled)  # noqa: S301 -- made here
    assert canary.exists(), "the program runs it, as without instrumentation"
    event = _event(instrumented)
    assert (event["torch.load.risk_level"], event["severity"]) == ("high", "ERROR")


def test_a_load_without_a_caller(instrumented: Telemetry, torch: Any, tmp_path: Path) -> None:
    """A thread that is started on the function itself has no frame below it."""
    import _thread

    torch.save({"weights": torch.ones(2)}, tmp_path / "weights.pt")
    _thread.start_new_thread(torch.load, (tmp_path / "weights.pt",))
    for _ in range(1000):
        if instrumented.spans():
            break
        time.sleep(0.01)
    assert [span.name for span in instrumented.spans()] == ["load torch"]
