"""One run of the leakage guard or a peer on simulated cells, in a process of its own; prints JSON.

`python -m benchmarks.leakage_run ours|sklearn N_CORPUS N_EVALUATION`
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from benchmarks.leakage_data import NOISES, PANEL_GENES, World, copies
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

N_PLANTED = 400
"""Of each kind of noise."""
Search = "Callable[[sp.csr_array], tuple[NDArray[np.int64], NDArray[np.int64]]]"


def main(which: str, n_corpus: int, n_evaluation: int) -> dict[str, Any]:
    """Search with a corpus and with planted copies; time the index and the search, not the simulation."""
    world = World.make()
    evaluation = world.cells(n_evaluation, seed=7)
    result: dict[str, Any] = {}
    start = time.perf_counter()
    search = PEERS[which](evaluation, n_corpus)
    result["index_s"] = time.perf_counter() - start
    search(evaluation[:64])
    busy = [0.0]

    def timed(block: sp.csr_array) -> int:
        began = time.thread_time()
        rows, _ = search(block)
        busy[0] += time.thread_time() - began
        return len(np.unique(rows))

    start, simulation = time.perf_counter(), [0.0]

    def blocks() -> Iterator[sp.csr_array]:
        drawn = world.blocks(n_corpus)
        while True:
            began = time.perf_counter()
            block = next(drawn, None)
            simulation[0] += time.perf_counter() - began
            if block is None:
                return
            yield block

    if which == "ours":
        result["n_false"] = sum(mapped(timed, blocks()))
    else:
        result["n_false"] = sum(map(timed, blocks()))
    result["wall_s"] = time.perf_counter() - start
    result["simulation_s"] = simulation[0]
    result["search_cpu_s"] = busy[0]
    result["found"] = {}
    for number, noise in enumerate(NOISES):
        which_cells = np.arange(number * N_PLANTED, (number + 1) * N_PLANTED) % n_evaluation
        planted = copies(evaluation[which_cells], noise, seed=number)
        if noise.startswith(str(PANEL_GENES)) and which == "ours":
            result["found"][noise] = _panel(evaluation, planted, which_cells, n_corpus)
            continue
        rows, cells = search(planted)
        result["found"][noise] = len({*rows[cells == which_cells[rows]].tolist()}) / len(which_cells)
    return result


def _panel(evaluation: sp.csr_array, planted: sp.csr_array, which: NDArray[np.int64], n_corpus: int) -> float:
    """Return the share found where the corpus measured some of the genes only."""
    panel = np.sort(np.random.default_rng(3).choice(evaluation.shape[1], PANEL_GENES, replace=False))
    is_measured = np.zeros(evaluation.shape[1], np.bool_)
    is_measured[panel] = True
    held = planted.multiply(is_measured.astype(np.float32)[None, :]).tocsr()
    held.eliminate_zeros()
    search = ours(evaluation, n_corpus, is_measured)
    rows, cells = search(sp.csr_array(held))
    return len({*rows[cells == which[rows]].tolist()}) / len(which)


def ours(evaluation: sp.csr_array, n_corpus: int, shared: NDArray[np.bool_] | None = None) -> Any:
    """Index as `curate leakage` does; return the search for pairs that count."""
    from curate.build.leakage.evaluation import GeneGroup
    from curate.build.leakage.matcher import Matcher
    from curate.build.leakage.packed import Packed

    packed = Packed.of([evaluation], n_genes=evaluation.shape[1])
    cells = np.arange(packed.n_cells)
    group = GeneGroup(cells, np.arange(packed.n_genes), packed, np.ones(packed.n_cells, np.bool_))
    detected = packed.detected_in() > 0
    matcher = Matcher.of(group, detected if shared is None else detected & shared, n_compared=n_corpus)
    if shared is None and matcher.near is not None:
        null = matcher.near.null
        print(matcher.near.bands, null.excess, null.n_expected, int((~matcher.usable).sum()), file=sys.stderr)

    def search(counts: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # In use, 1,024 cells of a part of 131,072.
        sampled = np.arange(0, counts.shape[0], 128)
        pairs = matcher.decide(matcher.search(counts, sampled=sampled))
        pairs = pairs.filter(pl.col("is_near") | pl.col("is_exact"))
        return pairs["row"].to_numpy(), pairs["cell"].to_numpy()

    return search


def sklearn(evaluation: sp.csr_array, n_corpus: int) -> Any:
    """Return the search for the nearest cell by cosine of log-normalised counts, brute force."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(_logged(evaluation))

    def search(counts: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        distances, cells = nearest.kneighbors(_logged(counts))
        return _above(distances[:, 0], cells[:, 0])

    return search


MOST_DISTANCE = 0.25
"""Of a pair that counts for the peers: between copies and others as they lie here, known to nobody else."""


def _above(
    distances: NDArray[np.float64], cells: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    near = np.flatnonzero(distances <= MOST_DISTANCE)
    return near, cells[near]


def _logged(counts: sp.csr_array) -> sp.csr_matrix:
    totals = np.asarray(counts.sum(axis=1)).ravel()
    scaled = sp.csr_matrix(counts.multiply((1e4 / np.maximum(totals, 1))[:, None]))
    scaled.data = np.log1p(scaled.data).astype(np.float32)
    return scaled


PEERS = {"ours": ours, "sklearn": sklearn}

if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
