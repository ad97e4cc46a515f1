"""Find the Collector's binary."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandscope._errors import SandscopeError

ENVIRONMENT_VARIABLE = "SANDSCOPE_OTELCOL"


def find_otelcol(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of `otelcol`: from the argument, SANDSCOPE_OTELCOL, the wheel or PATH, in this order.

    Args:
        explicit: the binary to use, if the caller chooses one.

    Returns:
        The absolute path of an executable file.

    Raises:
        SandscopeError: if there is none, or if the chosen one cannot be executed.
    """
    if explicit is not None:
        return _named(explicit, "Give another path")
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        return _named(from_environment, f"Correct or unset {ENVIRONMENT_VARIABLE}")
    bundled = _bundled()
    if bundled is not None and _is_executable(bundled):
        return bundled
    on_path = shutil.which("otelcol")
    if on_path is not None:
        return Path(on_path).absolute()
    raise SandscopeError(
        "Cannot find 'otelcol': looked at "
        f"the {ENVIRONMENT_VARIABLE} variable (not set), "
        f"the package sandscope-collector ({bundled or 'not installed'}) "
        f"and PATH ({os.environ.get('PATH', '')}). "
        "Run `pip install 'sandscope[collector]'`."
    )


def _named(path: str | os.PathLike[str], action: str) -> Path:
    found = Path(path).absolute()
    if not _is_executable(found):
        cause = "it cannot be executed" if found.exists() else "there is no such file"
        raise SandscopeError(f"Cannot use otelcol {str(found)!r}: {cause}. {action}.")
    return found


def _bundled() -> Path | None:
    try:
        import sandscope_collector
    except ImportError:
        return None
    return Path(sandscope_collector.binary())


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
