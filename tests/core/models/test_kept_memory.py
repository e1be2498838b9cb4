"""Memory that stays with the process, tried in one of its own."""

import platform
import subprocess
import sys

import pytest

CODE = """
import ctypes, resource, intgrad
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(2**25)
    ctypes.memset(block, 1, 2**25)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
assert intgrad.keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.unsanitized
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert given_back > 10  # 8192 pages, or 16 huge ones
    assert kept <= given_back / 10
