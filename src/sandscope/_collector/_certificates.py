"""The certificates of a Collector, and of the programs that send to it, made with `openssl`."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sandscope._errors import SandscopeError

HOSTS = ("localhost", "127.0.0.1", "::1")
"""The names of this machine that every certificate of a Collector has."""
YEARS_OF_CA = 10
DAYS = 397

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_CONFIGURATION = """\
[req]
distinguished_name = name
prompt = no
[name]
O = Sandscope
CN = {name}
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
subjectAltName = {hosts}
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
"""


class Certificate(NamedTuple):
    """A certificate in a folder.

    Attributes:
        path: of its file.
        until: when it expires, as `openssl` says it.
        expired: whether it has expired.
        hosts: the names that it is for.
    """

    path: Path
    until: str
    expired: bool
    hosts: str


def make(folder: Path, hosts: Sequence[str] = (), *, days: int = DAYS, renew: bool = False) -> list[Path]:
    """Make what is missing: an authority, a certificate of the Collector and of a client, a token, a password.

    Args:
        folder: for the files; created with rights for its owner only.
        hosts: further names and addresses by which programs reach the Collector.
        days: for which certificates are valid; the authority's: ten years.
        renew: make the two certificates anew, with the same authority. Nothing else is ever replaced.

    Returns:
        The files that have been made.

    Raises:
        SandscopeError: if there is no `openssl`, if a name is none, or if a file cannot be written.
    """
    if shutil.which("openssl") is None:
        raise SandscopeError(
            "Cannot make certificates: there is no `openssl`. Install it, for example by apt."
        )
    names = _alternative_names((*HOSTS, *hosts))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _make_all(folder, names, days, renew=renew)
    except OSError as error:
        raise SandscopeError(
            f"Cannot write certificates to {str(folder)!r}: {error.strerror}. Choose another folder with --folder."
        ) from error


def read(folder: Path) -> list[Certificate]:
    """Return the certificates of a folder."""
    return [
        _described(path) for name in ("ca", "server", "client") if (path := folder / f"{name}.pem").exists()
    ]


def _make_all(folder: Path, names: str, days: int, *, renew: bool) -> list[Path]:
    made = []
    if not (folder / "ca.pem").exists():
        made += _authority(folder)
    for kind in ("server", "client"):
        if renew or not (folder / f"{kind}.pem").exists():
            made += _signed(folder, kind, names, days)
    for name in ("token", "metrics-password"):
        if not (folder / name).exists():
            made.append(_write(folder / name, secrets.token_urlsafe(32).encode()))
    if not (folder / "htpasswd").exists():
        password = (folder / "metrics-password").read_bytes()
        hashed = _openssl("passwd", "-6", "-stdin", given=password).strip()
        made.append(_write(folder / "htpasswd", b"prometheus:" + hashed + b"\n"))
    return made


def _authority(folder: Path) -> list[Path]:
    key = _new_key()
    with _Configured("Sandscope authority", "DNS:localhost", key) as (configuration, key_file):
        certificate = _openssl(
            *("req", "-x509", "-new", "-sha256", "-days", str(365 * YEARS_OF_CA), "-key", key_file),
            *("-config", configuration, "-extensions", "ca"),
        )
    return [_write(folder / "ca-key.pem", key), _write(folder / "ca.pem", certificate, 0o644)]


def _signed(folder: Path, kind: str, names: str, days: int) -> list[Path]:
    if not (folder / "ca-key.pem").exists():
        raise SandscopeError(
            f"Cannot make {kind}.pem: the key of the authority, {str(folder / 'ca-key.pem')!r}, is not there. "
            "Put it back for this command, or create everything again in another folder."
        )
    key = _new_key()
    with _Configured(f"Sandscope {kind}", names, key) as (configuration, key_file):
        request = _openssl("req", "-new", "-sha256", "-key", key_file, "-config", configuration)
        certificate = _openssl(
            *("x509", "-req", "-sha256", "-days", str(days), "-set_serial", f"0x{secrets.token_hex(16)}"),
            *("-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca-key.pem")),
            *("-extfile", configuration, "-extensions", kind),
            given=request,
        )
    return [
        _write(folder / f"{kind}-key.pem", key, replace=True),
        _write(folder / f"{kind}.pem", certificate, 0o644, replace=True),
    ]


class _Configured:
    """A context manager: the names of a configuration for `openssl` and of a key, in files only this user can read."""

    def __init__(self, name: str, hosts: str, key: bytes) -> None:
        self._texts = _CONFIGURATION.format(name=name, hosts=hosts).encode(), key
        self._folder = tempfile.TemporaryDirectory(prefix="sandscope-")

    def __enter__(self) -> tuple[str, str]:
        folder = Path(self._folder.__enter__())  # with rights for this user only
        files = folder / "openssl.cnf", folder / "key.pem"
        for file, text in zip(files, self._texts, strict=True):
            _write(file, text)
        return str(files[0]), str(files[1])

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _new_key() -> bytes:
    return _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def _write(path: Path, content: bytes, mode: int = 0o600, *, replace: bool = False) -> Path:
    """Write a file as a whole, with its rights from the beginning."""
    target = path.with_name(f".{path.name}.new") if replace else path
    if replace:
        with suppress(FileNotFoundError):
            target.unlink()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    if replace:
        target.replace(path)
    return path


def _alternative_names(hosts: Sequence[str]) -> str:
    names = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(f"IP:{ipaddress.ip_address(host)}")
        except ValueError:
            if not _HOST.fullmatch(host):
                raise SandscopeError(
                    f"Cannot make a certificate for {host!r}: it is not the name or address of a host. "
                    "Give names without a scheme and a port."
                ) from None
            names.append(f"DNS:{host}")
    return ", ".join(names)


def _described(path: Path) -> Certificate:
    said = _openssl("x509", "-noout", "-enddate", "-in", str(path)).decode()
    text = _openssl("x509", "-noout", "-text", "-in", str(path)).decode(errors="replace")
    hosts = re.search(r"Subject Alternative Name:[^\n]*\n\s*([^\n]+)", text)
    expired = subprocess.run(
        ["openssl", "x509", "-noout", "-checkend", "0", "-in", str(path)], capture_output=True, check=False
    )
    until = said.partition("=")[2].strip()
    return Certificate(path, until, expired.returncode != 0, hosts[1].strip() if hosts else "")


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    ended = subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=False)
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise SandscopeError(f"Cannot make certificates: `openssl {arguments[0]}` says: {said[0]}")
    return ended.stdout
