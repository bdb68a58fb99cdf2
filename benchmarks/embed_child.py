"""What `benchmarks.embed` runs in child processes; each prints one line of JSON."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.embed_data import ORGANISM
from curate.build import cells
from curate.build.cells import Cells
from curate.build.embed import BLOCK_CELLS, HVG_FRACTION, embed
from curate.build.schedule import THREADS
from curate.corpus import Corpus

if TYPE_CHECKING:
    from curate.build.embedding import Embedding


def timed(function: Any, *arguments: Any, **settings: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments, **settings)
    return time.perf_counter() - start, result


def embed_anew(corpus: Corpus, fit_fraction: float, *, name: str = "benchmark", **settings: Any) -> Embedding:
    shutil.rmtree(corpus.embeddings_path / name, ignore_errors=True)
    return embed(corpus, name=name, fit_fraction=fit_fraction, **settings)


def raw_blocks(corpus: Corpus, fit_fraction: float) -> list[tuple[int, int]]:
    """Return the ranges of joinids that an embedding reads, in its order: twice those fitted on, then all."""
    with TemporaryDirectory() as folder:
        hvg_fraction = min(HVG_FRACTION, fit_fraction)
        found = Cells.of(corpus, Path(folder), fit_fraction=fit_fraction, hvg_fraction=hvg_fraction, seed=0)
        runs = [run for unit in (*found.fitted, *found.fitted, *found.units) for run in unit.runs]
        return [
            (int(found.joinids[first]), int(found.joinids[min(first + BLOCK_CELLS, stop) - 1]))
            for start, stop in runs
            for first in range(start, stop, BLOCK_CELLS)
        ]


def read_raw(corpus: Corpus, blocks: list[tuple[int, int]], *, threads: int) -> int:
    """Read blocks as Arrow tables and throw them away; return their non-zeros."""
    with corpus.open_census() as census:
        array = census._layer(ORGANISM, "raw")
        genes = slice(0, array.shape[1] - 1)

        def read(block: tuple[int, int]) -> int:
            return sum(len(table) for table in array.read((slice(*block), genes)).tables())

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(read, blocks))


@click.group()
def main() -> None:
    """Run one measurement."""


def sample_as_asked(min_cells: int) -> None:
    """Let the share decide how many cells are fitted on, on corpora too small for it."""
    cells.MIN_CELLS_FITTED, cells.MIN_WINDOWS_FITTED = min_cells, 1


@main.command()
@click.argument("corpus", type=Path)
@click.argument("warm_up", type=Path)
@click.argument("fit_fraction", type=float)
@click.argument("n_runs", type=int)
def throughput(corpus: Path, warm_up: Path, fit_fraction: float, n_runs: int) -> None:
    """Time raw reading, by one thread and by as many as embed has, and embed, in turns."""
    sample_as_asked(1)
    opened = Corpus.open(corpus)
    embed_anew(Corpus.open(warm_up), 0.1)
    blocks = raw_blocks(opened, fit_fraction)
    seconds: dict[str, list[float]] = {"raw_1": [], "raw": [], "ours": []}
    for _ in range(n_runs):
        seconds["raw_1"].append(timed(read_raw, opened, blocks, threads=1)[0])
        seconds["raw"].append(timed(read_raw, opened, blocks, threads=THREADS)[0])
        seconds["ours"].append(timed(embed_anew, opened, fit_fraction)[0])
    n_read = sum(last - first + 1 for first, last in blocks)
    click.echo(json.dumps({"n_read": n_read} | {k: statistics.median(v) for k, v in seconds.items()}))


@main.command()
@click.argument("corpus", type=Path)
@click.argument("fit_fraction", type=float)
@click.option("--name", default="benchmark")
@click.option("--hvg-fraction", type=float)
@click.option("--workers", type=int)
@click.option("--min-cells", type=int)
def ours(corpus: Path, fit_fraction: float, min_cells: int | None, **settings: Any) -> None:
    """Embed once."""
    if min_cells is not None:
        sample_as_asked(min_cells)
    wall_s, embedding = timed(embed_anew, Corpus.open(corpus), fit_fraction, **settings)
    click.echo(
        json.dumps(
            {"wall_s": wall_s, "sha256": embedding.header.sha256, "n_fitted": embedding.header.n_cells_fitted}
        )
    )


@main.command()
@click.argument("corpus", type=Path)
@click.argument("out", type=Path)
def scanpy(corpus: Path, out: Path) -> None:
    """Embed once by scanpy, the counts in memory as a whole; reading them is timed by itself."""
    import anndata as ad
    import scanpy as sc
    import scipy.sparse as sp

    opened = Corpus.open(corpus)

    def read() -> Any:
        with opened.open_census() as census:
            blocks = census.read_counts(
                ORGANISM, opened.joinids(), var_joinids=opened.var_joinids(), block_cells=BLOCK_CELLS
            )
            return sp.vstack([block.counts for block in blocks], format="csr")

    def compute(counts: Any) -> Any:
        adata = ad.AnnData(sp.csr_matrix(counts))
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat")
        adata = adata[:, adata.var["highly_variable"].to_numpy()].copy()
        sc.pp.scale(adata, max_value=10)
        sc.pp.pca(adata, n_comps=50)
        return adata.obsm["X_pca"]

    read_s, counts = timed(read)
    compute_s, values = timed(compute, counts)
    np.save(out, values)
    click.echo(json.dumps({"read_s": read_s, "compute_s": compute_s}))


if __name__ == "__main__":
    main()
