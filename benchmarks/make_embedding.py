"""An embedding past the study's size, as a plain .npy file: the cells of `make-corpus` several times over."""

from __future__ import annotations

import time
from pathlib import Path

import click

from benchmarks.make_corpus import NAME
from benchmarks.sctab_like_embedding import embedding_blocks
from curate.atomic import atomic_file
from curate.build.embeddings.embedding import write_values
from curate.corpus import Corpus


@click.command()
@click.argument("base_workspace", type=click.Path(exists=True, path_type=Path))
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--n-cells", default=100_000_000, show_default=True)
@click.option("--n-dimensions", default=16, show_default=True)
@click.option("--seed", default=0, show_default=True)
def command(base_workspace: Path, path: Path, *, n_cells: int, n_dimensions: int, seed: int) -> None:
    """Write float32 [n_cells, n_dimensions] for `sketch --large`; what is there is kept.

    The cells are those of the workspace of `make-corpus`.
    """
    if path.exists():
        return
    obs = Corpus.open(base_workspace / "corpora" / NAME).columns(["cell_type", "dataset_id", "donor_id"])
    start = time.perf_counter()
    blocks = embedding_blocks(obs, seed=seed, n_dimensions=n_dimensions, n_cells=n_cells)
    with atomic_file(path) as aside:
        write_values(aside, blocks, (n_cells, n_dimensions))
    click.echo(f"{n_cells:,} x {n_dimensions} in {time.perf_counter() - start:.0f} s")
