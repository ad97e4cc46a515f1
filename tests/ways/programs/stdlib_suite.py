"""Run tests of CPython and write the outcomes to a file: REPORT [--instrument] TEST ..."""

from __future__ import annotations

import json
import os
import sys
import time
import unittest
from pathlib import Path

# It contains the folder of the stock wrapper. Hundreds of Python children would each load the SDK; this suite tests
# the process that starts them.
os.environ.pop("PYTHONPATH", None)


def main() -> None:
    """Run the tests. The suites of pools start processes that import this module."""
    report, *names = sys.argv[1:]
    if names[0] == "--instrument":
        import sandscope.auto  # noqa: F401 -- instruments this process

        del names[0]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    began = time.monotonic()
    result = unittest.TextTestRunner().run(suite)
    outcomes = {
        "seconds": time.monotonic() - began,
        "ran": result.testsRun,
        "skipped": sorted(test.id() for test, _ in result.skipped),
        "failed": {test.id(): text for test, text in result.failures + result.errors},
    }
    Path(report).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main()
