"""`python -m diffcore.cli` is the command `diffcore`."""

import sys

from . import main

sys.exit(main())
