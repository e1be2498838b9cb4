"""A contender's side of the conversation: a line of JSON in, a line of JSON out.

Knows neither torch nor TensorFlow, so that any interpreter with NumPy can run a contender.

`prepare` loads, and returns (explain, facts): `explain(images, targets, points=..., **options)`
gives the attributions and a dict of what it cost, {"gradients": 51}; facts say what was loaded.
"""

import json
import os
import re
import sys
import time
import traceback

import numpy as np

WARM_UP_POINTS = 4


class ProcessMemory:
    """The most memory that this process has held since `reset`."""

    def reset(self):
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")

    def peak_mib(self):
        with open("/proc/self/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) / 1024


def serve(prepare, memory=None):
    """Load, say what was loaded, then run once for each request until standard input closes.

    What is said goes to the first standard output; what libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**answer):
        print(json.dumps(answer), file=answers, flush=True)

    try:
        explain, facts = prepare()
    except Exception as error:
        say(failed=describe(error))
        return
    say(**facts)
    memory = memory or ProcessMemory()
    for line in sys.stdin:
        try:
            say(**run(explain, memory, **json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            say(failed=describe(error))


def run(explain, memory, images, targets, save=None, warm_up=False, **how):
    """Explain the images of a file, after a few untimed points if it is to be warm."""
    pictures = np.load(images)
    if warm_up:
        explain(pictures[:1], targets[:1], **how | {"points": WARM_UP_POINTS, "tolerance": None})
    memory.reset()
    start = time.perf_counter()
    attributions, cost = explain(pictures, targets, **how)
    seconds = time.perf_counter() - start
    if save and attributions is not None:
        np.save(save, attributions)
    return {"seconds": seconds, "peak_mib": memory.peak_mib(), **cost}


def describe(error):
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
