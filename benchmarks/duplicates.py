"""`curate duplicates`: hashing beside raw reading, and beside rows hashed or compared in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.embed_data import simulated_corpus
from benchmarks.measure import Run, python, run
from benchmarks.table import Row, gigabytes, report, seconds, times

CHILD = "benchmarks.duplicates_child"
LEAST_SHARE = 0.7
N_DENSE, N_GROUPED = 4_000, 22_189_056


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("embed-benchmark"), show_default=True)
@click.option("--n-cells", default=60_000, show_default=True)
@click.option("--runs", default=3, show_default=True)
def command(folder: Path, n_cells: int, runs: int) -> None:
    """Hash the counts of simulated cells of 19,331 genes (made in FOLDER, about 5 minutes)."""
    corpus = simulated_corpus(folder, n_cells)
    store = Path(corpus.census_uri())
    _, found = child("throughput", corpus.path, runs)
    ours, raw, raw_1 = (found["n"] / found[name] for name in ("ours", "raw", "raw_1"))
    rows = [
        Row(
            f"hashing {found['n']:,} cells",
            f"{ours:,.0f} cells/s, {seconds(found['ours'])}",
            f"raw {raw:,.0f} cells/s (one thread {raw_1:,.0f})",
            f"{ours / raw:.0%}",
            f"{LEAST_SHARE:.0%}",
            ours >= LEAST_SHARE * raw,
        ),
        *_beside("pandas", f"finding equal cells among {n_cells:,}", store, n_cells, runs),
        *_beside("unique", f"finding equal cells among {N_DENSE:,}", store, N_DENSE, runs),
    ]
    done, grouped = child("grouping", N_GROUPED)
    rows.append(
        Row(
            f"grouping {N_GROUPED:,} hashes, {grouped['n']:,} groups",
            f"{seconds(grouped['wall_s'])}, {gigabytes(done.peak_bytes)}",
        )
    )
    notes = (
        "Cells: curate's simulated atlas, about 2,100 non-zeros a cell; 6 % of them repeat others.",
        "Raw: the same ranges of rows as Arrow tables thrown away, by two threads as in hashing; in turns.",
        "pandas: cellxgene_census.get_anndata, SHA-256 of the bytes of each row, Series.duplicated.",
        f"unique: get_anndata, np.unique(axis=0) of the dense rows; {N_DENSE:,} cells, for memory.",
    )
    report("duplicates", "Duplicates", rows, notes=notes)


def child(*arguments: object, n_runs: int = 1) -> tuple[Run, dict[str, Any]]:
    done = run(python(CHILD, *arguments), n_runs=n_runs)
    found: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    return done, found


def _beside(peer: str, what: str, store: Path, n_cells: int, n_runs: int) -> list[Row]:
    ours, found = child("ours", store, n_cells, n_runs=n_runs)
    theirs, also = child(peer, store, n_cells, n_runs=n_runs)
    return [
        Row(what, str(ours), f"{peer}: {theirs}", times(theirs.wall_s, ours.wall_s)),
        Row(
            "… the same cells found",
            found["rows"],
            also["rows"],
            target="equal",
            met=found["rows"] == also["rows"],
        ),
    ]
