"""Submissions with known verdicts, as a judge gets them."""

from __future__ import annotations

from corpus._c import C
from corpus._python import PYTHON
from corpus._shell import SHELL

SUBMISSIONS = (*C, *PYTHON, *SHELL)
