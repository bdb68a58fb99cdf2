"""random, stratified and reweight on the whole index, beside the study's procedure in pandas."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from benchmarks.make_corpus import NAME
from benchmarks.measure import curate, python, run
from benchmarks.table import Row, report, times
from curate.corpus import Corpus

STRATEGIES = ("random", "stratified", "reweight")
#: fraction → (seconds, bytes) allowed
TARGETS = {0.01: (3.0, 2e9), 0.75: (8.0, 4e9)}
MANIFEST = "benchmark-select"


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--peer-runs", default=3, show_default=True, help="Of pandas; 0 leaves it out.")
@click.option("--targets/--no-targets", default=True, help="Those for 22.2M cells on 2 cores.")
def command(workspace: Path, *, name: str, runs: int, peer_runs: int, targets: bool) -> None:
    """Time the whole command, process start included, and its peak memory."""
    corpus = Corpus.open(workspace / "corpora" / name)
    rows = []
    for fraction, (most_s, most_bytes) in TARGETS.items():
        for strategy in STRATEGIES:
            arguments = ("--corpus", name, "--strategy", strategy, "--fraction", fraction, "--name", MANIFEST)
            ours = run(
                curate("-C", workspace, "build", *arguments),
                n_runs=runs,
                before=lambda: _clean(workspace),
            )
            theirs = (
                run(
                    python(
                        "benchmarks.peers",
                        "select",
                        corpus.path / "cells.parquet",
                        strategy,
                        fraction,
                        0,
                        workspace / "peer.parquet",
                    ),
                    n_runs=peer_runs,
                )
                if peer_runs
                else None
            )
            rows.append(
                Row(
                    f"{strategy}, {fraction:g} of {corpus.n_cells:,}",
                    str(ours),
                    str(theirs) if theirs else "",
                    times(theirs.wall_s, ours.wall_s) if theirs else "",
                    f"< {most_s:g} s, < {most_bytes / 1e9:g} GB" if targets else "",
                    ours.wall_s < most_s and ours.peak_bytes < most_bytes if targets else None,
                )
            )
    _clean(workspace)
    (workspace / "peer.parquet").unlink(missing_ok=True)
    notes = [
        "ours: `curate build`, process start included, down to a manifest on disk with splits, composition, "
        "diversity and an id",
        "peer: the study's procedure in pandas (benchmarks/peers.py), from the same cells.parquet to a list "
        "of joinids and splits; it derives no id",
        f"medians of {runs} runs, of the peer {peer_runs}",
    ]
    report(f"select-{name}" if name != NAME else "select", "random, stratified, reweight", rows, notes=notes)


def _clean(workspace: Path) -> None:
    shutil.rmtree(workspace / "manifests" / MANIFEST, ignore_errors=True)
