from __future__ import annotations

import subprocess
import sys

import pytest

HELD = """
import ctypes, threading
from curate.memory import keep_memory
{call}
malloc, info = ctypes.CDLL(None).malloc, ctypes.CDLL(None).malloc_stats
barrier = threading.Barrier(8)
def hold():
    barrier.wait()
    malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
info()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="arenas are those of glibc")
def test_threads_share_two_arenas() -> None:
    def arenas(call: str) -> int:
        program = HELD.format(call=call)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        if "Arena" not in done.stderr:
            pytest.skip("another malloc")
        return sum(line.startswith("Arena") for line in done.stderr.splitlines())

    assert arenas("") > 2
    assert arenas("keep_memory()") == 2
