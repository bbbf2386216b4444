"""``python -m rldlib`` is ``rld``."""

import sys

from rldlib.cli.main import main

sys.exit(main())
