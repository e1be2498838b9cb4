"""python -m intgrad is the intgrad command."""

import sys

from .command_line.main import main

sys.exit(main())
