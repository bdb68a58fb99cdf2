"""The same training cells for every loader: shards, an h5ad file in store order, and their joinids."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmarks.measure import curate, run

#: Of the workspace that `embed` makes.
CORPUS = "cells-60000"
LABELS = ("cell_type", "dataset_id")


def whole_corpus(workspace: Path, corpus: str) -> str:
    """Build a manifest of all cells of a corpus, unless it is there; return its name."""
    name = f"all-{corpus}"
    if not (workspace / "manifests" / name).exists():
        settings = ("--corpus", corpus, "--strategy", "random", "--fraction", 1, "--name", name)
        run(curate("-C", workspace, "build", *settings), n_runs=1)
    return name


@click.command()
@click.argument("workspace", type=Path)
@click.argument("ref")
@click.argument("folder", type=Path)
def main(workspace: Path, ref: str, folder: Path) -> None:
    """Write them to FOLDER."""
    import polars as pl

    from curate.manifests.manifest import Manifest
    from curate.train.shards.materialize import materialize
    from curate.workspace import Workspace

    manifest = Manifest.load(ref, workspace=Workspace.find(workspace))
    corpus = manifest.corpus()
    folder.mkdir(parents=True, exist_ok=True)
    shards = materialize(manifest, folder / "shards")
    shards.obs(["soma_joinid", *LABELS], split="train").write_parquet(folder / "shuffled.parquet")
    in_order = manifest.obs(list(LABELS)).filter(pl.col("split").cast(pl.String) == "train")
    in_order.select("soma_joinid", *LABELS).write_parquet(folder / "train.parquet")
    manifest.to_anndata(split="train").write_h5ad(folder / "train.h5ad")
    told = {"uri": corpus.census_uri(), "organism": corpus.header.organism, "manifest": str(manifest.folder)}
    (folder / "store.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
