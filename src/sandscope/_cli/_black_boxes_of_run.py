"""The black boxes of a program that `sandscope run` runs: whatever ends its processes, this process reports it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sandscope import _settings
from sandscope._say import say

_OF_RUN = "run-"
_TIMEOUT = "OTEL_EXPORTER_OTLP_TIMEOUT"
"""Seconds for which an exporter tries: the end of the run does not wait longer than that of a program."""
_MOST_FOLDERS = 64
"""Folders of runs that have been killed themselves."""


@contextmanager
def recovered_at_end(environment: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the program's environment with a folder for its black boxes. Then send what its dead processes left there.

    Args:
        environment: the program's, which says where telemetry goes.
    """
    chosen = _settings.black_box_folder(compiled=False)  # not that of a run around this one
    folder = chosen
    if chosen is None and not _settings.sdk_disabled() and not _settings.black_boxes_are_off():
        folder = _new_folder()
    if folder is None:
        yield environment
        if not _settings.sdk_disabled():
            _send_kept(environment)
        return
    try:
        yield environment if chosen else {**environment, _settings.BLACK_BOX_OF_RUN: str(folder)}
    finally:
        try:
            _recover(folder, environment)
            _send_kept(environment)
        except Exception as error:  # noqa: BLE001 -- the run ends as the program did
            say(f"sandscope: cannot report what was running: {error}. Try: sandscope recover {folder}")
        if not chosen:
            with suppress(OSError):  # processes that still run have files there
                folder.rmdir()


def _new_folder() -> Path | None:
    """Return a new folder; None if it cannot be created."""
    base = _settings.default_black_box_folder()
    try:
        from sandscope._deferred._box_file import check_folder

        check_folder(base)
        _remove_left_folders(base)
        if len(list(base.glob(f"{_OF_RUN}*"))) >= _MOST_FOLDERS:
            return None
        folder = base / f"{_OF_RUN}{os.getpid()}-{os.urandom(4).hex()}"
        folder.mkdir(0o700)
    except (OSError, ImportError):
        return None
    return folder


def _remove_left_folders(base: Path) -> None:
    """Remove the folders of runs that have been killed themselves, unless something is in them."""
    for folder in base.glob(f"{_OF_RUN}*"):
        pid = folder.name.removeprefix(_OF_RUN).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with suppress(
                OSError
            ):  # a program that still runs, or that has not been reported, has files there
                folder.rmdir()


def _recover(folder: Path, environment: Mapping[str, str]) -> None:
    if not any(folder.glob("*.box")):
        return
    from sandscope import _recovery
    from sandscope._cli.recover import described

    own = dict(os.environ)
    _replace({_TIMEOUT: str(max(1, round(_settings.exit_timeout()))), **environment})
    try:
        result = _recovery.recover(folder)
    finally:
        _replace(own)
    if result.running or result.ended or result.unreadable or result.left:
        later = f" in {folder}; to send it later: sandscope recover {folder}" if result.left else ""
        say(f"sandscope: {described(result)}{later}")


def _send_kept(environment: Mapping[str, str]) -> None:
    """Send what the program has kept because the Collector did not take it then."""
    spool = _settings.spool_folder()
    if spool is None or not spool.is_dir():
        return
    from sandscope._spool._room import all_files

    if not all_files(spool):
        return
    from sandscope._cli.recover import send_kept

    own = dict(os.environ)
    _replace({_TIMEOUT: str(max(1, round(_settings.exit_timeout()))), **environment})
    try:
        send_kept(spool)
    finally:
        _replace(own)


def _replace(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
