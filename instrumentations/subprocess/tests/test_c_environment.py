"""The environment of the C library, as it is when a child starts."""

from __future__ import annotations

import ctypes
import subprocess
import sys

from sandscope_instrumentation_subprocess._starts._c_environment import c_environment

_library = ctypes.CDLL(None)


def test_reads_what_c_code_adds_changes_and_removes() -> None:
    before = c_environment()
    assert c_environment() is before, "it has not changed"
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
        "from sandscope_instrumentation_subprocess._starts._c_environment import c_environment\n"
        "assert c_environment()\n"
        "ctypes.CDLL(None).clearenv()\n"
        "assert c_environment() == []\n"
        "os.putenv('A', '1')\n"
        "assert c_environment() == c_environment() == [b'A=1']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_variables_that_are_anywhere_in_memory() -> None:
    """Some follow one another, as at the start of a process; one is there twice, and one is empty."""
    code = (
        "import ctypes\n"
        "from sandscope_instrumentation_subprocess._starts._c_environment import c_environment\n"
        "block = ctypes.create_string_buffer(b'A=1\\0B=22\\0\\0C=3')\n"
        "other = ctypes.create_string_buffer(b'D=4')\n"
        "a, d = ctypes.addressof(block), ctypes.addressof(other)\n"
        "pointers = (ctypes.c_void_p * 7)(d, a, a + 4, a + 9, a + 10, a, None)\n"
        "environ = ctypes.c_void_p.in_dll(ctypes.CDLL(None), 'environ')\n"
        "environ.value = ctypes.addressof(pointers)\n"
        "expected = [b'D=4', b'A=1', b'B=22', b'', b'C=3', b'A=1']\n"
        "assert c_environment() == expected\n"
        "assert c_environment() is c_environment()\n"
        "block[7] = b'3'\n"
        "assert c_environment() == [b'D=4', b'A=1', b'B=23', b'', b'C=3', b'A=1']\n"
        "pointers[0], pointers[1] = a, None\n"
        "assert c_environment() == [b'A=1']\n"
        "pointers[0] = None\n"
        "assert c_environment() == c_environment() == []\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
