"""A process that does jobs, one after the other: `python -m curate.evaluate.sweep.worker ROOT SWEEP KEEP`.

A line of JSON on stdin is a job, a line on stdout what came of it. What libraries print goes to stderr, which
is the worker's log. When stdin ends, the one who gave the jobs has gone: the worker ends at once, whatever it
is doing; all it writes is written aside first.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from typing import Any

from curate.errors import CurateError
from curate.memory import keep_memory


def main() -> None:
    """Do jobs until there are no more."""
    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    root, path, keep_shards = sys.argv[1:]
    # It takes seconds: the end of stdin is heard meanwhile.
    from curate.evaluate.sweep.work import Bench

    bench = Bench.open(root, path, keep_shards=keep_shards == "yes", tell=_tell)
    while True:
        answers.write(json.dumps(done(bench, json.loads(jobs.get()))) + "\n")


def done(bench: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Do a job; say what came of it, or what went wrong."""
    start = time.perf_counter()
    said: dict[str, Any] = {"key": job["key"]}
    _tell(f"{job['called']} ({job['key'][:8]})")
    try:
        said["result"] = bench.run(job["kind"], job["key"], job["spec"], job["inputs"])
    except CurateError as error:
        said["error"] = " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 (one cell of the grid: it is recorded, the others go on)
        traceback.print_exc()
        said["error"] = " ".join(f"{type(error).__name__}: {error}".split())
        said["is_bug"] = True
    return {**said, "seconds": time.perf_counter() - start}


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
