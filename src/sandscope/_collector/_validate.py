"""Check the Collector's configuration."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandscope._collector._composition import Composition
from sandscope._errors import SandscopeError


def validate(otelcol: Path, composition: Composition, environment: Mapping[str, str] | None = None) -> None:
    """Run `otelcol validate`, which takes about 50 ms.

    Args:
        otelcol: the Collector's binary.
        composition: the files to check.
        environment: the environment variables that the files read; by default those of this process.

    Raises:
        SandscopeError: if it is not valid; with the Collector's own message and the names of the files.
    """
    command = [str(otelcol), "validate", *composition.arguments]
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", env=environment
        )
    except OSError as error:
        raise SandscopeError(
            f"Cannot run {str(otelcol)!r}: {error.strerror}. Run `pip install 'sandscope[collector]'`."
        ) from error
    if ended.returncode:
        raise rejected(composition, ended.stderr)


def rejected(composition: Composition, output: str) -> SandscopeError:
    """Return the error for a Collector that rejected its configuration or did not start.

    Args:
        composition: its files.
        output: its output.
    """
    # The Collector's error message begins with this; its log lines begin with a date.
    message = re.search(r"^Error: (.*)", output, re.MULTILINE | re.DOTALL)
    text = message[1] if message else "\n".join(output.splitlines()[-5:])
    own = " or ".join(str(file) for file in composition.own_files)
    advice = f"Correct {own}" if own else "Use other overlays"
    if "no such file" in text and composition.uses("SANDSCOPE_CERTIFICATES"):
        advice = "Make the files with `sandscope collector certificates`, or set SANDSCOPE_CERTIFICATES to their folder"
    said = text.strip() or "it exited without a message"
    return SandscopeError(f"Cannot run the Collector with {str(composition)!r}: {said}\n{advice}.")
