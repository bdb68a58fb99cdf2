"""Every strategy with its defaults: 1 million cells beside its peer, and all cells of the corpus."""

from __future__ import annotations

import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import Run, python, run
from benchmarks.strategies_run import PEERS
from benchmarks.table import Row, gigabytes, report, seconds, times
from curate.build.strategies import STRATEGIES

NAME, EMBEDDING = "sctab-like", "pca"
MIDDLE = 1_000_000
SHARE = 100
#: What a peer needs that the tests do not: pip install fpsample apricot-select pynndescent.
PACKAGES = {"coreset": "fpsample", "facility": "apricot", "density": "pynndescent"}

NOTES = [
    "1 % is chosen with default settings; wall time of choosing, preparing included, without reading files",
    "memory: peak of the process, pages of the memory-mapped embedding included",
    "target, ontology, combine: the task wants dendritic cells, 2,000 of them the reference",
    "the embedding is simulated: clusters of unequal size, as described in sctab_like_embedding.py",
]


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option("--only", help="Names of strategies joined by commas.")
@click.option("--repeats", default=3, show_default=True, help="At 1 million; the first loads compiled code.")
@click.option("--whole", is_flag=True, help="All cells, once, and no peer.")
def command(workspace: Path, *, name: str, only: str | None, repeats: int, whole: bool) -> None:
    """Choose 1 % of 1 million cells of a corpus by each strategy and its peer, or 1 % of all cells."""
    corpus = workspace / "corpora" / name
    chosen = only.split(",") if only else list(STRATEGIES)
    if whole:
        everything = corpus / "embeddings" / EMBEDDING / "embedding.npy"
        report(
            "strategies-whole",
            "Strategies, all cells",
            [_whole(each, everything, corpus / "cells.parquet") for each in chosen],
            notes=["one run each, which loads compiled code", *NOTES],
        )
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=workspace) as folder:
        sizes = sorted({MIDDLE, *(PEERS[each][2] for each in chosen if each in PEERS)})
        values = {n: Path(folder) / f"{n}.npy" for n in sizes}
        for n, path in values.items():
            run(python("benchmarks.strategies_run", "subset", corpus, EMBEDDING, n, path), n_runs=1)
        for each in chosen:
            rows += _rows(each, values, repeats)
    timed = f"medians of {repeats - 1} runs after one that loads compiled code"
    peers = "peers: one run, the array in memory; where one cannot do a million in minutes, both at fewer"
    report("strategies", "Strategies", rows, notes=[timed, peers, *NOTES])


def _rows(name: str, values: dict[int, Path], repeats: int) -> list[Row]:
    figures, measured = _ours(name, values[MIDDLE], repeats)
    what = f"{name}, 1 % of {MIDDLE:,}"
    ours = f"{seconds(figures['wall_s'])}, {gigabytes(measured.peak_bytes)}"
    if name not in PEERS:
        return [Row(what, ours)]
    peer, _, most = PEERS[name]
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        return [Row(what, ours, f"{peer}: not installed")]
    rows = [Row(what, ours)] if most < MIDDLE else []
    if most < MIDDLE:
        figures, measured = _ours(name, values[most], repeats)
        what = f"{name}, 1 % of {most:,}"
        ours = f"{seconds(figures['wall_s'])}, {gigabytes(measured.peak_bytes)}"
    arguments = ("peer", values[most], values[most].with_suffix(".parquet"), name, most // SHARE)
    theirs = run(python("benchmarks.strategies_run", *arguments), n_runs=1)
    wall_s = json.loads(theirs.output.splitlines()[-1])["wall_s"]
    told = f"{seconds(wall_s)}, {gigabytes(theirs.peak_bytes)} ({peer})"
    return [*rows, Row(what, ours, told, times(wall_s, figures["wall_s"]))]


def _whole(name: str, values: Path, cells: Path) -> Row:
    figures, measured = _ours(name, values, 1, cells=cells)
    ours = f"{seconds(figures['wall_s'])}, {gigabytes(measured.peak_bytes)}"
    return Row(f"{name}, 1 % of {figures['n_cells']:,}", ours)


def _ours(name: str, values: Path, repeats: int, *, cells: Path | None = None) -> tuple[dict[str, Any], Run]:
    labels = cells or values.with_suffix(".parquet")
    command = python("benchmarks.strategies_run", "ours", values, labels, name, "--repeats", repeats)
    measured = run(command, n_runs=1)
    return json.loads(measured.output.splitlines()[-1]), measured
