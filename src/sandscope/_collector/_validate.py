"""Ask the Collector whether it would start."""

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
        composition: the files to look at.
        environment: the variables that the files read; those of this process by default.

    Raises:
        SandscopeError: with the Collector's own message and the names of the files.
    """
    command = [str(otelcol), "validate", *composition.arguments]
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", env=environment
        )
    except OSError as error:
        raise SandscopeError(
            f"Cannot run {str(otelcol)!r}: {error.strerror}. Run `pip install sandscope-collector`."
        ) from error
    if ended.returncode:
        raise refused(composition, ended.stderr)


def refused(composition: Composition, output: str) -> SandscopeError:
    """Return the error for a Collector that did not accept its configuration, or did not start.

    Args:
        composition: its files.
        output: what it wrote before it ended.
    """
    # What the Collector says of its own end begins so; its log lines begin with a date.
    message = re.search(r"^Error: (.*)", output, re.MULTILINE | re.DOTALL)
    said = message[1] if message else "\n".join(output.splitlines()[-5:])
    own = " or ".join(str(file) for file in composition.own_files)
    return SandscopeError(
        f"Cannot run the Collector with {str(composition)!r}: {said.strip() or 'it ended without a word'}\n"
        f"{f'Correct {own}' if own else 'Use other overlays'}."
    )
