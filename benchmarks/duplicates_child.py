"""What `benchmarks.duplicates` runs in child processes; each prints one line of JSON."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from benchmarks.embed_child import timed
from benchmarks.embed_data import ORGANISM
from curate.census import Census
from curate.corpus import Corpus
from curate.corpus.content import hashed
from curate.corpus.copies import find_copies

BLOCK_CELLS = 4096


@click.group()
def main() -> None:
    """Run one measurement."""


def read_raw(corpus: Corpus, blocks: list[tuple[int, int]], *, threads: int) -> int:
    """Read blocks as Arrow tables and throw them away; return their non-zeros."""
    with corpus.open_census() as census:
        array = census._layer(ORGANISM, "raw")
        genes = slice(0, array.shape[1] - 1)

        def read(block: tuple[int, int]) -> int:
            return sum(len(table) for table in array.read((slice(*block), genes)).tables())

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(read, blocks))


def _hash_anew(census: Census, n_cells: int) -> Any:
    with TemporaryDirectory() as folder:
        content = hashed(Path(folder), census, ORGANISM, np.arange(n_cells), cells="benchmark")
        return np.array(content.hashes), np.array(content.n_genes)


@main.command()
@click.argument("corpus", type=Path)
@click.argument("n_runs", type=int)
def throughput(corpus: Path, n_runs: int) -> None:
    """Time raw reading, by one thread and by the two that hashing has, and hashing, in turns."""
    opened = Corpus.open(corpus)
    seconds: dict[str, list[float]] = {"raw_1": [], "raw": [], "ours": []}
    with opened.open_census() as census:
        n = census.n_cells(ORGANISM)
        _hash_anew(census, BLOCK_CELLS)
        blocks = [(first, min(first + BLOCK_CELLS, n) - 1) for first in range(0, n, BLOCK_CELLS)]
        for _ in range(n_runs):
            seconds["raw_1"].append(timed(read_raw, opened, blocks, threads=1)[0])
            seconds["raw"].append(timed(read_raw, opened, blocks, threads=2)[0])
            seconds["ours"].append(timed(_hash_anew, census, n)[0])
    print(json.dumps({"n": n, **{name: float(np.median(each)) for name, each in seconds.items()}}))


@main.command()
@click.argument("store", type=Path)
@click.argument("n_cells", type=int)
def ours(store: Path, n_cells: int) -> None:
    """Find the equal cells by our hashes."""
    start = time.perf_counter()
    with Census.open(uri=store) as census:
        hashes, _ = _hash_anew(census, n_cells)
    found = find_copies(
        hashes,
        np.ones(n_cells, np.bool_),
        is_primary=np.ones(n_cells, np.bool_),
        identity=np.arange(n_cells, dtype=np.uint64),
    )
    print(json.dumps({"wall_s": time.perf_counter() - start, "rows": digest(found.rows)}))


@main.command()
@click.argument("store", type=Path)
@click.argument("n_cells", type=int)
def pandas(store: Path, n_cells: int) -> None:
    """Read an AnnData, hash the bytes of each row, let pandas find those that occur twice."""
    import cellxgene_census
    import pandas as pd
    import tiledbsoma as soma

    start = time.perf_counter()
    census: Any
    with soma.open(str(store)) as census:
        adata = cellxgene_census.get_anndata(census, "Homo sapiens", obs_coords=slice(0, n_cells - 1))
    counts = adata.X.tocsr()
    counts.sort_indices()
    read_s = time.perf_counter() - start
    ends = counts.indptr
    names = [
        hashlib.sha256(counts.indices[first:last].tobytes() + counts.data[first:last].tobytes()).hexdigest()
        for first, last in pairwise(ends)
    ]
    rows = np.flatnonzero(pd.Series(names).duplicated(keep=False).to_numpy())
    print(json.dumps({"wall_s": time.perf_counter() - start, "read_s": read_s, "rows": digest(rows)}))


@main.command()
@click.argument("store", type=Path)
@click.argument("n_cells", type=int)
def unique(store: Path, n_cells: int) -> None:
    """Read an AnnData and compare dense rows with np.unique."""
    import cellxgene_census
    import tiledbsoma as soma

    start = time.perf_counter()
    census: Any
    with soma.open(str(store)) as census:
        adata = cellxgene_census.get_anndata(census, "Homo sapiens", obs_coords=slice(0, n_cells - 1))
    dense = adata.X.toarray()
    _, inverse, counts = np.unique(dense, axis=0, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[inverse.ravel()] > 1)
    print(json.dumps({"wall_s": time.perf_counter() - start, "rows": digest(rows)}))


@main.command()
@click.argument("n_cells", type=int)
def grouping(n_cells: int) -> None:
    """Group the copies among random hashes, one per cent of them twice."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, n_cells, dtype=np.uint64)
    hashes[rng.integers(0, n_cells, n_cells // 100)] = hashes[: n_cells // 100]
    flags = np.ones(n_cells, np.bool_)
    identity = rng.integers(0, 2**64, n_cells, dtype=np.uint64)
    seconds, found = timed(find_copies, hashes, flags, is_primary=flags, identity=identity)
    print(json.dumps({"wall_s": seconds, "n": found.n_groups}))


def digest(rows: np.ndarray) -> str:
    """Return a digest of a set of rows."""
    return f"{rows.size} cells, {hashlib.sha256(np.sort(rows).astype('<i8').tobytes()).hexdigest()[:8]}"


if __name__ == "__main__":
    main()
