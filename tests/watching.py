"""Waiting for what a page becomes: from outside, because the page lets no text be run within."""

import time


def wait(page, expression, argument=None, seconds=20):
    """Wait until an expression of JavaScript holds, or a function of the argument."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)
