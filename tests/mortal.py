"""A worker that is killed in the middle of its work, once."""

import os
import signal
from pathlib import Path

from intgrad.distributed import Explainer


class Mortal(Explainer):
    """Dies of its third batch, unless there is the file `mark`, which tells that it has."""

    def __init__(self, mark, **options):
        super().__init__(**options)
        self._mark, self._batches = Path(mark), 0

    def __call__(self, batch):
        rows = super().__call__(batch)
        self._batches += 1
        if self._batches == 3 and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return rows
