"""Make the workspace that the other benchmarks run in: store, corpus and embedding at the size of scTab."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

import click
import numpy as np
import polars as pl

from benchmarks.measure import curate

RECIPE = Path(__file__).parent / "recipes" / "sctab-like.toml"
NAME, EMBEDDING = "sctab-like", "pca"
CREATE_DATE = "2026-01-31"


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with sctab_like_cell_counts.csv, sctab_donors_per_tissue_celltype.csv, sctab_genes.csv.gz, "
    "cl-base.obo.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--embedding/--no-embedding", default=True, help="Make the 50 dimensions too (4.4 GB).")
def command(workspace: Path, *, reference: Path, seed: int, embedding: bool) -> None:
    """Make a workspace with a simulated corpus of 22,189,056 cells; what is there is kept.

    The store holds obs only: a corpus needs no counts.
    """
    store = workspace / "census"
    if not store.exists():
        _timed("store", lambda: write_store(store, reference, seed=seed))
    if not (workspace / "curate.toml").exists():
        subprocess.run(curate("init", workspace, "--uri", store), check=True)
        # The benchmark of the index builds a second corpus beside this one for a while.
        with (workspace / "curate.toml").open("a") as stream:
            stream.write(f'corpus = "{NAME}"\n')
    if not (workspace / "corpora" / NAME).exists():
        _timed("corpus", lambda: build_corpus(workspace, reference))
    if embedding and not (workspace / "corpora" / NAME / "embeddings" / EMBEDDING).exists():
        from benchmarks.sctab_like_embedding import write_embedding
        from curate.corpus import Corpus

        corpus = Corpus.open(workspace / "corpora" / NAME)
        _timed("embedding", lambda: write_embedding(corpus, EMBEDDING, seed=seed))


def write_store(path: Path, reference: Path, *, seed: int) -> None:
    """Write the store, dataset by dataset."""
    from benchmarks.sctab_like import datasets, make_plan, obs_of_dataset
    from curate.census import CensusWriter, Dataset

    genes = pl.read_csv(reference / "sctab_genes.csv.gz").with_columns(
        feature_type=pl.lit("protein_coding"), feature_length=pl.lit(1000)
    )
    measured = np.ones(genes.height, np.bool_)
    plan = make_plan(reference, seed=seed)
    click.echo(f"{plan.n_cells:,} cells, {plan.samples.height:,} samples, {len(plan.labels)} types")
    label = "Simulated obs at the size of scTab; no counts"
    with CensusWriter(path, genes=genes, build_date=CREATE_DATE, label=label) as writer:
        for dataset in datasets(plan):
            name = hashlib.blake2b(f"dataset {dataset}".encode(), digest_size=16).hexdigest()
            obs = obs_of_dataset(plan, dataset, seed=seed)
            writer.add_dataset(
                Dataset(dataset_id=name, title=f"simulated dataset {dataset}"), obs, None, measured=measured
            )


def build_corpus(workspace: Path, reference: Path, *, name: str = NAME) -> None:
    """Run `curate corpus build`."""
    arguments = ("--recipe", RECIPE, "--name", name, "--genes", reference / "sctab_genes.csv.gz")
    subprocess.run(curate("-C", workspace, "corpus", "build", *arguments), check=True)


def _timed(what: str, make: object) -> None:
    assert callable(make)
    start = time.perf_counter()
    make()
    click.echo(f"{what}: {time.perf_counter() - start:.0f} s")
