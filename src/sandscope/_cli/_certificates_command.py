"""`sandscope collector certificates`: make what the overlays `secure` and `mutual-tls` need, and show it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sandscope._collector import _certificates
from sandscope._collector._credentials import DEFAULT_FOLDER, FOLDER, Credentials
from sandscope._errors import SandscopeError
from sandscope._say import say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Create a certificate authority, a certificate for the Collector and one for programs, a token and a\n"
        "password, unless they exist, and show when the certificates expire. No secret is printed."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    variable, default = FOLDER, DEFAULT_FOLDER
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help=f"for the files (default: {variable}, else {default})"
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or address of the Collector; may be repeated",
    )
    parser.add_argument(
        "--days",
        type=int,
        default=_certificates.DAYS,
        help="for which certificates are valid (default: %(default)s)",
    )
    parser.add_argument(
        "--renew",
        action="store_true",
        help="replace both certificates; the authority, the token and the password stay the same",
    )
    parser.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.days <= 3650:
        raise SandscopeError(
            f"Cannot make certificates for {arguments.days} days. Give --days from 1 to 3650."
        )
    chosen = arguments.folder or os.environ.get(FOLDER) or DEFAULT_FOLDER
    folder = Path(chosen).absolute()
    made = _certificates.make(folder, arguments.host, days=arguments.days, renew=arguments.renew)
    said = ", ".join(path.name for path in made)
    lines = [
        f"made {said} in {folder}"
        if made
        else f"nothing to create: all files are in {folder}; --renew replaces both certificates"
    ]
    found = _certificates.read(folder)
    for each in found:
        state = "EXPIRED" if each.expired else "valid until"
        lines.append(
            f"{each.path.name:11} {state} {each.until}" + (f", for {each.hosts}" if each.hosts else "")
        )
    lines += [
        f"to run: {FOLDER}={folder} sandscope collector run local secure",
        "for programs: export OTEL_EXPORTER_OTLP_ENDPOINT=https://localhost:4318 "
        f"{Credentials(folder / 'ca.pem', folder / 'token', None)}",
    ]
    for line in lines:
        say(line, stream=sys.stdout)
    return 1 if any(each.expired for each in found) else 0
