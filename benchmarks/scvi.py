"""scVI by shards, loader and trainer, beside scvi-tools' own way of the same cells."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks.measure import python, run
from benchmarks.table import Row, gigabytes, report, seconds

TOLERANCE = 0.01


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--genes", "n_genes", type=int, default=1000, show_default=True, help="0: all.")
@click.option("--epochs", "n_epochs", type=int, default=10, show_default=True)
@click.option("--seeds", "n_seeds", type=int, default=3, show_default=True)
def command(folder: Path, *, n_genes: int, n_epochs: int, n_seeds: int) -> None:
    """Train scVI on FOLDER, shards with a train, val and test split, by both ways; compare the test ELBO."""
    from curate.train.shards import Shards
    from curate.train.shards.export import export

    shards = Shards.open(folder)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "cells.h5ad"
        export(shards, file)
        for seed in range(n_seeds):
            for way, inputs in (("ours", (folder,)), ("peer", (folder, file))):
                once = run(python("benchmarks.scvi_run", way, *inputs, n_genes, n_epochs, seed), n_runs=1)
                held: dict[str, Any] = json.loads(once.output.splitlines()[-1])
                found[way].append(held | {"cpu_s": once.cpu_s, "peak_bytes": once.peak_bytes})
    counts = {split: shards.n_cells(split) for split in ("train", "test")}
    report(
        "scvi",
        "scVI: held-out ELBO",
        _rows(found, counts["test"]),
        notes=[
            "peer: scvi.model.SCVI on an AnnData in memory, same cells, genes, split, batches, sizes, epochs "
            "and KL warm-up, each with its own optimiser (ours AdamW, the peer's Adam with eps 0.01)",
            f"{counts['train']:,} training cells, {n_genes or shards.header.n_genes:,} genes, {n_epochs} "
            "epochs in batches of 128; reconstruction + KL, nats a cell, so that less is better; medians of "
            f"{n_seeds} seeds",
            "CPU and memory: of the whole process, imports and evaluation included",
        ],
    )


def _rows(found: dict[str, list[dict[str, Any]]], n_test: int) -> list[Row]:
    def middle(way: str, name: str) -> float:
        return median(held[name] for held in found[way])

    ours, peer = middle("ours", "elbo"), middle("peer", "elbo")
    by_seed = [[f"{held['elbo']:.2f}" for held in found[way]] for way in ("ours", "peer")]
    return [
        Row(
            f"test ELBO, {n_test:,} cells",
            f"{ours:.2f}",
            f"{peer:.2f}",
            f"{ours / peer - 1:+.2%}",
            f"<= +{TOLERANCE:.0%}",
            ours <= peer * (1 + TOLERANCE),
        ),
        Row("of each seed", ", ".join(by_seed[0]), ", ".join(by_seed[1])),
        *(
            Row(what, write(middle("ours", name)), write(middle("peer", name)))
            for what, name, write in (
                ("CPU time", "cpu_s", seconds),
                ("peak memory", "peak_bytes", gigabytes),
            )
        ),
    ]
