"""One strategy in a process of its own, so that its peak memory is its own: ``python -m`` this module.

The request comes on stdin as JSON; result.json and the chosen rows are left in the folder that it names.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.build.task.target import TaskTarget

RESULT_FILE = "result.json"
CANDIDATES_FILE = "candidates.npy"
REFERENCE_FILE = "reference.npy"


def rows_file(seed: int) -> str:
    """Return the name of the file of the rows chosen with a seed, int64, of the corpus."""
    return f"rows-{seed}.npy"


def main() -> None:
    """Run the request on stdin; an error that a user can act on is the result."""
    request = json.load(sys.stdin)
    folder = Path(request["folder"])
    try:
        result = run(folder, **request["trial"])
    except CurateError as error:
        result = {"error": " ".join(str(error).split())}
    (folder / RESULT_FILE).write_text(json.dumps(result))


def run(
    folder: Path,
    *,
    corpus: str,
    embedding: str | None,
    strategy: str,
    n_cells: int,
    seeds: list[int],
    target: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Choose with every seed, and measure time and memory.

    Parameters
    ----------
    folder
        It may hold CANDIDATES_FILE, the rows of the corpus that may be chosen, and REFERENCE_FILE, the
        vectors of a target.
    corpus, embedding
        Their folders; the embedding was verified.
    target
        The name, wanted, with_descendants and ontology (source and release) of a `TaskTarget`.

    Returns
    -------
    seconds
        Reading what the strategy needs, preparing and the first choice: what one build waits for.
    further_s
        A mean further choice; None with one seed.
    peak_bytes, base_bytes
        Peak resident memory, mapped files included, and that before anything was read.
    """
    from curate.build.candidates import Candidates, find_candidates
    from curate.build.chooser import Chooser, Chosen
    from curate.build.embeddings.embedding import Embedding
    from curate.build.strategies.named import settle
    from curate.build.strategies.race import effective_size
    from curate.corpus import Corpus

    source = Corpus.open(Path(corpus))
    candidates = find_candidates(source, None)
    if (held := folder / CANDIDATES_FILE).exists():
        own = np.load(held, allow_pickle=False)
        candidates = Candidates(rows=own, n_cells=own.size, identity=candidates.identity[own])
    settled = settle(strategy)
    opened = Embedding.open(embedding, source) if embedding else None
    chosen = Chosen(settled.name, settled.strategy, settled.settings, opened, _target(folder, target))
    base = peak_bytes()
    times, sizes = [time.perf_counter()], []
    chooser = Chooser.prepare(source, candidates, chosen)
    for seed in seeds:
        selection = chooser.select(n_cells, keys=chooser.keys(seed), rng=np.random.default_rng(seed))
        times.append(time.perf_counter())
        rows = candidates.to_corpus(selection.rows)
        np.save(folder / rows_file(seed), rows)
        sizes.append(None if selection.weights is None else effective_size(selection.weights))
    n_further = len(seeds) - 1
    return {
        "seconds": times[1] - times[0],
        "further_s": (times[-1] - times[1]) / n_further if n_further else None,
        "peak_bytes": peak_bytes(),
        "base_bytes": base,
        "effective_size": sizes,
    }


def _target(folder: Path, described: dict[str, Any] | None) -> TaskTarget | None:
    if described is None:
        return None
    from curate.build.task.target import TaskTarget
    from curate.ontology import Ontology

    reference = folder / REFERENCE_FILE
    return TaskTarget(
        name=described["name"],
        wanted=tuple(described["wanted"]),
        with_descendants=described["with_descendants"],
        ontology=Ontology.load(**described["ontology"]),
        reference=np.load(reference, allow_pickle=False) if reference.exists() else None,
    )


def peak_bytes() -> int:
    """Return the peak of the resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage says on Linux includes the memory of the parent at the fork.
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
