"""Sets the clock of the programs back, and of them only: the stores and the Collector keep the machine's."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path


class Clock:
    """A library that programs preload, and the file from which it reads by how much to move their time of day.

    Attributes:
        environment: the variables of such a program.
    """

    def __init__(self, library: Path, offset: Path) -> None:
        """Set the clock to the machine's."""
        self._offset = offset
        self.environment = {"LD_PRELOAD": str(library), "SANDSCOPE_FAULTS_CLOCK": str(offset)}
        self._offset.write_bytes(struct.pack("@q", 0))

    def set_back(self, seconds: int) -> None:
        """Set it to this many seconds before the machine's, at once and in all programs."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("@q", -seconds))


def build(folder: Path) -> Clock | None:
    """Return the programs' clock; None if there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return Clock(library, folder / "clock")
