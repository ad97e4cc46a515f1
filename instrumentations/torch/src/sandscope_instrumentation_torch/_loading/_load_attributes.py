"""Attributes of a load: its model file, of whose path only the last part is recorded, and its size."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path
from typing import Any

from sandscope.instrumentation import Site, Value
from sandscope_instrumentation_torch._messages import last_part

_TRUE = {"1", "y", "yes", "true"}
_CHUNK = 1 << 20
_PARAMETERS = {
    "safetensors": "filename",
    "transformers": "pretrained_model_name_or_path",
}
"""The name of the parameter that is the source; `f` for torch's own functions."""
_POSITIONS = {"transformers": 1}  # after the class


def source_of(site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a load reads: a path as a string, an open file, or None.

    Args:
        site: of the load.
        args: of the load.
        kwargs: of the load.
    """
    api = str(site.attributes["torch.load.api"])
    at = _POSITIONS.get(api, 0)
    source = args[at] if len(args) > at else kwargs.get(_PARAMETERS.get(api, "f"))
    return os.fsdecode(source) if isinstance(source, (str, bytes, os.PathLike)) else source


def file_attributes(api: Value, source: Any, *, sha256: bool) -> dict[str, Value]:
    """Return the attributes of the file that is loaded.

    Args:
        api: the function that loads, a value of ``torch.load.api``.
        source: what it reads.
        sha256: whether a regular file is hashed.
    """
    found: dict[str, Value] = {}
    if api == "safetensors":
        found["torch.model.format"] = "safetensors"
    if isinstance(source, str):
        found["torch.model.file"] = last_part(source)
        try:
            status = Path(source).stat()
        except OSError:
            return found  # The load is about to say so; or it is a name in the hub of transformers.
        if stat.S_ISREG(status.st_mode):
            found["torch.model.size"] = status.st_size
            if sha256:
                found["torch.model.sha256"] = _sha256(source)
    elif isinstance(source, (io.BufferedReader, io.FileIO)):
        if isinstance(source.name, (str, bytes)):
            found["torch.model.file"] = last_part(os.fsdecode(source.name))
        status = os.fstat(source.fileno())
        if stat.S_ISREG(status.st_mode):
            found["torch.model.size"] = status.st_size
    return found


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def weights_only(torch: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether ``torch.load`` accepts only weights: by its argument, the environment or the default."""
    if _is_set("TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        return True
    given = kwargs.get("weights_only")
    if given is not None:
        return bool(given)
    # torch before 2.6 does not have this function, and loads any object.
    default = getattr(torch.serialization, "_default_to_weights_only", lambda _pickle_module: False)
    pickle_module = args[2] if len(args) > 2 else kwargs.get("pickle_module")
    return bool(default(pickle_module)) and not _is_set("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in _TRUE
