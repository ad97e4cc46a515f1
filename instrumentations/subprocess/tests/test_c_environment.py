"""The environment of the C library, read again for each child: only the number of variables is remembered."""

from __future__ import annotations

import ctypes
import subprocess
import sys

from sandscope_instrumentation_subprocess._c_environment import c_environment

_library = ctypes.CDLL(None)


def test_reads_what_c_code_adds_changes_and_removes() -> None:
    before = c_environment()
    assert c_environment() == before
    for value in (b"1", b"22", b"1"):
        _library.setenv(b"SANDSCOPE_TEST", value, 1)
        assert c_environment() == [*before, b"SANDSCOPE_TEST=" + value]
    _library.unsetenv(b"SANDSCOPE_TEST")
    assert c_environment() == before


def test_reads_what_c_code_changes_in_place() -> None:
    entry = ctypes.create_string_buffer(b"SANDSCOPE_TEST=old")
    _library.putenv(entry)
    try:
        assert b"SANDSCOPE_TEST=old" in c_environment()
        entry.value = b"SANDSCOPE_TEST=new"
        assert b"SANDSCOPE_TEST=new" in c_environment()
    finally:
        _library.unsetenv(b"SANDSCOPE_TEST")


def test_an_environment_that_c_code_clears() -> None:
    code = (
        "import ctypes, os\n"
        "from sandscope_instrumentation_subprocess._c_environment import c_environment\n"
        "assert c_environment()\n"
        "ctypes.CDLL(None).clearenv()\n"
        "assert c_environment() == []\n"
        "os.putenv('A', '1')\n"
        "assert c_environment() == c_environment() == [b'A=1']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
