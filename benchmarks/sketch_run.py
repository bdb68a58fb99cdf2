"""One sketch, or one comparison of sketches, in a process of its own; prints JSON for `benchmarks.sketch`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from curate.build.strategies.sketch import sketch

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

N_HELD_BACK = 20_000
SEEDS = 5
RARE_SHARE = 0.001


@click.group()
def main() -> None:
    """Run one step of the benchmark."""


@main.command()
@click.argument("corpus_path", type=click.Path(path_type=Path))
@click.argument("embedding")
@click.argument("n_cells", type=int)
@click.argument("out", type=click.Path(path_type=Path))
def subset(corpus_path: Path, embedding: str, n_cells: int, out: Path) -> None:
    """Write the vectors and the types of a random part of the cells, and as many more to hold back."""
    from curate.corpus import Corpus

    corpus = Corpus.open(corpus_path)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(corpus.n_cells, n_cells + N_HELD_BACK, replace=False))
    types = corpus.columns(["cell_type"])["cell_type"]
    shares = types.value_counts(normalize=True)
    rare = shares.filter(shares["proportion"] < RARE_SHARE)["cell_type"].cast(str).to_list()
    held_back = np.zeros(rows.size, np.bool_)
    held_back[rng.choice(rows.size, N_HELD_BACK, replace=False)] = True
    values = np.load(corpus.path / "embeddings" / embedding / "embedding.npy", mmap_mode="r")
    np.save(out.with_suffix(".npy"), values[rows[~held_back]])
    np.save(out.with_suffix(".held.npy"), values[rows[held_back]])
    np.save(out.with_suffix(".rare.npy"), _is_one_of(types[rows[~held_back]], rare))


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("fractions")
@click.option("--repeats", default=1)
def ours(path: Path, fractions: str, repeats: int) -> None:
    """Time the covering, and a draw of each fraction; of several repeats the first loads compiled code."""
    from curate.build.covering.covering import cover
    from curate.build.covering.draw import draw

    values = np.load(path, mmap_mode="r")
    n = values.shape[0]
    keys = np.random.default_rng(0).integers(0, 2**64, n, dtype=np.uint64)
    runs: list[dict[str, Any]] = []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        covering = cover(values, n // 100)
        cover_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        draws_s, before = {}, np.zeros(n, np.bool_)
        for fraction in map(float, fractions.split(",")):
            start = time.perf_counter()
            rows = draw(covering, int(fraction * n), keys=keys)
            draws_s[f"{fraction:g}"] = time.perf_counter() - start
            assert rows.size == int(fraction * n)
            assert before[rows].sum() == before.sum(), "sketches do not nest"
            before[rows] = True
        runs.append({"cover_s": cover_s, "cpu_s": cpu_s, "draws_s": draws_s})
    timed = sorted(runs[1:] or runs, key=lambda run: run["cover_s"])
    median = timed[len(timed) // 2]
    found = {"n_boxes": covering.n_boxes, "unit": covering.unit, "n_tried": covering.n_tried}
    click.echo(json.dumps(median | found | {"n_cells": n, "n_dimensions": values.shape[1]}))


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def geosketch(path: Path, out: Path) -> None:
    """Time geosketch.gs, which says on standard error which side lengths it tries."""
    from geosketch import gs

    values = np.load(path)
    start = time.perf_counter()
    rows = gs(values, values.shape[0] // 100, seed=0, replace=False)
    wall_s = time.perf_counter() - start
    np.save(out, rows)
    click.echo(json.dumps({"wall_s": wall_s}))


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
def quality(path: Path, theirs: Path) -> None:
    """Compare 1 % of the cells by uniform choice, ours and geosketch's."""
    values, held = np.load(path), np.load(path.with_suffix(".held.npy"))
    rare = np.load(path.with_suffix(".rare.npy"))
    n, n_chosen = values.shape[0], values.shape[0] // 100
    chosen: dict[str, list[NDArray[np.int64]]] = {"uniform": [], "ours": [], "geosketch": [np.load(theirs)]}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        keys = rng.integers(0, 2**64, n, dtype=np.uint64)
        chosen["uniform"].append(rng.choice(n, n_chosen, replace=False))
        cells: Any = None
        chosen["ours"].append(sketch(cells, values, n_chosen, keys=keys, rng=rng).rows)
    figures = {
        name: {
            "hausdorff": float(np.median([partial_hausdorff(held, values[each]) for each in rows])),
            "rare": float(np.median([rare[each].mean() for each in rows])),
        }
        for name, rows in chosen.items()
    }
    click.echo(json.dumps(figures | {"rare_share": float(rare.mean())}))


def partial_hausdorff(
    held: NDArray[np.float32], sketched: NDArray[np.float32], *, left_out: float = 0.001
) -> float:
    """Return the largest distance from a held-back cell to the nearest sketched, the worst 0.1 % left out."""
    from sklearn.neighbors import NearestNeighbors

    distances, _ = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(sketched).kneighbors(held)
    return float(np.quantile(distances, 1 - left_out))


def _is_one_of(types: pl.Series, names: list[str]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = types.cast(str).is_in(names).to_numpy()
    return found


if __name__ == "__main__":
    main()
