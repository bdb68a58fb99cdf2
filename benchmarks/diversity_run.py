"""One computation of diversity, in a process of its own; prints JSON for `benchmarks.diversity`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

N_PROBES = 10_000


@click.group()
def main() -> None:
    """Run one computation."""


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("n_cells", type=int)
@click.option("--peer/--no-peer", default=True)
def vendi(path: Path, n_cells: int, *, peer: bool) -> None:
    """Score a random part of the cells, or all; the peer is `vendi_score.vendi.score_dual`."""
    from curate.build.diversity.vendi import blocks_of, spectrum, vendi_score

    values, rows = _part(path, n_cells)
    # Reads what is to be read from disk, and loads the libraries.
    vendi_score(spectrum(blocks_of(values, np.arange(1000) if rows is None else rows)))
    found: dict[str, Any] = {}
    found["ours_s"], ours = _timed(lambda: vendi_score(spectrum(blocks_of(values, rows))))
    if peer:
        from vendi_score import vendi as package

        held = values[:] if rows is None else values[rows]
        found["peer_s"], theirs = _timed(lambda: package.score_dual(held.astype(np.float64)))
        found["difference"] = abs(ours / theirs - 1)
    click.echo(json.dumps(found))


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("n_cells", type=int)
@click.option("--peer/--no-peer", default=True)
def nearest(path: Path, n_cells: int, *, peer: bool) -> None:
    """Find the nearest of a random part of the cells to 10,000 others; the peers are scikit-learn's."""
    from curate.build.diversity.neighbours import nearest_cells

    values, rows = _part(path, n_cells)
    chosen = np.arange(len(values)) if rows is None else rows
    probes = np.sort(np.random.default_rng(1).choice(len(values), N_PROBES, replace=False))
    # Loads the compiled code.
    nearest_cells(values, chosen[:2000], probes[:10])
    found: dict[str, Any] = {}
    found["ours_s"], (_, ours) = _timed(lambda: nearest_cells(values, chosen, probes))
    if peer:
        from sklearn.metrics import pairwise_distances_argmin_min
        from sklearn.neighbors import NearestNeighbors

        held, looking = values[chosen], np.asarray(values[probes])
        found["brute_s"], (_, theirs) = _timed(lambda: pairwise_distances_argmin_min(looking, held))
        found["difference"] = float(np.abs(ours - theirs).max())
        found["tree_s"], _ = _timed(
            lambda: (
                NearestNeighbors(n_neighbors=1, algorithm="kd_tree", n_jobs=-1).fit(held).kneighbors(looking)
            )
        )
    click.echo(json.dumps(found))


def _part(path: Path, n_cells: int) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    values: NDArray[np.float32] = np.load(path, mmap_mode="r")
    if n_cells >= len(values):
        return values, None
    return values, np.sort(np.random.default_rng(0).choice(len(values), n_cells, replace=False))


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
