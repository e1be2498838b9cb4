"""python -m intgrad is the intgrad command."""

import sys

from .cli import main

sys.exit(main())
