"""Attributes of a load: its model file, of whose path only the last part is recorded, and its size."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

from sandscope.instrumentation import Value, report_error

_TRUE = {"1", "y", "yes", "true"}


def load_attributes(torch: Any, api: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Value]:
    """Return the attributes of a load, from its arguments.

    Args:
        torch: the module.
        api: the function that loads, a value of ``torch.load.api``.
        args: of the load.
        kwargs: of the load.
    """
    attributes: dict[str, Value] = {}
    try:
        if api == "torch":
            attributes["torch.load.weights_only"] = _weights_only(torch, args, kwargs)
        source = args[0] if args else kwargs.get("f")
        if isinstance(source, (str, os.PathLike)):
            path = os.fsdecode(source)
            attributes["torch.model.file"] = Path(path).name
            status = Path(path).stat()
            if stat.S_ISREG(status.st_mode):
                attributes["torch.model.size"] = status.st_size
        elif isinstance(source, (io.BufferedReader, io.FileIO)):
            if isinstance(source.name, (str, bytes)):
                attributes["torch.model.file"] = Path(os.fsdecode(source.name)).name
            attributes["torch.model.size"] = os.fstat(source.fileno()).st_size
    except (OSError, ValueError):
        pass  # The file does not exist or is closed: torch is about to raise an error that says so.
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("torch.load_attributes", error)
    return attributes


def path_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Return the path that a load was given, if it was given one."""
    source = args[0] if args else kwargs.get("f")
    if isinstance(source, (io.BufferedReader, io.FileIO)):
        source = source.name
    return [os.fsdecode(source)] if isinstance(source, (str, bytes, os.PathLike)) else []


def _weights_only(torch: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
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
