"""The platforms and Pythons that have wheels."""

from __future__ import annotations

from dataclasses import dataclass

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Platform:
    """A platform, in the words of those who need to know it."""

    name: str
    goos: str
    goarch: str
    zig: str
    """Zig's target, with the oldest glibc or macOS that it has to run on."""
    python: str
    """What `sysconfig.get_platform()` returns there."""
    extension: str
    """The end of an extension module's name, after `.cpython-311-`."""
    tag: str
    """The wheel's tag for the extension."""
    link: tuple[str, ...] = ()
    """The linker's options besides ``-shared``."""

    @property
    def environment(self) -> dict[str, str]:
        """Return Go's variables."""
        return {"GOOS": self.goos, "GOARCH": self.goarch}


# An extension finds Python's functions in the program that loads it; macOS's linker has to be told so.
_MACOS = ("-undefined", "dynamic_lookup")

PLATFORMS = (
    Platform(
        name="linux-x86_64",
        goos="linux",
        goarch="amd64",
        zig="x86_64-linux-gnu.2.17",
        python="linux-x86_64",
        extension="x86_64-linux-gnu.so",
        tag="manylinux_2_17_x86_64",
    ),
    Platform(
        name="linux-aarch64",
        goos="linux",
        goarch="arm64",
        zig="aarch64-linux-gnu.2.17",
        python="linux-aarch64",
        extension="aarch64-linux-gnu.so",
        tag="manylinux_2_17_aarch64",
    ),
    Platform(
        name="macos-x86_64",
        goos="darwin",
        goarch="amd64",
        zig="x86_64-macos.12.0",
        python="macosx-12.0-x86_64",
        extension="darwin.so",
        tag="macosx_12_0_x86_64",
        link=_MACOS,
    ),
    Platform(
        name="macos-arm64",
        goos="darwin",
        goarch="arm64",
        zig="aarch64-macos.12.0",
        python="macosx-12.0-arm64",
        extension="darwin.so",
        tag="macosx_12_0_arm64",
        link=_MACOS,
    ),
)
