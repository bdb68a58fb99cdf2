"""The sketch: our engine beside geosketch.gs, its growth with the cells, a ladder, and what it chooses."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import Run, curate, python, run
from benchmarks.table import Row, gigabytes, report, seconds, times

NAME, EMBEDDING = "sctab-like", "pca"
SMALL, MIDDLE, MORE = 200_000, 1_000_000, 4_000_000
LADDER = "0.01,0.1,0.25,0.5,0.75"
MANIFEST = "benchmark-sketch"


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option("--runs", default=3, show_default=True, help="Of what takes under a minute.")
@click.option("--whole/--no-whole", default=True, help="The 4 million and all cells too.")
@click.option("--builds/--no-builds", default=True, help="`curate build` on all cells too.")
@click.option("--large", type=click.Path(exists=True, path_type=Path), help="What `make-embedding` wrote.")
def command(workspace: Path, *, name: str, runs: int, whole: bool, builds: bool, large: Path | None) -> None:
    """Sketch 1 % of 200 thousand, 1 million, 4 million and all cells of a corpus."""
    corpus = workspace / "corpora" / name
    all_cells = corpus / "embeddings" / EMBEDDING / "embedding.npy"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=workspace) as folder:
        parts = {n: Path(folder) / f"{n}.npy" for n in (SMALL, MIDDLE, *([MORE] if whole else []))}
        for n, path in parts.items():
            run(python("benchmarks.sketch_run", "subset", corpus, EMBEDDING, n, path), n_runs=1)
        walls = {n: _ours(path, runs, "0.01") for n, path in parts.items()}
        rows += _beside_geosketch(parts[SMALL], walls[SMALL][0], _cold(parts[SMALL]))
    sizes = [walls[n] for n in parts if n != SMALL]
    if whole:
        sizes.append(_ours(all_cells, runs, "0.01"))
    rows += _size_rows(sizes)
    if whole:
        rows += _ladder_rows(_ours(all_cells, 1, LADDER)[0])
    if whole and builds:
        rows += _build_rows(workspace, name)
    if large is not None:
        rows += [_size_row(*_ours(large, 1, "0.01"))]
    notes = [
        "peer: geosketch.gs, same process layout, one run; both timed without imports, on the same array",
        "memory: peak of the process, pages of the memory-mapped embedding included",
        "growth: of covering and draw together, medians of as many runs; the boxes grow too, hence "
        "shorter sides, more cuts to compare with and larger tables",
        "CPU: of the covering, all threads; wall time where other processes run tells less",
        "cold: process start, imports and compilation included, with an empty cache of compiled code; it is "
        "filled once an installation",
        "partial Hausdorff distance: 20,000 held-back cells to the nearest chosen, 0.1 % left out; "
        "rare: chosen cells of types under 0.1 % of the corpus; medians over five seeds, geosketch one",
    ]
    report("sketch", "Geometric sketch", rows, notes=notes)


def _ours(path: Path, runs: int, fractions: str) -> tuple[dict[str, Any], Run]:
    repeats = runs + 1 if runs > 1 else 1
    measured = run(python("benchmarks.sketch_run", "ours", path, fractions, "--repeats", repeats), n_runs=1)
    return json.loads(measured.output.splitlines()[-1]), measured


def _cold(path: Path) -> float:
    with tempfile.TemporaryDirectory() as cache:
        command = ["env", f"NUMBA_CACHE_DIR={cache}", *python("benchmarks.sketch_run", "ours", path, "0.01")]
        return run(command, n_runs=1).wall_s


def _total(figures: dict[str, Any]) -> float:
    return float(figures["cover_s"] + figures["draws_s"]["0.01"])


def _beside_geosketch(path: Path, figures: dict[str, Any], cold: float) -> list[Row]:
    drawn = path.with_suffix(".geosketch.npy")
    theirs = json.loads(run(python("benchmarks.sketch_run", "geosketch", path, drawn), n_runs=1).output)
    quality = json.loads(run(python("benchmarks.sketch_run", "quality", path, drawn), n_runs=1).output)
    ours_s, ratio = _total(figures), theirs["wall_s"] / _total(figures)
    by = {name: quality[name] for name in ("ours", "geosketch", "uniform")}
    return [
        Row(f"1 % of {SMALL:,} x 50", seconds(ours_s), seconds(theirs["wall_s"]),
            times(theirs["wall_s"], ours_s), ">= 100 x", ratio >= 100),
        Row("the same, cold", seconds(cold)),
        *(
            Row(f"{what}, of a uniform choice {by['uniform'][key]:{form}}", f"{by['ours'][key]:{form}}",
                f"{by['geosketch'][key]:{form}}", f"{by['ours'][key] / by['uniform'][key]:.2f} of uniform")
            for what, key, form in (
                ("partial Hausdorff distance", "hausdorff", ".2f"),
                (f"rare types (corpus {quality['rare_share']:.2%})", "rare", ".2%"),
            )
        ),
    ]  # fmt: skip


def _size_rows(sizes: list[tuple[dict[str, Any], Run]]) -> list[Row]:
    (first, _), *_ = sizes
    rows = []
    for figures, measured in sizes:
        met = _total(figures) <= 300 and measured.peak_bytes <= 12e9
        study = figures["n_cells"] > MORE
        rows.append(
            _size_row(figures, measured, "<= 300 s, <= 12 GB" if study else "", met if study else None)
        )
    return rows + [_growth_row(first, figures) for figures, _ in sizes[1:]]


def _size_row(figures: dict[str, Any], measured: Run, target: str = "", met: bool | None = None) -> Row:
    what = (
        f"1 % of {figures['n_cells']:,} x {figures['n_dimensions']}: {figures['n_boxes']:,} boxes, "
        f"{figures['n_tried']} sides"
    )
    ours = f"{seconds(_total(figures))} (CPU {seconds(figures['cpu_s'])}), {gigabytes(measured.peak_bytes)}"
    return Row(what, ours, target=target, met=met)


def _growth_row(first: dict[str, Any], then: dict[str, Any]) -> Row:
    m, n = first["n_cells"], then["n_cells"]
    growth, allowed = _total(then) / _total(first), n * math.log(n) / (m * math.log(m))
    return Row(
        f"growth from {m:,} to {n:,}", f"{growth:.1f} (CPU {then['cpu_s'] / first['cpu_s']:.1f})",
        target=f"<= {allowed:.1f} (n log n)", met=growth <= allowed,
    )  # fmt: skip


def _ladder_rows(figures: dict[str, Any]) -> list[Row]:
    n, ladder = figures["n_cells"], sum(figures["draws_s"].values())
    return [
        Row(f"draw 75 % of {n:,} from that covering", seconds(figures["draws_s"]["0.75"])),
        Row(f"draw {LADDER} from that covering, nested", seconds(ladder)),
    ]


def _build_rows(workspace: Path, name: str) -> list[Row]:
    rows = []
    for fraction in ("0.01", "0.75", LADDER):
        command = curate(
            "-C", workspace, "build", "--corpus", name, "--strategy", "sketch", "--fraction", fraction,
            "--name", MANIFEST,
        )  # fmt: skip
        measured = run(command, n_runs=1, before=lambda: _clean(workspace))
        met = measured.wall_s <= 300 and measured.peak_bytes <= 12e9
        ours = f"{seconds(measured.wall_s)}, {gigabytes(measured.peak_bytes)}"
        target = "<= 300 s, <= 12 GB" if fraction == "0.01" else ""
        what = f"curate build --fraction {fraction}"
        rows.append(Row(what, ours, target=target, met=met if target else None))
    _clean(workspace)
    return rows


def _clean(workspace: Path) -> None:
    for folder in (workspace / "manifests").glob(f"{MANIFEST}*"):
        shutil.rmtree(folder)
