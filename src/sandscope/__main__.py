"""``python -m sandscope`` is ``sandscope``."""

import sys

from sandscope._cli.main import main

sys.exit(main())
