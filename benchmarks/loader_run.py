"""What `benchmarks.loader` runs in child processes: whole epochs of one loader."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
import torch

from benchmarks.loader_data import LABELS
from curate.train.loader import CensusLoader, Dense, RandomMask, ShardLoader
from curate.train.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: Batches: dense float32 [b, n_genes], and the number of each cell among the training cells.
    Batches = Iterable[tuple[Any, Any]]

BATCH = 256
#: The fetch of scDataset's paper, 256 batches of 64 cells in blocks of 16, in batches of BATCH.
BLOCK, FETCH = 16, 64 * 256 // BATCH


def ours(folder: Path, *, n_workers: int = 0, **settings: Any) -> Callable[[], Batches]:
    shards = Shards.open(folder / "shards")
    encoding = settings.pop("encoding", None) or Dense(shards.header.n_genes, None, log1p=False)
    loader: Any = ShardLoader(shards, encoding, batch_size=BATCH, **settings)
    if n_workers:
        from torch.utils.data import DataLoader

        loader.n_threads = 1
        loader = DataLoader(loader, batch_size=None, num_workers=n_workers, persistent_workers=True)
    return lambda: ((batch.x, batch.rows) for batch in loader)


def normalised(folder: Path) -> Callable[[], Batches]:
    return ours(folder, encoding=Dense(Shards.open(folder / "shards").header.n_genes))


def masked(folder: Path) -> Callable[[], Batches]:
    n_genes = Shards.open(folder / "shards").header.n_genes
    return ours(folder, encoding=Dense(n_genes), mask=RandomMask(n_genes))


def in_memory(folder: Path) -> Callable[[], Batches]:
    """Slice an in-memory CSR matrix, float32 with 32-bit indices, in a new order every epoch."""
    from anndata import read_h5ad

    counts = read_h5ad(folder / "train.h5ad").X
    rng = np.random.default_rng(0)

    def epoch() -> Batches:
        order = rng.permutation(counts.shape[0])
        for first in range(0, order.size, BATCH):
            rows = order[first : first + BATCH]
            yield torch.from_numpy(counts[rows].toarray()), rows

    return epoch


def scdataset(folder: Path) -> Callable[[], Batches]:
    import h5py
    from anndata.io import sparse_dataset
    from scdataset import BlockShuffling, scDataset

    counts = sparse_dataset(h5py.File(folder / "train.h5ad")["X"])
    dataset = scDataset(
        np.arange(counts.shape[0]),
        BlockShuffling(block_size=BLOCK),
        batch_size=BATCH,
        fetch_factor=FETCH,
        fetch_callback=lambda _, rows: (counts[rows], np.asarray(rows)),
        batch_callback=lambda held, at: (torch.from_numpy(held[0][at].toarray()), held[1][at]),
        seed=0,
    )
    return lambda: iter(dataset)


def tiledbsoma_ml(folder: Path) -> Callable[[], Batches]:
    """Its defaults: 65,536 cells read at a time, chunks of 64, read ahead."""
    import tiledbsoma as soma
    from tiledbsoma_ml import ExperimentDataset, experiment_dataloader

    told = json.loads((folder / "store.json").read_text())
    joinids = pl.read_parquet(folder / "train.parquet")["soma_joinid"].to_numpy()
    experiment = soma.Experiment.open(f"{told['uri']}/census_data/{told['organism']}")
    query = experiment.axis_query("RNA", obs_query=soma.AxisQuery(coords=(joinids,)))
    dataset = ExperimentDataset(query, layer_name="raw", batch_size=BATCH, shuffle=True, seed=0)
    loader = experiment_dataloader(dataset)
    place = {int(joinid): row for row, joinid in enumerate(joinids)}
    return lambda: (
        (torch.from_numpy(counts), [place[joinid] for joinid in obs["soma_joinid"]]) for counts, obs in loader
    )


def streamed(folder: Path) -> Callable[[], Batches]:
    from curate.manifests.manifest import Manifest

    told = json.loads((folder / "store.json").read_text())
    manifest = Manifest.load(told["manifest"])
    loader = CensusLoader(
        manifest, Dense(manifest.corpus().header.genes.n, None, log1p=False), batch_size=BATCH
    )
    place = np.full(len(manifest.held_cells), -1)
    place[loader.rows] = np.arange(loader.rows.size)
    return lambda: ((batch.x, place[batch.rows]) for batch in loader)


def full_shuffle(folder: Path) -> Callable[[], Batches]:
    """Yield the numbers of the cells alone."""
    n_cells = len(pl.read_parquet(folder / "train.parquet"))

    def epoch() -> Batches:
        order = np.random.default_rng(1).permutation(n_cells)
        yield from ((None, order[first : first + BATCH]) for first in range(0, n_cells, BATCH))

    return epoch


#: Those whose cells are numbered as in the shards.
OURS = ("ours", "normalised", "masked", "workers", "rank", "unshuffled")
LOADERS: dict[str, Callable[[Path], Callable[[], Batches]]] = {
    "ours": ours,
    "normalised": normalised,
    "masked": masked,
    "workers": lambda folder: ours(folder, n_workers=2),
    "rank": lambda folder: ours(folder, rank=0, n_ranks=2),
    "unshuffled": lambda folder: ours(folder, is_shuffled=False),
    "in-memory": in_memory,
    "scdataset": scdataset,
    "tiledbsoma-ml": tiledbsoma_ml,
    "streamed": streamed,
    "full-shuffle": full_shuffle,
}


def entropy(codes: Any, batches: list[Any]) -> float:
    """Return the mean Shannon entropy of a label within full batches, in bits."""
    found = []
    for rows in batches:
        if len(rows) == BATCH:
            shares = np.unique(codes[np.asarray(rows)], return_counts=True)[1] / BATCH
            found.append(-(shares * np.log2(shares)).sum())
    return float(np.mean(found))


def _run(name: str, epoch: Callable[[], Batches], folder: Path) -> dict[str, float]:
    """Run one epoch; return cells a second, and the entropy of labels within batches."""
    of_shards = name in OURS
    obs = pl.read_parquet(folder / ("shuffled.parquet" if of_shards else "train.parquet"))
    orders, n, start = [], 0, time.perf_counter()
    for x, rows in epoch():
        n += len(rows) if x is None else x.shape[0]
        orders.append(rows)
    found = {"rate": n / (time.perf_counter() - start)}
    for label in LABELS:
        codes = obs[label].cast(pl.Categorical).to_physical().to_numpy()
        found[f"entropy_{label}"] = entropy(codes, orders)
    return found


@click.command()
@click.argument("names")
@click.argument("folder", type=Path)
@click.option("--turns", default=3)
def main(names: str, folder: Path, turns: int) -> None:
    """Run NAMES (joined by commas) in turns, one epoch each; print a line of JSON."""
    epochs = {name: LOADERS[name](folder) for name in names.split(",")}
    for name, epoch in epochs.items():
        if name not in ("tiledbsoma-ml", "streamed", "workers"):
            next(iter(epoch()))  # compiled code is loaded, pages are read
    found: dict[str, list[dict[str, float]]] = {name: [] for name in epochs}
    for _ in range(turns):
        for name, epoch in epochs.items():
            found[name].append(_run(name, epoch, folder))
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
