"""How much memory this process holds."""

import os


def resident_bytes():
    """Return the size of what is in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
