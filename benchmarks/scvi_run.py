"""One training of scVI in a process of its own; prints JSON for `benchmarks.scvi`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

BATCH_KEY = ("dataset_id", "assay", "donor_id")
WARMUP_STEPS = 500


@click.group()
def main() -> None:
    """Train once and say the ELBO of the test cells."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("n_genes", type=int)
@click.argument("n_epochs", type=int)
@click.argument("seed", type=int)
def ours(folder: Path, n_genes: int, n_epochs: int, seed: int) -> None:
    """Train by shards, loader and trainer."""
    import torch

    from curate.train.fit.plan import FitPlan
    from curate.train.loader import ShardLoader
    from curate.train.models.scvi import Scvi, ScviSettings
    from curate.train.shards import Shards

    settings = ScviSettings(
        batch_key=BATCH_KEY,
        gene_likelihood="nb",
        n_genes=n_genes or None,
        max_epochs=n_epochs,
        patience=None,
        kl_warmup_steps=WARMUP_STEPS,
    )
    shards = Shards.open(folder)
    model = Scvi.create(shards, settings, seed=seed)
    with TemporaryDirectory() as run:
        # Without validation the last weights are kept, as the peer keeps them.
        report = model.fit(shards, FitPlan(Path(run), seed=seed, accelerator="cpu", validation_cells=0))
    torch.manual_seed(seed)
    losses, n_cells = 0.0, 0
    loader = ShardLoader(shards, model.encoding(), split="test", labels=model.labels(), is_shuffled=False)
    with torch.no_grad():
        for batch in loader:
            losses += model.losses(batch, step=0)["elbo"].item() * len(batch.rows)
            n_cells += len(batch.rows)
    click.echo(json.dumps({"elbo": losses / n_cells, "n_cells": report.n_cells}))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("n_genes", type=int)
@click.argument("n_epochs", type=int)
@click.argument("seed", type=int)
def peer(folder: Path, file: Path, n_genes: int, n_epochs: int, seed: int) -> None:
    """Train by scvi-tools on an AnnData of the same cells and genes in memory, of the same split."""
    warnings.simplefilter("ignore")
    import anndata as ad
    import scvi

    from curate.train.models.scvi import Scvi, ScviSettings
    from curate.train.shards import Shards

    chosen = Scvi.learn(Shards.open(folder), ScviSettings(batch_key=(), n_genes=n_genes or None), None)
    scvi.settings.seed = seed
    adata = ad.read_h5ad(file)
    if chosen.variable_genes is not None:
        adata = adata[:, list(chosen.variable_genes)].copy()
    adata.obs["batch"] = adata.obs[list(BATCH_KEY)].astype(str).agg("|".join, axis=1)
    rows = {split: np.flatnonzero(adata.obs["split"] == split) for split in ("train", "val", "test")}
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    model = scvi.model.SCVI(adata, gene_likelihood="nb")
    model.train(
        max_epochs=n_epochs,
        batch_size=128,
        accelerator="cpu",
        datasplitter_kwargs={"external_indexing": [rows["train"], rows["val"], rows["test"]]},
        plan_kwargs={"n_epochs_kl_warmup": None, "n_steps_kl_warmup": WARMUP_STEPS},
        enable_progress_bar=False,
        logger=False,
    )
    # Its sign has changed between versions.
    elbo = abs(float(model.get_elbo(indices=rows["test"])))
    click.echo(json.dumps({"elbo": elbo, "n_cells": rows["train"].size * n_epochs}))


if __name__ == "__main__":
    main()
