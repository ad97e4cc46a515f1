"""Find the Collector's configuration files by the names of overlays."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sandscope._errors import SandscopeError

_CIRCLES = (("kafka", "gateway"),)
"""Overlays that would pass the same telemetry round for ever, if one Collector had both."""


@dataclass(frozen=True)
class Composition:
    """The configuration files of one Collector, in the order in which it merges them.

    Attributes:
        overlays: the requested names of overlays, and paths of the user's own files.
        files: the absolute paths of `base.yaml` and of the file of each overlay, in that order.
    """

    overlays: tuple[str, ...]
    files: tuple[Path, ...]

    @classmethod
    def of(cls, *overlays: str | os.PathLike[str]) -> Composition:
        """Compose the base with overlays.

        Args:
            overlays: names such as "local", or paths of YAML files. Repetitions are ignored.

        Raises:
            SandscopeError: if a name is unknown, a file is missing, two overlays would send to each other, or
                sandscope-collector is not installed.
        """
        folder = _configuration()
        known = _known(folder)
        requested = tuple(dict.fromkeys(os.fspath(overlay) for overlay in overlays))
        files = tuple(_file(overlay, known) for overlay in requested)
        _check_circles(requested)
        return cls(requested, (folder / "base.yaml", *files))

    @property
    def arguments(self) -> list[str]:
        """The arguments for `otelcol` and `otelcol validate`."""
        return [f"--config=file:{file}" for file in self.files]

    @property
    def own_files(self) -> list[Path]:
        """The user's own files."""
        base = self.files[0]
        return [file for file in self.files[1:] if file.parent != base.parent / "overlays"]

    def uses(self, variable: str) -> bool:
        """Return whether a file mentions this environment variable."""
        return any(variable in _text(file) for file in self.files)

    @property
    def writes_files(self) -> bool:
        """Whether an overlay writes telemetry into the data folder, besides the log and the queues."""
        return any("SANDSCOPE_DATA" in _text(file) for file in self.files[1:])

    def __str__(self) -> str:
        return " + ".join(("base", *self.overlays))


def overlays() -> dict[str, str]:
    """Return what each overlay adds, by its name, as the first line of its file says.

    Raises:
        SandscopeError: if sandscope-collector is not installed.
    """
    added = {}
    for name, path in _known(_configuration()).items():
        with path.open(encoding="utf-8") as file:
            added[name] = file.readline().removeprefix("# Adds ").strip().rstrip(".")
    return added


def _check_circles(requested: tuple[str, ...]) -> None:
    for sends, receives in _CIRCLES:
        if {sends, receives} <= set(requested):
            raise SandscopeError(
                f"Cannot combine {sends!r} and {receives!r}: what one sends, the other would receive again. "
                f"Run two Collectors: `sandscope collector run {sends}` and `sandscope collector run {receives} ...`."
            )


def _known(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((folder / "overlays").glob("*.yaml"))}


def _configuration() -> Path:
    try:
        import sandscope_collector
    except ImportError:
        raise SandscopeError(
            "Cannot find the Collector's configuration files: "
            "the package sandscope-collector is not installed. Run `pip install 'sandscope[collector]'`."
        ) from None
    return Path(sandscope_collector.configuration())


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _file(overlay: str, known: dict[str, Path]) -> Path:
    if overlay in known:
        return known[overlay]
    path = Path(overlay).absolute()
    if path.is_file():
        return path
    if path.suffix in {".yaml", ".yml"} or os.sep in overlay:
        raise SandscopeError(
            f"Cannot read {str(path)!r}: there is no such file. Give the path of a YAML file."
        )
    raise SandscopeError(
        f"Cannot use overlay {overlay!r}: there is no overlay of that name. "
        f"Use one of {', '.join(known)}, or the path of a YAML file."
    )
