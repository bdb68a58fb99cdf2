"""Dense batches of the loader beside tiledbsoma-ml, scDataset and an in-memory matrix, whole epochs."""

from __future__ import annotations

import json
import statistics
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from benchmarks.loader_data import CORPUS, whole_corpus
from benchmarks.measure import python, run
from benchmarks.table import Row, report

NEEDS = {"scdataset": "scdataset", "tiledbsoma-ml": "tiledbsoma_ml", "streamed": "tiledbsoma_ml"}
#: Peer, least ratio.
TARGETS = (("tiledbsoma-ml", 15.0), ("scdataset", 3.0), ("in-memory", 0.6))
WAYS = {
    "normalised": "normalised, log1p",
    "masked": "normalised, log1p, random masks",
    "workers": "in 2 workers of a torch DataLoader",
    "rank": "rank 0 of 2, by itself",
    "streamed": "streamed from the store (CensusLoader)",
}
WITHIN = 0.02

NOTES = [
    "batches of 256 cells, dense float32, raw counts but where said; cells a second, one epoch a turn, ours "
    "and the peers in turns: medians, the ratio that of the ratios of each turn",
    "ours: ShardLoader, 2 threads, files in the page cache",
    "tiledbsoma-ml: its defaults, io_batch_size 65,536, shuffle_chunk_size 64, no workers, eager fetch",
    "scDataset: h5ad without compression, BlockShuffling(16), fetches of 16,384 cells as in its paper",
    "in-memory CSR: scipy, float32, rows taken in a random order and made dense, one thread",
    "entropy: of a label within batches, mean, beside batches of a full shuffle; the cells of a dataset lie "
    "together in the store",
]


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", default=CORPUS, show_default=True)
@click.option("--turns", default=3, show_default=True)
@click.option("--prepare", "only_prepare", is_flag=True, help="Make the data and stop.")
def command(workspace: Path, *, corpus: str, turns: int, only_prepare: bool) -> None:
    """Load the training cells of a corpus with counts by every loader that is installed.

    Their files are made once, under WORKSPACE/loader.
    """
    folder = workspace / "loader" / corpus
    if not (folder / "store.json").exists():
        run(python("benchmarks.loader_data", workspace, whole_corpus(workspace, corpus), folder), n_runs=1)
    if only_prepare:
        return
    absent = [name for name, package in NEEDS.items() if find_spec(package) is None]
    # In turns: what else the machine does then falls on all of them.
    beside = [name for name in ("ours", *(peer for peer, _ in TARGETS)) if name not in absent]
    others = [name for name in (*WAYS, "unshuffled", "full-shuffle") if name not in absent]
    found: dict[str, list[Any]] = {}
    for names, n in ((beside, turns), (others, 1)):
        done = run(python("benchmarks.loader_run", ",".join(names), folder, "--turns", n), n_runs=1)
        found |= json.loads(done.output.splitlines()[-1])
    report("loader", "Loader", [*_speeds(found), *_shuffles(found)], notes=NOTES)


def _speeds(found: dict[str, list[Any]]) -> list[Row]:
    speeds = {name: [each["rate"] for each in turns] for name, turns in found.items()}
    rows = []
    for peer, least in TARGETS:
        what = f"cells a second, beside {peer}"
        ours = f"{statistics.median(speeds['ours']):,.0f}"
        if peer not in speeds:
            rows.append(Row(what, ours, "not installed"))
            continue
        ratio = statistics.median(a / b for a, b in zip(speeds["ours"], speeds[peer], strict=True))
        told = f"{statistics.median(speeds[peer]):,.0f}"
        rows.append(Row(what, ours, told, f"{ratio:.3g} x", f">= {least:g} x", ratio >= least))
    return rows + [Row(what, f"{speeds[name][0]:,.0f}") for name, what in WAYS.items() if name in speeds]


def _shuffles(found: dict[str, list[Any]]) -> list[Row]:
    rows = []
    for label in ("cell_type", "dataset_id"):
        full = found["full-shuffle"][0][f"entropy_{label}"]
        for name in ("ours", "workers", "in-memory", "scdataset", "tiledbsoma-ml", "unshuffled"):
            if name not in found:
                continue
            bits = found[name][0][f"entropy_{label}"]
            is_ours = name in ("ours", "workers")
            rows.append(
                Row(
                    f"entropy of {label} in batches, {name}",
                    f"{bits:.3f} bits",
                    f"{full:.3f} (full shuffle)",
                    f"{bits / full:.4f}",
                    ">= 0.98" if is_ours else "",
                    bits >= (1 - WITHIN) * full if is_ours else None,
                )
            )
    return rows
