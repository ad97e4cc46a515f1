"""Run the command line with ``python -m sandscope``."""

import sys

from sandscope._cli.main import main

sys.exit(main())
