"""Check what is bundled for known vulnerabilities: ``make audit``.

Exit code 0: none is known. 1: some are. 3: a database could not be read, so nothing is known about that part.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOVULNCHECK = "golang.org/x/vuln/cmd/govulncheck@v1.1.4"
PIP_AUDIT = "pip-audit==2.9.0"
_TIMEOUT = 600
_FOUND = {"govulncheck": 3, "pip-audit": 1}
"""The exit code with which each says that it has found something."""
_UNREACHABLE = (
    "dial tcp",
    "no such host",
    "timeout",
    "Forbidden",
    "Connection",
    "fetching",
    "Failed to fetch",
    "404",
)


def main() -> int:
    """Run both checks, and say the result of each."""
    sys.path.insert(0, str(Path(__file__).parent))
    from build_otelcol import build, find_go

    go = find_go()
    uv = Path(sys.executable).with_name("uv")
    results = [
        _check("govulncheck", [str(go or "go"), "run", GOVULNCHECK, "-mode=binary", str(build())]),
        _check(
            "pip-audit",
            [
                str(uv),
                "tool",
                "run",
                "--from",
                PIP_AUDIT,
                "pip-audit",
                "--require-hashes",
                "--disable-pip",
                "-r",
                "requirements.lock",
            ],
        ),
    ]
    return max(results, key=(0, 3, 1).index)


def _check(name: str, command: list[str]) -> int:
    print(f"{name}: {' '.join(command)}", flush=True)
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{name}: NOT CHECKED: {error}")
        return 3
    text = (ended.stdout + ended.stderr).strip()
    if "could not be audited" in text:  # pip-audit skips what it cannot look up, and is content
        print(f"{name}: NOT CHECKED: {text.count('could not be audited')} packages could not be looked up.")
        return 3
    if ended.returncode == 0:
        print(f"{name}: no known vulnerability")
        return 0
    print(text)
    if ended.returncode != _FOUND[name] or any(reason in ended.stderr for reason in _UNREACHABLE):
        print(
            f"{name}: NOT CHECKED: its database cannot be read here. Run `make audit` where the network allows it."
        )
        return 3
    print(f"{name}: VULNERABLE: see above")
    return 1


if __name__ == "__main__":
    sys.exit(main())
