"""One strategy, or the peer of one, in a process of its own; prints JSON for `benchmarks.strategies`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

N_REFERENCE = 2_000
WANTED = "dendritic cell"
COLUMNS = (
    "soma_joinid", "dataset_id", "donor_id", "cell_type", "cell_type_ontology_term_id", "raw_sum", "nnz",
)  # fmt: skip


@click.group()
def main() -> None:
    """Run one step of the benchmark."""


@main.command()
@click.argument("corpus_path", type=click.Path(path_type=Path))
@click.argument("embedding")
@click.argument("n_cells", type=int)
@click.argument("out", type=click.Path(path_type=Path))
def subset(corpus_path: Path, embedding: str, n_cells: int, out: Path) -> None:
    """Write vectors and labels of a random part of the cells, or of all."""
    from curate.corpus import Corpus

    corpus = Corpus.open(corpus_path)
    values = np.load(corpus.path / "embeddings" / embedding / "embedding.npy", mmap_mode="r")
    rows = np.sort(np.random.default_rng(0).choice(corpus.n_cells, n_cells, replace=False))
    np.save(out, values[rows])
    corpus.columns(list(COLUMNS), rows=rows).write_parquet(out.with_suffix(".parquet"))


@main.command()
@click.argument("values_path", type=click.Path(path_type=Path))
@click.argument("cells_path", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--repeats", default=2, help="The first loads compiled code and is left out.")
def ours(values_path: Path, cells_path: Path, name: str, repeats: int) -> None:
    """Time a strategy with its defaults."""
    from curate.build.strategies import STRATEGIES

    settings = STRATEGIES[name].resolve(_settings(name))
    strategy = STRATEGIES[name].settled(settings)
    values = np.load(values_path, mmap_mode="r")
    n_chosen = values.shape[0] // 100
    keys = np.random.default_rng(0).integers(0, 2**64, values.shape[0], dtype=np.uint64)
    columns = list(strategy.columns(settings))
    cells = pl.read_parquet(cells_path, columns=columns) if columns else pl.DataFrame(height=len(values))
    embedding = values if strategy.needs_embedding else None
    asked = strategy.from_task(_target(values, cells_path)) if strategy.from_task else {}
    walls, cpus = [], []
    for _ in range(repeats):
        rng = np.random.default_rng(0)
        start, cpu_start = time.perf_counter(), time.process_time()
        shared = strategy.prepare(embedding, **settings, **asked) if strategy.prepare else {}
        chosen = strategy.select(
            cells, embedding, n_chosen, keys=keys, rng=rng, **settings, **asked, **shared
        )
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - cpu_start)
        assert chosen.rows.size == n_chosen
    timed = walls[1:] or walls
    found = {"wall_s": float(np.median(timed)), "cpu_s": float(np.median(cpus[1:] or cpus))}
    click.echo(json.dumps(found | {"n_cells": values.shape[0], "n_chosen": n_chosen, "runs": len(timed)}))


@main.command()
@click.argument("values_path", type=click.Path(path_type=Path))
@click.argument("cells_path", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("n_chosen", type=int)
def peer(values_path: Path, cells_path: Path, name: str, n_chosen: int) -> None:
    """Time the peer of a strategy."""
    values = np.load(values_path)
    cells = pl.read_parquet(cells_path)
    start = time.perf_counter()
    rows = PEERS[name][1](values, cells, n_chosen)
    wall_s = time.perf_counter() - start
    assert np.unique(rows).size == n_chosen
    click.echo(json.dumps({"wall_s": wall_s, "n_cells": values.shape[0], "n_chosen": n_chosen}))


def _settings(name: str) -> dict[str, Any]:
    return {"parts": "0.5 target + 0.3 reweight + 0.2 random"} if name == "combine" else {}


def _target(values: NDArray[np.float32], cells_path: Path) -> Any:
    """Return a task that wants dendritic cells, its reference a part of those in the corpus."""
    from curate.build.task.target import TaskTarget
    from curate.ontology import Ontology

    ontology = Ontology.load()
    wanted = ontology.id_of(WANTED)
    assert wanted is not None
    kinds = {wanted, *ontology.descendants(wanted)}
    terms = pl.read_parquet(cells_path, columns=["cell_type_ontology_term_id"]).to_series().cast(pl.String)
    rows = np.flatnonzero(terms.is_in(list(kinds)).to_numpy())[:N_REFERENCE]
    return TaskTarget("benchmark", (wanted,), True, ontology, np.asarray(values[rows]))


def _pandas_sample(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    return cells.to_pandas().sample(n, random_state=0).index.to_numpy()


def _pandas_groups(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    table = cells.to_pandas()
    share = n / len(table)
    rows = table.groupby("cell_type", observed=True).sample(frac=share, random_state=0).index.to_numpy()
    rest = np.setdiff1d(np.arange(len(table)), rows)[: max(0, n - rows.size)]
    return np.concatenate([rows[:n], rest])


def _geosketch(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    from geosketch import gs

    return np.asarray(gs(values, n, seed=0, replace=False))


def _svd(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    u = np.linalg.svd(values.astype(np.float64), full_matrices=False)[0]
    scores = (u**2).sum(axis=1)
    return np.random.default_rng(0).choice(len(values), n, replace=False, p=scores / scores.sum())


def _pynndescent(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    from pynndescent import NNDescent

    _, distances = NNDescent(values, n_neighbors=16, random_state=0).neighbor_graph
    weights = distances[:, -1].astype(np.float64)
    return np.random.default_rng(0).choice(len(values), n, replace=False, p=weights / weights.sum())


def _fpsample(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    import fpsample

    return np.asarray(fpsample.fps_sampling(values, n, start_idx=0), dtype=np.int64)


def _logistic(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    terms = cells["cell_type"].cast(pl.String).str.contains(WANTED).to_numpy()
    reference = values[np.flatnonzero(terms)[:N_REFERENCE]]
    rng = np.random.default_rng(0)
    drawn = values[rng.choice(len(values), 20_000, replace=False)]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    labels = np.repeat([1, 0], [len(reference), len(drawn)])
    model.fit(np.concatenate([reference, drawn]), labels)
    gumbel = model.decision_function(values) + rng.gumbel(size=len(values))
    return np.argpartition(-gumbel, n)[:n]


def _apricot(values: NDArray[np.float32], cells: pl.DataFrame, n: int) -> NDArray[np.int64]:
    from apricot import FacilityLocationSelection

    return np.asarray(FacilityLocationSelection(n, metric="cosine", optimizer="lazy").fit(values).ranking)


#: Strategy → what its peer is called, the function, and the most cells that it can do in minutes.
PEERS: dict[str, tuple[str, Callable[..., NDArray[np.int64]], int]] = {
    "random": ("pandas sample", _pandas_sample, 1_000_000),
    "stratified": ("pandas groupby sample", _pandas_groups, 1_000_000),
    "sketch": ("geosketch", _geosketch, 200_000),
    "leverage": ("numpy svd, choice", _svd, 1_000_000),
    "density": ("pynndescent, choice", _pynndescent, 200_000),
    "coreset": ("fpsample", _fpsample, 200_000),
    "facility": ("apricot-select", _apricot, 20_000),
    "target": ("scikit-learn logistic, numpy Gumbel", _logistic, 1_000_000),
}

if __name__ == "__main__":
    main()
