"""Of the paths in an exception's message only the last part is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import Telemetry
from sandscope_instrumentation_torch._messages import message_without_folders

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("cannot open /home/jane/models/net.pt", "cannot open net.pt"),
        ("cannot open '/home/jane doe/my models/net.pt': denied", "cannot open 'net.pt': denied"),
        (r"cannot open C:\Users\jane\net.pt", "cannot open net.pt"),
        ("see ~/jane/notes.txt and ./jane/net.pt", "see notes.txt and net.pt"),
        ("in jane/net.pt", "in net.pt"),
        ("https://jane:secret@example.org/a/net.pt failed", "net.pt failed"),
        ("mat1 and mat2 shapes cannot be multiplied (1x3 and 4x8)",) * 2,
        ("N/A: either and/or both, 3/4 of it",) * 2,
        ("/", ""),
    ],
)
def test_folders_are_left_out(message: str, expected: str) -> None:
    assert message_without_folders(ValueError(message)) == expected


def test_the_path_of_an_os_error_is_known_however_it_looks(tmp_path: Path) -> None:
    folder = tmp_path / "a 'quoted' folder"
    with pytest.raises(FileNotFoundError) as raised:
        (folder / "net.pt").open()
    assert "quoted" not in message_without_folders(raised.value)


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_forward_that_names_a_file(
    instrumented: Telemetry, torch: Any, calling: Any, tmp_path: Path
) -> None:
    secret = tmp_path / "secret folder" / "weights.bin"
    with pytest.raises(FileNotFoundError):
        calling(secret.open)()
    (log,) = instrumented.logs("sandbox.execution")
    message = (log.log_record.attributes or {})["exception.message"]
    assert message == "[Errno 2] No such file or directory: 'weights.bin'"


@pytest.mark.parametrize("api", ["torch", "jit", "export"])
def test_a_load_of_a_missing_file(instrumented: Telemetry, torch: Any, tmp_path: Path, api: str) -> None:
    load = torch.load if api == "torch" else getattr(torch, api).load
    secret = tmp_path / "secret folder" / "net.pt"
    with pytest.raises((FileNotFoundError, ValueError)):
        load(str(secret))
    (log,) = instrumented.logs("sandbox.execution")
    message = str((log.log_record.attributes or {})["exception.message"])
    assert "net.pt" in message
    assert "secret" not in message
    assert str(tmp_path) not in message
