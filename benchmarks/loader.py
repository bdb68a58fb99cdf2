"""Dense batches of the loader beside tiledbsoma-ml, scDataset and an in-memory matrix, whole epochs."""

from __future__ import annotations

import json
import statistics
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

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
    "batches of 256 cells, dense float32, raw counts but where said; cells a second, median of the epochs",
    "ours: ShardLoader, 2 threads, files in the page cache",
    "tiledbsoma-ml: its defaults, io_batch_size 65,536, shuffle_chunk_size 64, no workers, eager fetch",
    "scDataset: h5ad without compression, BlockShuffling(16), fetches of 16,384 cells as in its paper",
    "in-memory CSR: scipy, float32, rows taken in a random order and made dense, one thread",
    "entropy: of a label within batches, mean, beside batches of a full shuffle; the cells of a dataset lie "
    "together in the store",
]


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.argument("manifest")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Data are made here once.")
@click.option("--epochs", default=3, show_default=True)
@click.option("--only", help="Names of loaders joined by commas.")
@click.option("--prepare", "only_prepare", is_flag=True, help="Make the data and stop.")
def command(
    workspace: Path, manifest: str, *, folder: Path, epochs: int, only: str | None, only_prepare: bool
) -> None:
    """Load the training cells of a MANIFEST without spike-ins by every loader that is installed."""
    if not (folder / "store.json").exists():
        run(python("benchmarks.loader_data", workspace, manifest, folder), n_runs=1)
    if only_prepare:
        return
    names = ["ours", "in-memory", "scdataset", "tiledbsoma-ml", *WAYS, "unshuffled", "full-shuffle"]
    found: dict[str, Any] = {}
    for name in names:
        if only and name not in only.split(","):
            continue
        if name in NEEDS and find_spec(NEEDS[name]) is None:
            continue
        n_epochs = 1 if name == "streamed" else epochs
        done = run(python("benchmarks.loader_run", name, folder, "--epochs", n_epochs), n_runs=1)
        found[name] = json.loads(done.output.splitlines()[-1])
    report("loader", "Loader", [*_speeds(found), *_shuffles(found)], notes=NOTES)


def _speeds(found: dict[str, Any]) -> list[Row]:
    speeds = {name: statistics.median(each["rates"]) for name, each in found.items() if each["rates"]}
    rows = []
    for peer, least in TARGETS:
        what = f"cells a second, beside {peer}"
        ours = f"{speeds['ours']:,.0f}" if "ours" in speeds else ""
        if peer not in speeds or not ours:
            rows.append(Row(what, ours, "not installed"))
            continue
        ratio = speeds["ours"] / speeds[peer]
        met = ratio >= least
        rows.append(Row(what, ours, f"{speeds[peer]:,.0f}", f"{ratio:.3g} x", f">= {least:g} x", met))
    return rows + [Row(what, f"{speeds[name]:,.0f}") for name, what in WAYS.items() if name in speeds]


def _shuffles(found: dict[str, Any]) -> list[Row]:
    rows = []
    for label in ("cell_type", "dataset_id"):
        full = found.get("full-shuffle", {}).get(f"entropy_{label}")
        if full is None:
            continue
        for name in ("ours", "workers", "in-memory", "scdataset", "tiledbsoma-ml", "unshuffled"):
            if name not in found:
                continue
            bits = found[name][f"entropy_{label}"]
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
