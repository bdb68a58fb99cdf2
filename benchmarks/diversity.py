"""Diversity: the Vendi score, the search for the nearest chosen cell, and the command as a whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from benchmarks.make_corpus import NAME
from benchmarks.measure import Run, curate, python, run
from benchmarks.table import Row, report, seconds, times
from curate.build.diversity.space import KEPT_FOLDER
from curate.corpus import Corpus

EMBEDDING, MANIFEST = "pca", "benchmark-diversity"
SMALL, LARGE = 200_000, 2_000_000
FRACTIONS = ("0.01", "0.5")


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option("--large/--no-large", default=True, help="2 million and all cells too.")
def command(workspace: Path, *, name: str, large: bool) -> None:
    """Measure the parts beside their peers, then `curate diversity` on 1 % and 50 % of a corpus."""
    corpus = Corpus.open(workspace / "corpora" / name)
    path = corpus.embeddings_path / EMBEDDING / "embedding.npy"
    sizes = [SMALL, *([LARGE, corpus.n_cells] if large else [])]
    rows = [row for n in sizes for row in _vendi_rows(path, n, has_peer=n <= LARGE)]
    rows += [row for n in sizes for row in _nearest_rows(path, n, has_peer=n <= SMALL)]
    rows += [row for fraction in FRACTIONS for row in _command_rows(workspace, corpus, fraction)]
    notes = [
        "Vendi score, peer: vendi_score 0.0.3, score_dual on the vectors in memory; both without imports",
        "nearest: from 10,000 cells; peers: scikit-learn, all distances in blocks "
        "(pairwise_distances_argmin_min) and its k-d tree on all processors; compiled code loaded before",
        "difference: the largest between distances",
        "command: process start included, 10,000 probes; again: what takes long is kept",
        "memory: pages of the memory-mapped embedding included, which the system takes back when needed",
    ]
    report("diversity" if large else "diversity-small", "Diversity", rows, notes=notes)


def _vendi_rows(path: Path, n: int, *, has_peer: bool) -> list[Row]:
    found = _figures("vendi", path, n, has_peer=has_peer)
    what = f"Vendi score of {n:,} cells"
    if not has_peer:
        return [Row(what, seconds(found["ours_s"]))]
    peer = f"{seconds(found['peer_s'])} (relative difference {found['difference']:.1e})"
    return [Row(what, seconds(found["ours_s"]), peer, times(found["peer_s"], found["ours_s"]))]


def _nearest_rows(path: Path, n: int, *, has_peer: bool) -> list[Row]:
    found = _figures("nearest", path, n, has_peer=has_peer)
    what, ours = f"nearest of {n:,} cells", seconds(found["ours_s"])
    if not has_peer:
        return [Row(what, ours)]
    brute = f"{seconds(found['brute_s'])} (difference {found['difference']:.2g})"
    return [
        Row(f"{what}, beside all distances", ours, brute, times(found["brute_s"], found["ours_s"])),
        Row(
            f"{what}, beside a k-d tree",
            ours,
            seconds(found["tree_s"]),
            times(found["tree_s"], found["ours_s"]),
        ),
    ]


def _command_rows(workspace: Path, corpus: Corpus, fraction: str) -> list[Row]:
    arguments = ("-C", workspace, "build", "--corpus", corpus.name, "--strategy", "random", "--fraction")
    run(curate(*arguments, fraction, "--name", MANIFEST), n_runs=1)
    try:
        shutil.rmtree(corpus.path / KEPT_FOLDER, ignore_errors=True)
        first, again = (run(curate("-C", workspace, "diversity", MANIFEST), n_runs=1) for _ in range(2))
    finally:
        shutil.rmtree(workspace / "manifests" / MANIFEST)
        shutil.rmtree(corpus.path / KEPT_FOLDER, ignore_errors=True)
    return [_command_row(fraction, first, "and the corpus"), _command_row(fraction, again, "again")]


def _command_row(fraction: str, measured: Run, which: str) -> Row:
    return Row(f"curate diversity, {fraction} of the cells, {which}", str(measured))


def _figures(step: str, path: Path, n: int, *, has_peer: bool) -> dict[str, Any]:
    peer = "--peer" if has_peer else "--no-peer"
    output = run(python("benchmarks.diversity_run", step, path, n, peer), n_runs=1).output
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures
