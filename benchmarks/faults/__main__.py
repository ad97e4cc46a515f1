"""Make faults happen, and print what they have cost; exit status 1 if something is lost that may not be."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom

from benchmarks.faults._account import Row, account, recovery
from benchmarks.faults._disk import small_disk
from benchmarks.faults._faults import FAULTS, ON_A_SMALL_DISK, VARIABLES
from benchmarks.faults._field import field, installed_runtimes
from benchmarks.faults._stores import Stores, stores
from benchmarks.faults._table import HEAD, line, write_json
from sandscope._errors import SandscopeError
from sandscope_collector.stores import StoresError


def main() -> int:
    """Parse the arguments, run the faults and print the table."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # what has been started is ended first
    seed = SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    print(f"seed {seed}; runtimes: {', '.join(installed_runtimes())}", flush=True)
    rows: list[Row] = []
    folder = Path(tempfile.mkdtemp(prefix="sandscope-faults-"))
    try:
        with stores(folder / "stores") as running:
            for number in range(1, arguments.rounds + 1):
                for name in arguments.only or FAULTS:
                    rows += _one(
                        name, number, seed, running, folder / f"{name}-{number}", short=arguments.short
                    )
    except (SandscopeError, StoresError) as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    finally:
        if arguments.keep:
            print(f"the files are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return _report(rows, seed, arguments.json)


def _one(name: str, number: int, seed: int, stores: Stores, folder: Path, *, short: bool) -> list[Row]:
    """Start the Collector and the programs, make one fault happen, and look up each execution."""
    say = _Progress(f"{name} {number}")
    say("starting the Collector and the programs")
    with ExitStack() as ends:
        disk = ends.enter_context(small_disk(folder / "disk")) if name in ON_A_SMALL_DISK else None
        if name in ON_A_SMALL_DISK and disk is None:
            say("left out: a small file system cannot be mounted here, which takes root")
            return []
        around = field(
            stores,
            folder,
            f"{name}-{number}",
            installed_runtimes(),
            disk=disk,
            variables=VARIABLES.get(name, {}),
        )
        running = ends.enter_context(around)
        time.sleep(1 if short else 3)
        say((FAULTS[name].__doc__ or "").splitlines()[0])
        chance = Random(f"{seed}-{number}-{name}")  # noqa: S311 -- to be repeated
        FAULTS[name](running, chance, short)
        say("over; waiting until all stores have everything")
        recovered = recovery(running, name)
        time.sleep(0 if short else 3)
        say("ending the programs, and looking up each execution")
        for program in running.programs:
            program.stop()
        rows = account(running, name, number, recovered)
    for row in rows:
        say(line(row))
    return rows


def _report(rows: list[Row], seed: int, json: Path | None) -> int:
    """Print the table, and return the exit status."""
    print(f"\n{HEAD}\n" + "\n".join(map(line, rows)))
    if json:
        write_json(rows, seed, json)
    lost = sum(row.unexplained for row in rows)
    print(f"\nlost and not counted, or counted and not lost: {lost}; the same again: --seed {seed}")
    return 1 if lost else 0


class _Progress:
    """Prints what happens, and when."""

    def __init__(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:5.1f} s] {self._name}: {text}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-faults", description=__doc__)
    parser.add_argument(
        "--seed", type=int, help="makes the same moments happen again; by default another each time"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault happens (1)")
    parser.add_argument("--only", action="append", choices=FAULTS, help="this fault only; may be repeated")
    parser.add_argument("--short", action="store_true", help="shorter faults")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="keep the files of the stores and the programs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
