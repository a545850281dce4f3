"""Freed memory is kept by processes that run networks."""

import platform
import subprocess
import sys

import pytest

# Takes and frees 32 MiB again and again, as a network does, and prints its page faults a round.
ROUNDS = """
import resource, sys
if sys.argv[1] == "kept":
    from common.allocator import keep_freed_memory
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(21):
    if number == 1:
        before = faults()
    memory = bytearray(40 << 20)
    memory[::4096] = bytes(len(memory[::4096]))
    del memory
print((faults() - before) // 20)
"""


# Other C libraries have other allocators, which are left as they are.
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is for glibc")
def test_memory_taken_again_costs_no_page_faults():
    """By default, each of the 10,240 pages is a fault each time."""

    def faults(how: str) -> int:
        command = [sys.executable, "-c", ROUNDS, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("kept") < 100 < faults("as it is")
