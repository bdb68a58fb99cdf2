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
import polars as pl
import tiledbsoma as soma

from benchmarks.embed_data import ORGANISM
from curate.build.bytes_read import LAYER
from curate.build.embeddings import cells
from curate.build.embeddings.cells import Cells
from curate.build.embeddings.embed import BLOCK_CELLS, HVG_FRACTION, embed
from curate.build.embeddings.embedding import GENES_FILE
from curate.census.location import TILEDB_CONFIG
from curate.corpus import Corpus
from curate.passes.counts import corpus_counts
from curate.passes.schedule import THREADS, Task, schedule

if TYPE_CHECKING:
    from curate.build.embeddings.embedding import Embedding
    from curate.passes.counts import Counts
    from curate.passes.units import Unit

#: The default buffers, 1 GiB a column, ask for more memory than a laptop has.
PLAIN_CONFIG = {"soma.init_buffer_bytes": str(64 * 2**20)}


def timed(function: Any, *arguments: Any, **settings: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments, **settings)
    return time.perf_counter() - start, result


def embed_anew(corpus: Corpus, fit_fraction: float, *, name: str = "benchmark", **settings: Any) -> Embedding:
    shutil.rmtree(corpus.embeddings_path / name, ignore_errors=True)
    return embed(corpus, name=name, fit_fraction=fit_fraction, **settings)


def unit_raw(runs: Any, *, counts: Counts, genes: Any) -> int:
    return sum(block.counts.nnz for block in counts.blocks(runs, genes))


def read_blocks(corpus: Corpus, passes: list[tuple[list[Unit], Any]]) -> None:
    """Read what an embedding reads, by its reader and its threads, and do nothing with it."""
    joinids = corpus.joinids()
    with corpus_counts(corpus, block_cells=BLOCK_CELLS) as counts, schedule() as runner:
        for units, genes in passes:
            task = Task(unit_raw, joinids, {"counts": counts, "genes": genes})
            for _ in runner.run(task, units):
                pass


def read_tables(corpus: Corpus, passes: list[tuple[list[Unit], Any]], config: dict[str, Any]) -> None:
    """Read the same ranges of cells with tiledbsoma by as many threads, as Arrow tables; throw them away."""
    joinids = corpus.joinids()
    blocks = [
        (int(joinids[first]), int(joinids[min(first + BLOCK_CELLS, stop) - 1]))
        for units, _ in passes
        for unit in units
        for start, stop in unit.runs
        for first in range(start, stop, BLOCK_CELLS)
    ]
    uri = f"{corpus.census_uri()}/{LAYER.format(organism=ORGANISM)}"
    with soma.SparseNDArray.open(uri, context=soma.SOMATileDBContext(tiledb_config=config)) as array:
        genes = slice(0, array.shape[1] - 1)

        def read(block: tuple[int, int]) -> int:
            return sum(len(table) for table in array.read((slice(*block), genes)).tables())

        with ThreadPoolExecutor(THREADS) as pool:
            sum(pool.map(read, blocks))


def passes_of(corpus: Corpus, fit_fraction: float, embedding: Embedding) -> list[tuple[list[Unit], Any]]:
    """Return the units and the genes of each pass of an embedding."""
    genes = corpus.gene_table["feature_id"].is_in(
        pl.read_parquet(embedding.path / GENES_FILE)["feature_id"].implode()
    )
    variable = np.flatnonzero(genes.to_numpy())
    with TemporaryDirectory() as folder:
        hvg_fraction = min(HVG_FRACTION, fit_fraction)
        found = Cells.of(corpus, Path(folder), fit_fraction=fit_fraction, hvg_fraction=hvg_fraction, seed=0)
        return [(found.fitted, None), (found.fitted, variable), (found.units, variable)]


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
    """Time reading in three ways, and embed, in turns."""
    sample_as_asked(1)
    opened = Corpus.open(corpus)
    embed_anew(Corpus.open(warm_up), 0.1)
    seconds: dict[str, list[float]] = {"ours": [], "raw": [], "tables": [], "tiledbsoma": []}
    for _ in range(n_runs):
        ours_s, embedding = timed(embed_anew, opened, fit_fraction)
        passes = passes_of(opened, fit_fraction, embedding)
        seconds["ours"].append(ours_s)
        seconds["raw"].append(timed(read_blocks, opened, passes)[0])
        seconds["tables"].append(timed(read_tables, opened, passes, TILEDB_CONFIG)[0])
        seconds["tiledbsoma"].append(timed(read_tables, opened, passes, PLAIN_CONFIG)[0])
    n_read = sum(unit.n_cells for units, _ in passes for unit in units)
    found = {"n_read": n_read, "n_cells": opened.n_cells}
    click.echo(json.dumps(found | {name: statistics.median(each) for name, each in seconds.items()}))


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
