"""Materialising beside reading the same cells raw, and layouts of shards beside each other."""

from __future__ import annotations

import json
import statistics
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks.loader_data import CORPUS, whole_corpus
from benchmarks.measure import python, run
from benchmarks.table import Row, report, seconds

TARGET = 0.7
RAW = {
    "tiledbsoma": "tiledbsoma, blockwise CSR",
    "csr": "CSR blocks of Census.read_counts, dropped",
    "tables": "Arrow tables, not assembled, dropped",
}
LAYOUTS = {
    "csr16": "memory-mapped CSR, 16 bits (ours)",
    "csr32": "memory-mapped CSR, 32 bits",
    "arrow": "Arrow IPC, lz4, 16 bits",
    "parquet": "Parquet, zstd, 16 bits",
    "zarr": "sharded Zarr v3 by anndata",
    "zarrs": "sharded Zarr v3 by anndata with zarrs",
}
NOTES = [
    "materialize: from the manifest to checksummed shards on disk; raw: the same cells, two threads "
    "(tiledbsoma's blockwise reader: its own); in turns but for that one, once; the ratio is the "
    "median of the ratios of each turn",
    "layouts: chunks of 512 cells read in a random order, 64 at a time, their cells shuffled and made dense "
    "batches of 256 by the same code in one thread; files in the page cache; medians of the epochs",
]


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", default=CORPUS, show_default=True)
@click.option("--turns", default=3, show_default=True)
@click.option("--no-layouts", is_flag=True, help="Materialize alone.")
def command(workspace: Path, *, corpus: str, turns: int, no_layouts: bool) -> None:
    """Materialise all cells of a corpus with counts, beside reading them; compare layouts of the shards."""
    manifest = whole_corpus(workspace, corpus)
    rows: list[Row] = []
    with TemporaryDirectory(dir=workspace) as folder:
        arguments = ("speed", workspace, manifest, Path(folder) / "out", "--turns", turns)
        done = run(python("benchmarks.shards_run", *arguments), n_runs=1)
        rows += _speeds(json.loads(done.output.splitlines()[-1]), done.peak_bytes)
        if not no_layouts:
            rows += _layouts(Path(folder) / "out", Path(folder))
    report("shards", "Shards: materialize, and layouts", rows, notes=NOTES)


def _speeds(found: dict[str, Any], peak_bytes: int) -> list[Row]:
    ours = statistics.median(found["ours"])
    rows = []
    for name, what in RAW.items():
        ratio = statistics.median(raw / own for raw, own in zip(found[name], found["ours"], strict=True))
        rows.append(
            Row(
                f"materialize {found['n_cells']:,} cells, beside {what}",
                seconds(ours),
                seconds(statistics.median(found[name])),
                f"{ratio:.0%} of its speed",
                f">= {TARGET:.0%}",
                ratio >= TARGET,
            )
        )
    rate = found["n_bytes"] / statistics.median(found["verify"]) / 1e9
    rows.append(Row("… bytes a cell on disk", f"{found['n_bytes'] / found['n_cells']:,.0f}"))
    rows.append(Row("… peak memory, with the raw readings", f"{peak_bytes / 1e9:.2f} GB"))
    rows.append(Row("verify", f"{rate:.2f} GB/s"))
    return rows


def _layouts(shards: Path, folder: Path) -> list[Row]:
    rows = []
    for name, what in LAYOUTS.items():
        if name == "zarrs" and find_spec("zarrs") is None:
            rows.append(Row(what, "not installed"))
            continue
        done = run(python("benchmarks.shards_run", "layout", name, shards, folder / name), n_runs=1)
        found = json.loads(done.output.splitlines()[-1])
        ours = f"{found['rate']:,.0f} batches/s"
        size = (
            f"{found['n_bytes'] / found['n_cells']:,.0f} bytes a cell, written in {seconds(found['write_s'])}"
        )
        rows.append(Row(f"{what}: {size}", ours))
    return rows
