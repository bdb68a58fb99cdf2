"""`curate embed`: beside raw reading and scanpy, its memory, Dask workers, and fits on less than all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.embed_data import repeated_corpus, simulated_corpus
from benchmarks.measure import Run, python, run
from benchmarks.table import Row, gigabytes, report, seconds, times

MEMORY_LIMIT = 2e9
CHILD = "benchmarks.embed_child"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("embed-benchmark"), show_default=True)
@click.option("--runs", default=3, show_default=True)
def command(folder: Path, runs: int) -> None:
    """Embed 20,000, 60,000 and 240,000 simulated cells of 19,331 genes (made in FOLDER, about 15 minutes)."""
    small, middle = (simulated_corpus(folder, n).path for n in (20_000, 60_000))
    large = repeated_corpus(folder, 60_000, times=4).path
    rows = [
        *throughput(small, middle, large, runs),
        *memory(small, middle, large),
        *workers(large, runs),
        *peer(middle, folder),
        *samples(middle, folder),
    ]
    notes = (
        "Cells: curate's simulated atlas, about 2,100 non-zeros a cell; 240,000 are the 60,000 four times.",
        "Reading: the same ranges of cells, in the same order and as often, by as many threads as embed has, "
        "thrown away; they take turns with embed. The first peer is embed's own reader (`read_counts`: CSR, "
        "the genes of each pass), the others are tiledbsoma's Arrow tables of all genes, with curate's "
        "settings of TileDB and with 64 MiB buffers and nothing else set. Files are in the page cache.",
        "Why not 70 % of Arrow tables: making rows of a sparse matrix of their entries takes a third of the "
        "time (the first peer beside the second), and every use of counts needs it.",
        "Times are taken inside the process, without imports; peak memory is that of the whole process.",
        "Corpora of less than half a million cells are fitted on as a whole; here the share is as asked for.",
        "scanpy: float32, with the counts in memory; what is compared is the space its 50 components span.",
        "Explained: R² of the embedding fitted on all cells, regressed on the one fitted on fewer.",
    )
    report("embed", "Embedding", rows, notes=notes)


def child(*arguments: object, n_runs: int = 1) -> tuple[Run, dict[str, Any]]:
    done = run(python(CHILD, *arguments), n_runs=n_runs)
    found: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    return done, found


def throughput(small: Path, middle: Path, large: Path, n_runs: int) -> list[Row]:
    rows = []
    for corpus, fit_fraction, n in [(large, 0.1, n_runs), (middle, 1.0, n_runs), (large, 1.0, 1)]:
        _, found = child("throughput", corpus, small, fit_fraction, n)
        ours, raw, tables, plain = (found[name] for name in ("ours", "raw", "tables", "tiledbsoma"))
        what = f"{found['n_cells']:,} cells, fit {fit_fraction:.0%}"
        speed = f"{found['n_read'] / ours:,.0f} cells/s, {seconds(ours)}"
        once = raw * found["n_cells"] / found["n_read"]
        rows += [
            Row(
                f"{what}: {found['n_read']:,} cells read; peer: the same blocks, not worked on",
                speed,
                f"{found['n_read'] / raw:,.0f} cells/s, {seconds(raw)}",
                f"{raw / ours:.0%}",
                "70%",
                raw >= 0.7 * ours,
            ),
            Row(
                "… as Arrow tables, not assembled",
                "",
                seconds(tables),
                f"{tables / ours:.0%}",
                "70%",
                tables >= 0.7 * ours,
            ),
            Row("… the same with tiledbsoma's settings", "", seconds(plain), f"{plain / ours:.0%}"),
            Row("… one pass over the store, of the first peer", "", seconds(once), f"{once / ours:.0%}"),
        ]
    return rows


def memory(small: Path, middle: Path, large: Path) -> list[Row]:
    rows = []
    for n, corpus, fit_fraction in [
        (20, small, 0.1),
        (60, middle, 0.1),
        (60, middle, 1.0),
        (240, large, 0.1),
    ]:
        done, found = child("ours", corpus, fit_fraction)
        rows.append(
            Row(
                f"peak memory, {n},000 cells, fit {fit_fraction:.0%} ({found['n_fitted']:,} cells)",
                f"{gigabytes(done.peak_bytes)}, {seconds(found['wall_s'])}",
                target=gigabytes(MEMORY_LIMIT),
                met=done.peak_bytes < MEMORY_LIMIT,
            )
        )
    return rows


def workers(corpus: Path, n_runs: int) -> list[Row]:
    found, walls = set(), {}
    for n in (None, 1, 2):
        arguments = ["ours", corpus, 0.1, "--min-cells", 1] + ([] if n is None else ["--workers", n])
        done = [child(*arguments)[1] for _ in range(n_runs)]
        walls[n] = float(np.median([one["wall_s"] for one in done]))
        found |= {one["sha256"] for one in done}
    return [
        Row(
            "240,000 cells, fit 10%: 2 Dask workers, beside 1",
            seconds(walls[2]),
            f"{seconds(walls[1])} (no Dask: {seconds(walls[None])})",
            times(walls[1], walls[2]),
            "> 1 x",
            walls[2] < walls[1],
        ),
        Row(
            "the same bits by threads, 1 and 2 workers",
            "yes" if len(found) == 1 else "no",
            target="yes",
            met=len(found) == 1,
        ),
    ]


def peer(corpus: Path, folder: Path) -> list[Row]:
    ours, ours_found = child("ours", corpus, 1.0, "--hvg-fraction", 1, "--name", "as-scanpy")
    ours_s = ours_found["wall_s"]
    theirs, found = child("scanpy", corpus, folder / "scanpy.npy")
    theirs_s = found["read_s"] + found["compute_s"]
    values = np.load(corpus / "embeddings/as-scanpy/embedding.npy")
    agreement = explained(np.load(folder / "scanpy.npy"), values)
    return [
        Row(
            "60,000 cells, fit and genes on 100%, beside scanpy in memory",
            seconds(ours_s),
            f"{seconds(theirs_s)} (reading {seconds(found['read_s'])})",
            times(theirs_s, ours_s),
        ),
        Row(
            "its peak memory",
            gigabytes(ours.peak_bytes),
            gigabytes(theirs.peak_bytes),
            times(theirs.peak_bytes, ours.peak_bytes),
        ),
        Row("scanpy's embedding explained by ours", f"{agreement:.6f}", target="1", met=agreement > 0.9999),
    ]


def samples(corpus: Path, folder: Path) -> list[Row]:
    child("ours", corpus, 1.0, "--name", "all")
    everything = np.load(corpus / "embeddings/all/embedding.npy")
    rows = []
    for fit_fraction in (0.1, 0.3):
        _, found = child("ours", corpus, fit_fraction, "--name", "some", "--min-cells", 1)
        share = explained(everything, np.load(corpus / "embeddings/some/embedding.npy"))
        rows.append(Row(f"fit on all explained by fit on {found['n_fitted']:,} of 60,000", f"{share:.4f}"))
    return rows


def explained(target: np.ndarray, by: np.ndarray) -> float:
    """Return the share of the variance of one embedding that another explains linearly."""
    target, by = (np.asarray(values, np.float64) - values.mean(axis=0) for values in (target, by))
    residual = target - by @ np.linalg.lstsq(by, target, rcond=None)[0]
    return 1 - float((residual**2).sum() / (target**2).sum())
