"""The programming language that a program runs or compiles, by the name of its executable."""

from __future__ import annotations

import re

LANGUAGE = "sandbox.language"
PYTHON = "python"

_PROGRAMS = {
    "c": ("cc", "gcc", "clang", "tcc"),
    "cpp": ("c++", "g++", "clang++"),
    "dotnet": ("dotnet",),
    "go": ("go",),
    "haskell": ("ghc", "runghc", "runhaskell"),
    "java": ("java", "javac"),
    "javascript": ("node", "nodejs", "deno", "bun"),
    "julia": ("julia",),
    "kotlin": ("kotlin", "kotlinc"),
    "lua": ("lua", "luajit"),
    "perl": ("perl",),
    "php": ("php",),
    PYTHON: ("python", "pypy"),
    "r": ("R", "Rscript"),
    "ruby": ("ruby",),
    "rust": ("rustc", "cargo"),
    "shell": ("sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "zsh"),
    "swift": ("swift", "swiftc"),
}

_LANGUAGES = {program: language for language, programs in _PROGRAMS.items() for program in programs}

_VERSION = re.compile(r"-?\d+(\.\d+)*t?(\.exe)?$|\.exe$")
"""As in ``python3.13t`` and ``gcc-12``."""


def language_of(program: str) -> str | None:
    """Return the language of a program, or None: a compiled program does not tell what it was written in.

    Args:
        program: the file name of its executable.
    """
    return _LANGUAGES.get(_VERSION.sub("", program))
