"""`python -m diffcore` is the command `diffcore`."""

import sys

from .cli import main

sys.exit(main())
