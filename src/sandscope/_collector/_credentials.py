"""What a program needs to send to a Collector with overlay `secure` or `mutual-tls`, as OpenTelemetry's variables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sandscope._collector._composition import Composition
from sandscope._errors import SandscopeError

FOLDER = "SANDSCOPE_CERTIFICATES"
DEFAULT_FOLDER = "sandscope-certificates"

_AUTHORIZATION = "authorization"


class Credentials(NamedTuple):
    """The files that a program needs; None where the Collector does not ask for it.

    Attributes:
        authority: the certificate of the Collector's authority.
        token: the file with the token.
        client: the certificate of a program, and its key.
    """

    authority: Path
    token: Path | None
    client: tuple[Path, Path] | None

    def variables(self, signal: str, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables for a signal: other endpoints of the program must not get the token.

        Args:
            signal: such as ``TRACES``.
            environment: of the program; its other headers are kept.

        Raises:
            SandscopeError: if the token cannot be read.
        """
        prefix = f"OTEL_EXPORTER_OTLP_{signal}"
        found = {f"{prefix}_CERTIFICATE": str(self.authority)}
        if self.client is not None:
            names = ("CLIENT_CERTIFICATE", "CLIENT_KEY")
            found |= {f"{prefix}_{name}": str(path) for name, path in zip(names, self.client, strict=True)}
        if self.token is not None:
            own = environment.get(f"{prefix}_HEADERS") or environment.get("OTEL_EXPORTER_OTLP_HEADERS") or ""
            headers = [
                each for each in own.split(",") if each.partition("=")[0].strip().lower() != _AUTHORIZATION
            ]
            authorization = f"{_AUTHORIZATION}=Bearer%20{quote(_read(self.token), safe='')}"
            found[f"{prefix}_HEADERS"] = ",".join([*filter(None, headers), authorization])
        return found

    def __str__(self) -> str:
        """Return the assignments for a shell, which does not show the token."""
        quoted = {
            "CERTIFICATE": shlex.quote(str(self.authority)),
            **({} if self.token is None else {"HEADERS": _shown(self.token)}),
        }
        if self.client is not None:
            quoted |= {
                name: shlex.quote(str(path))
                for name, path in zip(("CLIENT_CERTIFICATE", "CLIENT_KEY"), self.client, strict=True)
            }
        return " ".join(f"OTEL_EXPORTER_OTLP_{name}={value}" for name, value in quoted.items())


def credentials_for(composition: Composition) -> Credentials | None:
    """Return what the overlays ask for, from the folder with the certificates; None if they ask for nothing."""
    if not composition.uses(FOLDER):
        return None
    folder = Path(os.environ.get(FOLDER) or DEFAULT_FOLDER).absolute()
    return Credentials(
        folder / "ca.pem",
        folder / "token" if composition.uses("bearertokenauth") else None,
        (folder / "client.pem", folder / "client-key.pem") if composition.uses("client_ca_file") else None,
    )


def _read(token: Path) -> str:
    try:
        return token.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SandscopeError(
            f"Cannot read the token {str(token)!r}: {error}. Make it with `sandscope collector certificates`."
        ) from error


def _shown(token: Path) -> str:
    return f'"{_AUTHORIZATION}=Bearer%20$(cat {shlex.quote(str(token))})"'
